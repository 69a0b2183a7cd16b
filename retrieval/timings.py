"""How long the stages of a search took, and how long they may take."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from retrieval.errors import SearchTimeout

T = TypeVar("T")
_LEFT_BEHIND: set["asyncio.Future[Any]"] = set()  # the loop holds tasks weakly, and these nobody waits for


@dataclass(slots=True)
class Timings:
    """Milliseconds by stage, in all its parts; stages that run side by side overlap. `allowed` holds the seconds of those
    stages that have a deadline of their own."""

    ms: dict[str, float] = field(default_factory=dict)
    allowed: Mapping[str, float] = field(default_factory=dict)

    async def measure(self, stage: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` and note how long it took, also when it fails. It is not begun before it is awaited: a search that is
        cancelled leaves nothing half made. Raises SearchTimeout where the stage is late."""
        start = time.perf_counter()
        try:
            return await (in_time(stage, work, self.allowed[stage]) if stage in self.allowed else work())
        finally:
            self.ms[stage] = self.ms.get(stage, 0.0) + (time.perf_counter() - start) * 1e3


async def in_time(what: str, work: Callable[[], Awaitable[T]], seconds: float) -> T:
    """The result of `work`, or SearchTimeout after so many seconds.

    What is late is told to stop and not waited for: a call of an engine, or a batch of a model, that cannot be broken off
    would hold the answer up until its end. Who is cancelled waits for it, as without a deadline.
    """
    task = asyncio.ensure_future(work())
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        _forget(task)
        raise
    if done:
        return task.result()
    _LEFT_BEHIND.add(task)
    task.add_done_callback(_forget)
    task.cancel()
    raise SearchTimeout(f"The stage {what} took longer than {seconds:g} s.")


def _forget(task: "asyncio.Future[Any]") -> None:
    """Nobody asks any more how it ended, and asyncio is not to complain about that."""
    _LEFT_BEHIND.discard(task)
    if not task.cancelled():
        task.exception()
