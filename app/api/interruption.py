"""Two things that happen beside what a task does, without a task for each: it is interrupted for a reason, and a comment is
sent when it says nothing. Thousands of streams are open at a time, and a task takes more memory than either."""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self


class Interruption:
    """Around what may be interrupted: it is cancelled, and the reason is raised instead. As asyncio's timeouts do it."""

    def __init__(self) -> None:
        self._reason: BaseException | None = None
        self._over = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None, "inside a task"
        self._task, self._cancelling = task, task.cancelling()
        return self

    def interrupt(self, reason: BaseException) -> None:
        """The first reason counts; afterwards it does nothing. Never from inside."""
        if self._reason is None and not self._over:
            self._reason = reason
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._reason is None:
            return
        mine = self._task.uncancel() <= self._cancelling  # or somebody else has cancelled the task as well
        if mine and kind is asyncio.CancelledError:
            raise self._reason from None


class Heartbeat:
    """Has `beat` awaited whenever nothing was said for `every_s`; `failed` is told what it raised."""

    def __init__(
        self,
        every_s: float,
        beat: Callable[[], Coroutine[Any, Any, None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._every_s = every_s
        self._beat = beat
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._said_at = self._loop.time()
        self._beating: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every_s, self._look)

    def said(self) -> None:
        """Something was said just now."""
        self._said_at = self._loop.time()

    async def stop(self) -> None:
        """No more of it."""
        self._timer.cancel()
        if (beating := self._beating) is not None:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    def _look(self) -> None:
        left_s = self._said_at + self._every_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self._beating = self._loop.create_task(self._beat())
            self._beating.add_done_callback(self._beaten)

    def _beaten(self, task: asyncio.Task[None]) -> None:
        self._beating = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._failed(error)
        else:
            self._timer = self._loop.call_later(self._every_s, self._look)
