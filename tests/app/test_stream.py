"""A stream to clients that stall or leave: whatever they do, the events are closed and nothing is left running."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from app.api.stream import EventStream
from generation.events import AnswerEvent, TextAdded
from tests.patience import PATIENCE_S

PING = b": ping\n\n"
NEVER = 3600


class Client:
    """Takes frames until `stalls_on` comes, and then nothing more. It hangs up once it has stalled, if it `leaves`."""

    def __init__(self, stalls_on: bytes, *, leaves: bool) -> None:
        self._stalls_on = stalls_on
        self._leaves = leaves
        self._stalled = asyncio.Event()

    async def send(self, message: Any) -> None:
        if message.get("body") == self._stalls_on:
            self._stalled.set()
            await asyncio.sleep(NEVER)

    async def receive(self) -> dict[str, str]:
        await self._stalled.wait()
        await asyncio.sleep(0 if self._leaves else NEVER)
        return {"type": "http.disconnect"}


async def left_behind(client: Client, *, stalled_s: float = NEVER) -> tuple[bool, int]:
    """Whether the events were closed when the response had ended, and how many tasks then ran on."""
    closed = False

    async def events() -> AsyncGenerator[AnswerEvent, None]:
        nonlocal closed
        try:
            yield TextAdded("first")
            yield TextAdded("second")
            await asyncio.sleep(NEVER)
        finally:
            closed = True

    rest = events()
    stream = EventStream(await anext(rest), rest, lambda event: event.text.encode(), ping_s=0.01, stalled_s=stalled_s)  # type: ignore[union-attr]
    async with asyncio.timeout(PATIENCE_S):
        await stream({}, client.receive, client.send)
    return closed, len(asyncio.all_tasks()) - 1


def test_a_client_that_stalls_in_a_ping_and_leaves() -> None:
    async def case() -> None:
        assert await left_behind(Client(PING, leaves=True)) == (True, 0)

    asyncio.run(case())


def test_a_client_that_stalls_in_a_frame_and_leaves() -> None:
    async def case() -> None:
        assert await left_behind(Client(b"second", leaves=True)) == (True, 0)

    asyncio.run(case())


def test_a_client_that_stalls_and_stays_is_dropped() -> None:
    async def case() -> None:
        assert await left_behind(Client(PING, leaves=False), stalled_s=0.05) == (True, 0)
        assert await left_behind(Client(b"second", leaves=False), stalled_s=0.05) == (True, 0)

    asyncio.run(case())


def test_silence_is_filled_with_pings_and_talk_is_not() -> None:
    async def case() -> list[bytes]:
        sent: list[bytes] = []
        pinged = asyncio.Event()

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if sent[-1] == PING:
                pinged.set()

        async def events() -> AsyncGenerator[AnswerEvent, None]:
            yield TextAdded("first")
            for _ in range(50):
                await asyncio.sleep(0)
                yield TextAdded("talk")
            pinged.clear()
            await pinged.wait()
            yield TextAdded("last")

        rest = events()
        stream = EventStream(await anext(rest), rest, lambda event: event.text.encode(), ping_s=0.5, stalled_s=NEVER)  # type: ignore[union-attr]
        await stream({}, Client(b"", leaves=False).receive, send)
        return sent

    sent = asyncio.run(case())
    talk = [body for body in sent if body != PING]
    assert talk == [b"", b"first", *[b"talk"] * 50, b"last", b""]
    last = sent.index(b"last")
    assert sent[last - 1] == PING
    assert sent.count(PING) <= 4


def test_what_breaks_the_events_is_raised_as_it_is() -> None:
    async def case() -> None:
        async def events() -> AsyncGenerator[AnswerEvent, None]:
            yield TextAdded("first")
            raise RuntimeError("a bug")

        async def send(message: Any) -> None:
            del message

        rest = events()
        stream = EventStream(await anext(rest), rest, lambda event: event.text.encode(), ping_s=1, stalled_s=NEVER)  # type: ignore[union-attr]
        with pytest.raises(RuntimeError, match="a bug"):
            await stream({}, Client(b"", leaves=False).receive, send)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(case())
