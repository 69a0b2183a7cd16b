"""The whole product on a temporary state with the fake embedder in the real one's place: files in, questions out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import httpx2
import orjson

from app.api.service import create_app
from app.pipeline import Question
from app.settings import Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from generation.events import AnswerEvent
from ingest.ports import Reader
from ingest.run import FileReport, Request, Summary
from tests.fakes import FakeEmbedder
from tests.patience import PATIENCE_S, unhurried
from tests.services.databases import of_state

END_S = PATIENCE_S
EMBEDDER = "retrieval.adapters.sentence_transformers.SentenceTransformersEmbedder"


@contextmanager
def fake_embedder(embedder: FakeEmbedder | None = None) -> Iterator[FakeEmbedder]:
    """`app.wiring` finds this one where it looks for the real one."""
    embedder = embedder or FakeEmbedder()
    with patch(EMBEDDER, lambda *_: embedder):
        yield embedder


def settings_for(state: Path, **settings: Any) -> Settings:
    """Settings of a test; nothing is refused for want of disk, and nothing left out because a machine is busy."""
    own = {"state": state, "ingest": {"min_free_mb": 0}, **of_state(state)}
    return Settings(**unhurried({**own, **settings}))


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@asynccontextmanager
async def product(
    tmp_path: Path, files: Mapping[str, str | bytes] = {}, reader: Reader | None = None, **settings: Any
) -> AsyncIterator[Grounded]:
    """Everything opened, the files ingested into `default`. Call it inside `fake_embedder`."""
    chosen = settings_for(tmp_path / "state", **settings)
    state = StateFolder(chosen.state)
    with state.owned():
        async with opened(chosen, state, reader) as grounded:
            if files:
                await ingest(grounded, write(tmp_path / "docs", files))
            yield grounded


async def ingest(grounded: Grounded, folder: Path, collection: str = "default") -> list[FileReport]:
    request = Request(folder, collection)
    plan = await grounded.ingest.plan(request)
    async with aclosing(grounded.ingest.run(request, plan, Summary())) as reports:
        return [report async for report in reports]


async def answer(grounded: Grounded, question: str, **more: Any) -> list[AnswerEvent]:
    """All events of an answer."""
    async with aclosing(grounded.pipeline.ask(Question(question, **more))) as events:
        return [event async for event in events]


class Service:
    """The ASGI application in process, its lifespan run, behind a client that waits for the whole reply."""

    def __init__(self, settings: Settings) -> None:
        self._runner = asyncio.Runner()
        self.app = create_app(settings)
        self._lifespan = self.app.router.lifespan_context(self.app)
        # With False an unplanned exception is answered as the server would, instead of coming up here.
        self._transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)

    @property
    def grounded(self) -> Grounded:
        found: Grounded = self.app.state.grounded
        return found

    def __enter__(self) -> Self:
        self.run(self._lifespan.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        async def send() -> httpx2.Response:
            sends_json = {"content-type": "application/json"}
            async with httpx2.AsyncClient(
                transport=self._transport, base_url="http://localhost", headers=sends_json
            ) as client:
                return await client.request(method, path, **more)

        reply: httpx2.Response = self.run(send())
        return reply

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.request("GET", path, **more)

    def ask(self, question: str, **more: Any) -> httpx2.Response:
        return self.request("POST", "/ask", json={"question": question, **more})

    def until(self, wanted: Callable[[], Any]) -> Any:
        """What is wanted, as soon as it is there; the service goes on meanwhile."""
        end = time.monotonic() + END_S
        while not (found := wanted()) and time.monotonic() < end:
            self.run(asyncio.sleep(0.02))
        assert found
        return found

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job at its end."""

        def at_its_end() -> dict[str, Any] | None:
            job: dict[str, Any] = self.get(f"/v1/jobs/{job_id}").json()
            return job if job["finished_at"] else None

        found: dict[str, Any] = self.until(at_its_end)
        return found


@contextmanager
def served(
    folder: Path, files: Mapping[str, str | bytes] = {}, embedder: FakeEmbedder | None = None, **settings: Any
) -> Iterator[Service]:
    """The service with its state below the folder, the files ingested into `default`."""
    chosen = settings_for(folder / "state", **settings)
    with fake_embedder(embedder), StateFolder(chosen.state).owned(), Service(chosen) as service:
        if files:
            reports = service.run(ingest(service.grounded, write(folder / "docs", files)))
            assert {report.status for report in reports} <= {"added", "unchanged"}
        yield service


def assert_refused(reply: httpx2.Response, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """Check the one envelope; its inner object."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    body: dict[str, Any] = reply.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) - {"details"} == {"message", "type", "param", "code", "next_step", "request_id"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    assert error["next_step"]
    assert error["request_id"] == reply.headers["x-request-id"]
    return error


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The payloads of a stream; each frame is checked for its parts."""
    payloads = []
    for number, part in enumerate(part for part in body.decode().split("\n\n") if part and not part.startswith(":")):
        fields = dict(line.split(": ", 1) for line in part.split("\n"))
        payload = orjson.loads(fields["data"])
        assert (fields["event"], fields["id"]) == (payload["type"], str(number))
        payloads.append(payload)
    return payloads
