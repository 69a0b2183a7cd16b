"""Answers that can be taken up again: their frames as they were sent, for a bounded time and in bounded memory.

A recording makes its answer by itself, and whoever reads it gets the same bytes: the client that asked, and the same client
once more after its line was cut. So no reader holds the answer up, and leaving ends it only when nobody has come back for the
length of its grace.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from app.errors import AnswerNotFound, InternalError, Overloaded, ShuttingDown
from app.keys.model import Principal
from app.keys.ring import End
from ingest.errors import GroundedError

Frames = Callable[[Any], Sequence[bytes]]
Last = Callable[[GroundedError | None], Iterable[Any]]
_FRAME_OVERHEAD = 64  # bytes that a frame takes beside its own
_log = structlog.get_logger()


class Recording:
    """One answer: all its frames so far, frame n with the number n. Made on the event loop of this call."""

    def __init__(
        self,
        owner: Principal,
        events: tuple[Any, AsyncGenerator[Any, None]],
        frames: Frames,
        last: Last,
        room: Callable[[int], bool],
        over: Callable[[], None],
        *,
        grace_s: float,
        end: End | None = None,
    ) -> None:
        """`events` are the first one and the rest; `last` gives the events that end an answer with an error, or, for None,
        one that was cancelled. `room` is told of bytes that were added, and whether there is room for more is what it says;
        `over` is called at the end; `end` is done with an error when the owner's key has ended."""
        self.owner = replace(owner, until=None)  # a newer token of the same person is the same principal
        self.frames: list[bytes] = []
        self.size = 0
        self.ended = False
        self._frames = frames
        self._last = last
        self._room = room
        self._over = over
        self._grace_s = grace_s
        self._readers = 0
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._end = end  # watched for as long as it is held
        if end is not None:
            end.add_done_callback(self._key_ended)
        first, self._rest = events
        self._add(first)
        self._making = self._loop.create_task(self._make())
        self._closing: asyncio.Task[None] | None = None
        self._deserted = self._wait()

    def reader(self, number: int = 0) -> "Reader":
        """Somebody who gets the frames from that number on."""
        return Reader(self, number)

    def cut(self, error: GroundedError | None) -> None:
        """End it now, with an error or, for None, as cancelled. What makes it is closed; at its end it stays as it is."""
        if self.ended:
            return
        for event in self._last(error):
            self._add(event)
        self._close()

    async def closed(self) -> None:
        """Return when what makes it is closed too."""
        await asyncio.gather(self._making, return_exceptions=True)
        if self._closing is not None:
            await self._closing

    def enter(self) -> None:
        """Somebody reads."""
        self._readers += 1
        self._deserted.cancel()

    def leave(self) -> None:
        """Somebody reads no longer. If nobody is left and nobody comes, it is worth nothing."""
        self._readers -= 1
        if not self._readers and not self.ended:
            self._deserted = self._wait()

    async def more(self) -> None:
        """Return when there are more frames than there were, or it has ended."""
        await self._news.wait()

    def _wait(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._grace_s, self.cut, None)

    async def _make(self) -> None:
        try:
            async with aclosing(self._rest):
                async for event in self._rest:
                    if not self._add(event):
                        self.cut(_too_much())
                        return
                    await asyncio.sleep(0)  # what is quoted waits for nothing by itself, and others want their turn
            self._close()
        except Exception:  # noqa: BLE001  nobody awaits this, and every stream has an end
            _log.exception("recording.failed")
            self.cut(InternalError("Something broke that should not."))

    def _add(self, event: Any) -> bool:
        """Whether there is room for more."""
        if self.ended:
            return True
        before = self.size
        for frame in self._frames(event):
            self.frames.append(frame)
            self.size += len(frame) + _FRAME_OVERHEAD
        self._tell()
        return self._room(self.size - before)

    def _close(self) -> None:
        """The end, with whatever frames there are."""
        if self.ended:
            return
        self.ended = True
        self._deserted.cancel()
        self._end = None
        if not self._making.done() and asyncio.current_task() is not self._making:
            self._closing = self._loop.create_task(self._stop_making())
        self._tell()
        self._over()

    async def _stop_making(self) -> None:
        """A turn later: what is cancelled before its first step closes nothing."""
        self._making.cancel()
        await asyncio.gather(self._making, return_exceptions=True)

    def _key_ended(self, end: End) -> None:
        if not end.cancelled():
            self.cut(end.result())

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Reader:
    """Gets every frame from some number on, each once."""

    def __init__(self, recording: Recording, number: int) -> None:
        self._recording = recording
        self._number = number  # of the next frame

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Frames as they come, until the recording ends. A frame counts as sent when the next one is asked for."""
        self._recording.enter()
        try:
            while True:
                while self._number < len(self._recording.frames):
                    yield self._recording.frames[self._number]
                    self._number += 1
                if self._recording.ended:
                    return
                await self._recording.more()
        finally:
            self._recording.leave()

    def cut(self, error: GroundedError) -> Sequence[bytes]:
        """End the recording with an error, unless it has ended; what the reader has not got of it."""
        self._recording.cut(error)
        return self._recording.frames[self._number :]


class Recordings:
    """All recordings of a process, by the ids of their answers."""

    def __init__(self, grace_s: float, most_bytes: int) -> None:
        """Each is kept for `grace_s` behind its end. Together they take at most `most_bytes`: the oldest that have ended make
        way, and one that is being made where nothing else is left ends with an error."""
        self._grace_s = grace_s
        self._most = most_bytes
        self._held = 0  # bytes
        self._kept: dict[str, Recording] = {}
        self._ended: dict[str, asyncio.TimerHandle] = {}  # when they are forgotten, the oldest first

    def record(
        self,
        answer_id: str,
        owner: Principal,
        events: tuple[Any, AsyncGenerator[Any, None]],
        frames: Frames,
        last: Last,
        end: End | None = None,
    ) -> Recording:
        """A recording that begins now; see Recording."""
        over = partial(self._keep, answer_id)
        made = Recording(owner, events, frames, last, self._grown, over, grace_s=self._grace_s, end=end)
        self._kept[answer_id] = made
        return made

    def find(self, answer_id: str, who: Principal) -> Recording:
        """The recording of an answer that this very principal has asked for: with other rights the answer would be another
        one. Raises AnswerNotFound, in the same words where it is somebody else's."""
        found = self._kept.get(answer_id)
        if found is None or found.owner != replace(who, until=None):
            raise AnswerNotFound(
                "There are no events of such an answer.",
                "Ask again: only an answer that was asked for with resumable can be taken up, and only for a while.",
            )
        return found

    async def close(self) -> None:
        """End what is being made, and forget everything."""
        kept = list(self._kept.values())
        for recording in kept:
            recording.cut(ShuttingDown("The service is shutting down."))
        await asyncio.gather(*(recording.closed() for recording in kept))
        for answer_id in list(self._ended):
            self._forget(answer_id)

    def _grown(self, by: int) -> bool:
        self._held += by
        while self._held > self._most and self._ended:
            self._forget(next(iter(self._ended)))
        return self._held <= self._most

    def _keep(self, answer_id: str) -> None:
        """For a while after its end."""
        self._ended[answer_id] = asyncio.get_running_loop().call_later(self._grace_s, self._forget, answer_id)
        self._grown(0)

    def _forget(self, answer_id: str) -> None:
        self._held -= self._kept.pop(answer_id).size
        self._ended.pop(answer_id).cancel()


def _too_much() -> Overloaded:
    return Overloaded(
        "The events of resumable answers take as much memory as they may.", "Ask again later, or without resumable."
    )
