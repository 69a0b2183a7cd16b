"""Who may work now, who waits, who is turned away: a bounded number of each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Overloaded, ShuttingDown


class Admission:
    """Lets `max_running` in and keeps at most `max_waiting` in line, first come first served.

    Not bound to a task: it may be held across the yields of a generator that several tasks pull.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._free = asyncio.Semaphore(max_running)
        self._max_waiting = max_waiting
        self._waiting = 0
        self._closed = False

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Hold a place. Raises Overloaded when the line is full, ShuttingDown when the service is ending."""
        if self._closed:
            raise ShuttingDown("The service is shutting down.")
        if self._free.locked() and self._waiting >= self._max_waiting:
            raise Overloaded("As many questions as are allowed are being answered or wait.")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    def close(self) -> None:
        """Admit nobody from now on; those inside go on."""
        self._closed = True
