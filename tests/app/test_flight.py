"""Equal questions at the same time, over real sockets: one is answered, and nobody's leaving or failing takes it from others."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.api.service import create_app
from app.cache.flight import Flights
from app.state import StateFolder
from app.wiring import Grounded
from tests.app.caching import FALLEN, FILES, QUESTION, Model, cached, content_of, end_of, settings
from tests.app.serving import answer, events_of, fake_embedder, ingest, settings_for, write
from tests.scripted_upstream import listening

pytestmark = pytest.mark.usefixtures("silent")
WAIT_S = 60


@pytest.fixture(autouse=True)
def _fake() -> Iterator[None]:
    with fake_embedder():
        yield


class Served:
    """The service behind a real socket, in this loop."""

    def __init__(self, app: Any, port: int) -> None:
        self.grounded: Grounded = app.state.grounded
        self._port = port

    async def send(self, **body: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        raw = json.dumps({"question": QUESTION, "stream": True, **body}).encode()
        head = "POST /ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)
        await writer.drain()
        return reader, writer

    async def ask(self, **body: Any) -> list[dict[str, Any]]:
        reader, writer = await self.send(**body)
        whole = await reader.read()
        writer.close()
        head, _, rest = whole.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), whole
        return events_of(_dechunked(rest))

    async def followers(self, n: int) -> None:
        """Wait until so many wait for the flight that is under way."""
        cache = self.grounded.cache
        assert cache is not None
        await until(lambda: sum(flight.followers for flight in cache.flights.under_way) >= n)


async def until(true: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110  what others do is waited for
            await asyncio.sleep(0.01)


def _dechunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        found, body = found + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return found


@contextlib.asynccontextmanager
async def service(tmp_path: Path, model: Model, **more: Any) -> AsyncIterator[Served]:
    async with listening(model.answer) as url:
        chosen = settings_for(tmp_path / "state", max_waiting=128, **settings(url, **more))
        with StateFolder(chosen.state).owned():
            app = create_app(chosen)
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
            running = asyncio.create_task(server.serve())
            await until(lambda: server.started)
            served = Served(app, server.servers[0].sockets[0].getsockname()[1])
            await ingest(served.grounded, write(tmp_path / "docs", FILES))
            try:
                yield served
            finally:
                if model.gate is not None:
                    model.gate.set()
                server.should_exit = True
                await running


def answer_of(events: list[dict[str, Any]]) -> tuple[Any, ...]:
    told = [event for event in events if event["type"] in ("sources", "delta", "claim")]
    return told, events[-1]["finish_reason"]


def test_100_equal_questions_at_once_cost_one_generation(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model(gate=asyncio.Event())
        async with service(tmp_path, model) as served:
            asking = [asyncio.create_task(served.ask()) for _ in range(100)]
            await served.followers(99)
            other = await served.grounded.catalog.collections()  # the service is not busy: they hold no place
            assert "default" in other
            assert model.gate is not None
            model.gate.set()
            answers = await asyncio.gather(*asking)
            assert model.calls == 1
            assert all(answer_of(events) == answer_of(answers[0]) for events in answers)
            caches = sorted(events[-1]["cache"] for events in answers)
            assert caches == ["exact"] * 99 + ["miss"]
            assert sum(events[-1]["cost_usd"] > 0 for events in answers) == 1
            assert len({events[0]["answer_id"] for events in answers}) == 100
            assert len({events[-1]["answer_id"] for events in answers}) == 100

    asyncio.run(main())


def test_other_questions_are_answered_while_many_wait(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model(gate=asyncio.Event())
        async with service(tmp_path, model, max_running=2) as served:
            asking = [asyncio.create_task(served.ask()) for _ in range(20)]
            await served.followers(19)
            async with asyncio.timeout(WAIT_S):
                events = await served.ask(question="How many legs has a cat?", tier="extractive")
            assert events[-1]["finish_reason"] == "stop"
            assert model.gate is not None
            model.gate.set()
            await asyncio.gather(*asking)
            assert model.calls == 1

    asyncio.run(main())


def test_who_leaves_takes_nothing_from_the_others(tmp_path: Path) -> None:
    """First a follower hangs up, then the one whose question is being answered: another is answered then, for all."""

    async def main() -> None:
        model = Model(gate=asyncio.Event())
        async with service(tmp_path, model) as served:
            _, leader = await served.send()
            await until(lambda: model.calls == 1)
            asking = [asyncio.create_task(served.ask()) for _ in range(10)]
            _, follower = await served.send()
            await served.followers(11)
            follower.close()
            leader.close()
            await until(lambda: model.left == 1 and model.calls == 2)
            await served.followers(9)
            assert model.gate is not None
            model.gate.set()
            answers = await asyncio.gather(*asking)
            assert model.calls == 2
            assert {events[-1]["finish_reason"] for events in answers} == {"stop"}
            cache = served.grounded.cache
            assert cache is not None
            assert len(cache.flights) == 0

    asyncio.run(main())


def test_a_call_that_fails_is_made_once_more_and_then_all_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model(gate=asyncio.Event(), scripts=[FALLEN])
        async with service(tmp_path, model) as served:
            asking = [asyncio.create_task(served.ask()) for _ in range(10)]
            await served.followers(9)
            assert model.gate is not None
            model.gate.set()
            answers = await asyncio.gather(*asking)
            ends = sorted(events[-1]["finish_reason"] for events in answers)
            assert ends == ["error"] + ["stop"] * 9
            assert model.calls == 2
        down = Model(gate=asyncio.Event(), scripts=[FALLEN] * 20)
        async with service(tmp_path / "down", down) as served:
            asking = [asyncio.create_task(served.ask()) for _ in range(10)]
            await served.followers(9)
            assert down.gate is not None
            down.gate.set()
            answers = await asyncio.gather(*asking)
            assert {events[-1]["finish_reason"] for events in answers} == {"error"}
            assert down.calls == 2
            assert all(events[-1]["cost_usd"] == 0 for events in answers)

    asyncio.run(main())


def test_who_waits_too_long_has_an_answer_made(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model(gate=asyncio.Event())
        async with cached(tmp_path, model, cache={"wait_s": 0.2}) as grounded:
            first = asyncio.create_task(answer(grounded, QUESTION))
            await until(lambda: model.calls == 1)
            second = asyncio.create_task(answer(grounded, QUESTION))
            await until(lambda: model.calls == 2)
            assert not first.done()
            assert model.gate is not None
            model.gate.set()
            one, two = await first, await second
            assert end_of(one).cache == end_of(two).cache == "miss"
            assert content_of(one) == content_of(two)

    asyncio.run(main())


def test_an_answer_from_before_a_change_is_given_to_none_who_waits(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model(gate=asyncio.Event())
        async with cached(tmp_path, model) as grounded:
            first = asyncio.create_task(answer(grounded, QUESTION))
            await until(lambda: model.calls == 1)
            second = asyncio.create_task(answer(grounded, QUESTION))
            assert grounded.cache is not None
            flights = grounded.cache.flights
            await until(lambda: sum(flight.followers for flight in flights.under_way) == 1)
            write(tmp_path / "docs", {"refunds.txt": "Refunds are paid by cheque."})
            await ingest(grounded, tmp_path / "docs")
            model.said = "Refunds are paid by cheque [1]."
            assert model.gate is not None
            model.gate.set()
            await first
            assert "cheque" in str(content_of(await second))
            assert model.calls == 2

    asyncio.run(main())


def test_only_the_first_outcome_counts() -> None:
    async def main() -> None:
        flights = Flights()
        flight, leads = flights.board("k")
        assert (leads, flights.board("k")) == (True, (flight, False))
        with pytest.raises(TimeoutError):
            await flights.outcome(flight, 0.01)
        flights.end(flight, None)
        again, leads = flights.board("k")
        assert leads
        flights.end(flight, None)  # late, and of another flight
        assert flights.board("k") == (again, False)

    asyncio.run(main())
