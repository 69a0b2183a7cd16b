"""Recordings by themselves: every reader gets every frame once, whoever is cut off and whenever; nothing is kept for ever."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from app.api.stream import EventStream
from app.errors import AnswerNotFound, InternalError, ShuttingDown
from app.keys.model import LOCAL
from app.recordings import Recording, Recordings
from ingest.errors import GroundedError
from tests.patience import PATIENCE_S

NEVER = 3600


def frames(event: object) -> list[bytes]:
    return [str(event).encode()]


def last(error: GroundedError | None) -> list[str]:
    return ["cancelled"] if error is None else [f"error {error.code}", "done"]


class Answer:
    """Says `n` words, each in a turn of its own, and then nothing more unless it `ends`."""

    def __init__(self, n: int = 5, *, ends: bool = True) -> None:
        self.closed = asyncio.Event()
        self._n = n
        self._ends = ends

    async def events(self) -> AsyncGenerator[Any, None]:
        try:
            yield "word 0"
            for number in range(1, self._n):
                await asyncio.sleep(0)
                yield f"word {number}"
            if not self._ends:
                await asyncio.sleep(NEVER)
            yield "done"
        finally:
            self.closed.set()


async def recorded(recordings: Recordings, answer: Answer, answer_id: str = "ans_1") -> Recording:
    events = answer.events()
    return recordings.record(answer_id, LOCAL, (await anext(events), events), frames, last)


async def read(recording: Recording, number: int = 0) -> list[bytes]:
    return [frame async for frame in recording.reader(number).frames()]


async def met(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), PATIENCE_S)


async def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.005)


WORDS = [f"word {n}".encode() for n in range(5)]


def test_every_reader_gets_every_frame_from_where_it_wants_to() -> None:
    async def main() -> None:
        recording = await recorded(Recordings(NEVER, 10**6), Answer())
        at_once = await asyncio.gather(*(read(recording, number) for number in range(7)))
        whole = [*WORDS, b"done"]
        assert at_once == [whole[number:] for number in range(7)]
        assert await asyncio.gather(*(read(recording, number) for number in range(7))) == at_once

    asyncio.run(main())


class TestCut:
    @pytest.mark.parametrize("turns", range(24))
    def test_whoever_is_cut_off_by_the_server_has_got_each_frame_once(self, turns: int) -> None:
        """After however many turns of the loop: in a frame, between two, or in wait of the next."""

        async def main() -> None:
            recording = await recorded(Recordings(NEVER, 10**6), Answer(ends=False))
            got: list[bytes] = []
            heads = 0

            async def send(message: Any) -> None:
                nonlocal heads
                await asyncio.sleep(0)  # as a server that waits for room, and then writes at once
                if message["type"] == "http.response.start":
                    heads += 1
                elif message["body"]:
                    assert heads == 1
                    got.append(message["body"])

            async def receive() -> dict[str, str]:
                await asyncio.sleep(NEVER)
                raise AssertionError

            reader = recording.reader()
            stream = EventStream(None, reader.frames(), bytes, ping_s=NEVER, stalled_s=NEVER, cut=reader.cut)
            serving = asyncio.create_task(stream({}, receive, send))
            for _ in range(turns):
                await asyncio.sleep(0)
            serving.cancel()
            await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), PATIENCE_S)
            if turns == 0:  # it had not begun, so there is nobody to tell
                return
            assert got == recording.frames
            assert got[-2:] == [b"error shutting_down", b"done"]
            await asyncio.wait_for(recording.closed(), PATIENCE_S)
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(main())

    def test_all_readers_are_told_the_same_end(self) -> None:
        async def main() -> None:
            answer = Answer(ends=False)
            recording = await recorded(Recordings(NEVER, 10**6), answer)
            readers = [asyncio.create_task(read(recording)) for _ in range(3)]
            await until(lambda: len(recording.frames) == 5)
            recording.cut(ShuttingDown("It ends."))
            recording.cut(None)
            told = await asyncio.wait_for(asyncio.gather(*readers), PATIENCE_S)
            assert told == [[*WORDS, b"error shutting_down", b"done"]] * 3
            await met(answer.closed)

        asyncio.run(main())

    def test_one_that_is_cut_before_its_first_step_is_closed_too(self) -> None:
        async def main() -> None:
            answer = Answer(ends=False)
            recording = await recorded(Recordings(NEVER, 10**6), answer)
            recording.cut(None)
            await asyncio.wait_for(recording.closed(), PATIENCE_S)
            assert answer.closed.is_set()
            assert recording.frames == [b"word 0", b"cancelled"]

        asyncio.run(main())

    def test_a_bug_is_an_end_too(self) -> None:
        async def broken() -> AsyncGenerator[Any, None]:
            yield "word 0"
            raise RuntimeError("a bug")

        async def main() -> None:
            events = broken()
            recordings = Recordings(NEVER, 10**6)
            recording = recordings.record("ans_1", LOCAL, (await anext(events), events), frames, last)
            assert await read(recording) == [b"word 0", f"error {InternalError.code}".encode(), b"done"]

        with structlog.testing.capture_logs() as logs:
            asyncio.run(main())
        assert [line["event"] for line in logs] == ["recording.failed"]


class TestGrace:
    def test_an_answer_without_a_reader_is_closed_when_its_grace_is_over(self) -> None:
        async def main() -> None:
            answer = Answer(ends=False)
            recording = await recorded(Recordings(0.05, 10**6), answer)
            await met(answer.closed)
            *said, end = recording.frames
            assert (said, end) == (WORDS[: len(said)], b"cancelled")

        asyncio.run(main())

    def test_a_reader_keeps_it_going_and_one_that_leaves_does_not(self) -> None:
        async def main() -> None:
            answer = Answer(ends=False)
            recording = await recorded(Recordings(0.05, 10**6), answer)
            one, other = recording.reader().frames(), recording.reader().frames()
            for reader in (one, other):
                for word in WORDS:
                    assert await anext(reader) == word
            await one.aclose()
            await asyncio.sleep(0.2)  # longer than the grace
            assert not answer.closed.is_set()
            await other.aclose()
            await met(answer.closed)

        asyncio.run(main())

    def test_what_has_ended_is_forgotten(self) -> None:
        async def main() -> None:
            recordings = Recordings(0.05, 10**6)
            await recorded(recordings, Answer())
            await until(lambda: not _known(recordings, "ans_1"))
            assert not recordings._kept
            assert not recordings._ended
            assert recordings._held == 0

        asyncio.run(main())


def test_what_has_ended_takes_no_more_memory_than_it_may() -> None:
    """The oldest make way; what is being made does not, and its readers read on."""

    async def main() -> None:
        recordings = Recordings(NEVER, 2000)
        running = await recorded(recordings, Answer(ends=False), "running")
        for number in range(100):
            await read(await recorded(recordings, Answer(), f"ans_{number}"))
            assert recordings._held <= 2000
        kept = [name for name in ("running", *(f"ans_{n}" for n in range(100))) if _known(recordings, name)]
        assert kept[0] == "running"
        assert kept[1:] == [f"ans_{n}" for n in range(101 - len(kept), 100)]
        assert 0 < len(kept) - 1 < 10
        assert len(recordings._ended) == len(kept) - 1
        running.cut(None)
        await recordings.close()
        assert not recordings._kept

    asyncio.run(main())


def test_an_answer_for_which_there_is_no_room_ends_with_an_error() -> None:
    async def main() -> None:
        recordings = Recordings(NEVER, 300)
        answer = Answer(ends=False)
        told = await asyncio.wait_for(read(await recorded(recordings, answer)), PATIENCE_S)
        assert told == [*WORDS[: len(told) - 2], b"error overloaded", b"done"]
        await met(answer.closed)
        assert not _known(recordings, "ans_1"), "there is no room for it at its end either"
        assert recordings._held == 0

    asyncio.run(main())


def _known(recordings: Recordings, answer_id: str) -> bool:
    try:
        recordings.find(answer_id, LOCAL)
    except AnswerNotFound:
        return False
    return True


def test_it_is_found_by_the_same_principal_alone() -> None:
    async def main() -> None:
        recordings = Recordings(NEVER, 10**6)
        await recorded(recordings, Answer())
        assert recordings.find("ans_1", replace(LOCAL, until=datetime.now(UTC)))  # a newer token of the same person
        for other in (
            replace(LOCAL, tenant="acme"),
            replace(LOCAL, key_id="key_1"),
            replace(LOCAL, groups=frozenset({"hr"})),
            replace(LOCAL, collections=frozenset({"default"})),
        ):
            with pytest.raises(AnswerNotFound) as refused:
                recordings.find("ans_1", other)
            with pytest.raises(AnswerNotFound) as never_was:
                recordings.find("ans_2", other)
            assert refused.value.message == never_was.value.message

    asyncio.run(main())


def test_closing_ends_all_that_is_being_made() -> None:
    async def main() -> None:
        recordings = Recordings(NEVER, 10**6)
        answers = [Answer(ends=False) for _ in range(3)]
        begun = [await recorded(recordings, answer, f"ans_{n}") for n, answer in enumerate(answers)]
        await asyncio.wait_for(recordings.close(), PATIENCE_S)
        assert all(answer.closed.is_set() for answer in answers)
        assert all(recording.frames[-1] == b"done" for recording in begun)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
