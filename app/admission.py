"""Who may work now, who waits, who is turned away: a bounded number of each. And who works only where nobody else would."""

import asyncio
import math
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.errors import Overloaded, ShuttingDown
from app.limits.line import Line
from app.limits.pace import Pace

_Turn = asyncio.Future[None]


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
    """Lets `max_running` in and keeps at most `max_waiting` in line, each at most `max_wait_s`.

    Keys take turns, and in the line of one key it is first come, first served. Where the line is full, somebody of a key that
    has more waiting than its share makes room for one of a key that has less. Not bound to a task: a place may be held across
    the yields of a generator that several tasks pull.
    """

    def __init__(
        self,
        max_running: int,
        max_waiting: int,
        max_wait_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._running = 0
        self._spare = 0
        self._line: Line[_Turn] = Line()
        self._returning: deque[_Turn] = deque()  # who was in already
        self._pace = Pace(clock)
        self._news = asyncio.Event()
        self._closed = False

    @asynccontextmanager
    async def admit(self, who: str = "") -> AsyncIterator["Place"]:
        """Hold a place; `who` is the key that it is for. Raises Overloaded when the line is full or moves too slowly,
        ShuttingDown when the service is ending."""
        if self._closed:
            raise ShuttingDown("The service is shutting down.")
        if self._has_room:
            self._running += 1
        else:
            await self._wait(who)
        place = Place(self._again, self._let_go)
        try:
            yield place
        finally:
            place.leave()

    @property
    def _waiting(self) -> int:
        return len(self._line)

    @property
    def _has_room(self) -> bool:
        return self._running < self._max_running and not self._line and not self._returning

    async def _wait(self, who: str) -> None:
        """Until it is their turn. Raises Overloaded."""
        before = self._waiting + 1
        if (wait_s := self._pace.wait_s(before)) is not None and wait_s > self._max_wait_s:
            raise self._overloaded("The questions that wait take longer than one may wait.")
        if self._waiting >= self._max_waiting:
            last = self._line.give_way(who)
            if last is None:
                raise self._overloaded("As many questions as are allowed are being answered or wait.")
            last.set_exception(self._overloaded("Others who had fewer questions waiting came, and the line is full."))
        if not self._line:
            self._pace.begin()
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._line.join(who, turn)
        try:
            async with asyncio.timeout(None if math.isinf(self._max_wait_s) else self._max_wait_s):
                await turn
        except BaseException as error:
            self._line.leave(who, turn)
            self._give_up(turn)
            if isinstance(error, TimeoutError):
                raise self._overloaded("There was no place for this question in the time that one may wait.") from None
            raise

    async def _again(self) -> None:
        if self._running < self._max_running:
            self._running += 1
            return
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._returning.append(turn)
        try:
            await turn
        except BaseException:
            if turn in self._returning:
                self._returning.remove(turn)
            self._give_up(turn)
            raise

    def _give_up(self, turn: _Turn) -> None:
        """Whose turn it was when they left passes the place on."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._let_go()

    def _let_go(self) -> None:
        self._running -= 1
        if self._line:
            self._pace.note()
        while self._running < self._max_running and (self._returning or self._line):
            turn = self._returning.popleft() if self._returning else self._line.next()
            if not turn.done():
                self._running += 1
                turn.set_result(None)
        self._tell()

    def _overloaded(self, message: str) -> Overloaded:
        """With the time until the line of now will have gone, at the speed at which it goes."""
        details = {"waiting": self._waiting, "running": self._running}
        return Overloaded(message, details=details, retry_after=self._pace.retry_after(self._waiting + 1))

    @asynccontextmanager
    async def spare(self) -> AsyncIterator[None]:
        """Hold a place that nobody wants, however long it takes until there is one; never again once the service is ending.

        Such a place takes none from `admit`: whoever comes there meanwhile gets in at once.
        """
        while self._closed or self._line or self._running + self._spare >= self._max_running:
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
    async def admit(self, who: str = "") -> AsyncIterator["Place"]:
        """Hold a place that nobody wants."""
        async with super().admit(who) as place, self._before.spare():
            yield place
