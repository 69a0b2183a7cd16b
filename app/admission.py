"""Who may work now, who waits, who is turned away: a bounded number of each. And who works only where nobody else would."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.errors import Overloaded, ShuttingDown


class Place:
    """Held by one question. Who only waits for another's work may leave it, and wants it again before working."""

    def __init__(self, again: Callable[[], Awaitable[None]], let_go: Callable[[], None]) -> None:
        self._again = again
        self._let_go = let_go
        self._held = True

    def leave(self) -> None:
        """Somebody else may work. Twice does no harm."""
        if self._held:
            self._held = False
            self._let_go()

    async def back(self) -> None:
        """Work again, as soon as there is room; nobody is turned away who was in."""
        if not self._held:
            await self._again()
            self._held = True


class Admission:
    """Lets `max_running` in and keeps at most `max_waiting` in line, first come first served.

    Not bound to a task: it may be held across the yields of a generator that several tasks pull.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._free = asyncio.Semaphore(max_running)
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._running = 0
        self._waiting = 0
        self._spare = 0
        self._news = asyncio.Event()
        self._closed = False

    @asynccontextmanager
    async def admit(self) -> AsyncIterator["Place"]:
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
        self._running += 1
        place = Place(self._again, self._let_go)
        try:
            yield place
        finally:
            place.leave()

    async def _again(self) -> None:
        await self._free.acquire()
        self._running += 1

    def _let_go(self) -> None:
        self._running -= 1
        self._free.release()
        self._tell()

    @asynccontextmanager
    async def spare(self) -> AsyncIterator[None]:
        """Hold a place that nobody wants, however long it takes until there is one; never again once the service is ending.

        Such a place takes none from `admit`: whoever comes there meanwhile gets in at once.
        """
        while self._closed or self._waiting or self._running + self._spare >= self._max_running:
            await self._news.wait()
        self._spare += 1
        try:
            yield
        finally:
            self._spare -= 1
            self._tell()

    def close(self) -> None:
        """Admit nobody from now on; those inside go on."""
        self._closed = True

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class SpareAdmission(Admission):
    """Lets in at most `most`, and each only where another admission has a place to spare. All others wait."""

    def __init__(self, before: Admission, most: int) -> None:
        super().__init__(most, sys.maxsize)
        self._before = before

    @asynccontextmanager
    async def admit(self) -> AsyncIterator["Place"]:
        """Hold a place that nobody wants."""
        async with super().admit() as place, self._before.spare():
            yield place
