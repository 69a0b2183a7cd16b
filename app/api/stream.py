"""Answer events over HTTP: the first event decides the status, and a client who leaves stops all work, on both paths.

A streaming response is cancelled by the framework only once it has begun, and a handler that builds one document never
is. So whatever is awaited before the response starts is raced against the client's leaving.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import Response

from app.api.interruption import Heartbeat, Interruption
from app.errors import ShuttingDown
from app.keys.ring import End
from generation.events import AnswerEvent, Failed, Finished, Started
from ingest.errors import GroundedError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

T = TypeVar("T")
Frame = Callable[[Any], bytes]
Cut = Callable[[GroundedError], Iterable[bytes]]
_PING = b": ping\n\n"
GONE = 499  # the status for a client that has left: nobody reads it, the log does


class ClientGoneError(Exception):
    """The client closed the connection; nobody is there to be answered."""


async def unless_gone(receive: "Receive", work: Awaitable[T], end: End | None = None) -> T:
    """The result of `work`; cancels it and raises ClientGoneError as soon as the client leaves, or the error of `end`, the
    end of the client's key, as soon as there is one.

    Call it when the request's body has been read: from then on `receive` has nothing to say but that.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.create_task(_gone(receive))
    try:
        raced: set[asyncio.Future[Any]] = {task, watcher}
        await asyncio.wait(raced if end is None else {*raced, end}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if end is not None and end.done():
            raise end.result()
        raise ClientGoneError
    finally:
        for pending in (task, watcher):
            pending.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _gone(receive: "Receive") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def cut_short() -> ShuttingDown:
    """What is said to those whose answer outlasts the drain time."""
    return ShuttingDown("The service is shutting down and could not finish this answer.")


def last_events(started: Started, error: GroundedError | None) -> list[AnswerEvent]:
    """What ends an answer in its middle: with an error or, for None, because its asker wants no more of it."""
    named = (started.answer_id, started.trace_id, started.model)
    return [Finished("cancelled", *named)] if error is None else [Failed(error), Finished("error", *named)]


class EventStream(Response):
    """Server-sent events. Sends a comment when nothing was sent for `ping_s`; closes the events when the client leaves, or
    takes nothing for `stalled_s`."""

    media_type = "text/event-stream"

    def __init__(
        self,
        first: object,
        rest: AsyncGenerator[Any, None],
        frame: Frame,
        *,
        ping_s: float,
        stalled_s: float,
        end: End | None = None,
        cut: Cut | None = None,
    ) -> None:
        """`first` None: there is no event yet. `end` is done with an error when the client's key has come to its end. `cut`
        gives the frames that end the stream with an error, where they are not to be made here."""
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._frame = frame
        self._ping_s = ping_s
        self._stalled_s = stalled_s
        self._end = end
        self._last = cut
        self._headed = False
        self._turn = asyncio.Lock()
        self._closed = False
        self._pulse: Heartbeat | None = None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Stream until the last event, until the client has gone, or until the ending service waits no longer."""
        del scope
        try:
            async with Interruption() as here, _watched(receive, self._end, here.interrupt):
                await self._send_all(send, here.interrupt)
        except (ClientGoneError, OSError):  # TimeoutError among them: a client that has stalled
            return
        except GroundedError as error:  # the client's key is none any more
            with suppress(OSError):
                await self._cut(send, error)
        except asyncio.CancelledError:  # by the server, when the drain time is over; then the task ends here
            await self._cut(send, cut_short())
        finally:
            await self._rest.aclose()

    async def _send_all(self, send: "Send", interrupt: Callable[[BaseException], None]) -> None:
        await self._head(send)
        pulse = self._pulse = Heartbeat(self._ping_s, partial(self._send, send, _PING), interrupt)
        try:
            if self._first is not None:
                await self._send(send, self._frame(self._first))
            # In this task: one for each event would cost more than all else of a word. Nothing is awaited between
            # writing a frame and asking for the next one, so whoever is cut off knows which frames were written.
            async for event in self._rest:
                await asyncio.sleep(0)  # what is quoted waits for nothing by itself, and others want their turn
                await self._send(send, self._frame(event))
        finally:
            self._pulse = None  # they know each other, and what is over is to be gone at once
            await pulse.stop()
        await self._close(send)

    async def _head(self, send: "Send") -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self._headed = True

    async def _close(self, send: "Send") -> None:
        self._closed = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _cut(self, send: "Send", error: GroundedError) -> None:
        """The end that every stream has: an error and, of an answer, the last event."""
        if self._closed:
            return
        if not self._headed:
            await self._head(send)
        for body in self._last(error) if self._last is not None else self._ending(error):
            await self._send(send, body)
        await self._close(send)

    def _ending(self, error: GroundedError) -> Iterable[bytes]:
        first = self._first
        return map(self._frame, last_events(first, error) if isinstance(first, Started) else [Failed(error)])

    async def _send(self, send: "Send", body: bytes) -> None:
        async with self._turn, asyncio.timeout(self._stalled_s):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if self._pulse is not None:
            self._pulse.said()


@asynccontextmanager
async def _watched(
    receive: "Receive", end: End | None, interrupt: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """Interrupts as soon as the client leaves, or its key has come to its end."""

    def left(watcher: asyncio.Task[None]) -> None:
        if not watcher.cancelled():
            interrupt(watcher.exception() or ClientGoneError())

    def ended(end: End) -> None:
        if not end.cancelled():
            interrupt(end.result())

    watcher = asyncio.create_task(_gone(receive))
    watcher.add_done_callback(left)
    if end is not None:
        end.add_done_callback(ended)
    try:
        yield
    finally:
        if end is not None:
            end.remove_done_callback(ended)
        watcher.remove_done_callback(left)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
