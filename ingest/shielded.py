"""Blocking work that cannot be abandoned half way: who is cancelled meanwhile waits for its end, and then leaves."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


async def shielded(pool: Executor, work: Callable[[], T]) -> T:
    """Run `work` on a thread of the pool. It is over when this returns or raises, cancelled or not: else what comes after a
    cancelled call could run before the call's own effect."""
    future = asyncio.get_running_loop().run_in_executor(pool, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        raise
