"""What goes on in the background while the service is open, and ends with it."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any


def begun(work: Coroutine[Any, Any, None], closing: AsyncExitStack) -> "asyncio.Task[None]":
    """A task that is broken off, wherever it is, when `closing` closes."""
    task = asyncio.create_task(work)
    closing.push_async_callback(_stopped, task)
    return task


async def _stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
