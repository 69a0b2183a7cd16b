"""Whether the engine holds what the catalog says, looked at again and again.

A server may be down, come back without what it held, or be restored from an older copy. Its answers would then leave out
passages, and look as if all were well. So points are counted, and until there are as many as there are live chunks every
answer says so, or none is given, as the operator chose.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import structlog

from ingest.errors import GroundedError
from retrieval.errors import IndexUnavailable, SearchTimeout
from retrieval.model import Found, Query
from retrieval.ports import Search

Mend = Callable[[], Awaitable[None]]  # puts back what the engine lacks; raises GroundedError where it cannot
State = Literal["unknown", "whole", "short", "empty", "unavailable"]
_LOOKS = 2  # an ingest changes both numbers; only what is missing twice is missing
_PAUSE_S = 1.0  # between looks, however many questions fail
_SOON_S = 5.0  # until the next look while something is missing
_ENGINE = frozenset(("vector", "lexical"))  # the parts of a search that the engine answers


class PointCount(Protocol):
    """What the engine holds."""

    async def count(self, collection_id: str | None = None) -> int:
        """Points, of one collection or of all. Raises IndexUnavailable."""
        ...


class LiveCount(Protocol):
    """The catalog's own count."""

    async def count_live(self, collection_id: str | None = None) -> tuple[int, int]:
        """Live documents and live chunks."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look found: points of so many live chunks, and why there are none where the engine did not answer."""

    state: State
    points: int = 0
    chunks: int = 0
    cause: str = ""

    @property
    def detail(self) -> str:
        """For an operator."""
        if self.state == "unavailable":
            return self.cause
        if self.state in ("short", "empty"):
            return f"{self.points} of {self.chunks} passages are in the index; the rest is being put back."
        return ""


class IndexWatch:
    """Counts, and has put back what is missing. `trusted` is an engine that nobody but this process can change: it is
    taken to be whole until something says otherwise."""

    def __init__(
        self,
        points: PointCount,
        catalog: LiveCount,
        *,
        trusted: bool,
        every_s: float | None = None,
        count_s: float = 5.0,
    ) -> None:
        """`every_s` is the time between two looks, None for only when something failed; `count_s` is what a count may take."""
        self._points = points
        self._catalog = catalog
        self.failures = 0  # of calls so far; an answer during which one failed says so, also where all is well again
        self._trusted = trusted
        self._every_s = every_s
        self._count_s = count_s
        self._alarm = asyncio.Event()
        self._seen = Seen("whole" if trusted else "unknown")

    @property
    def seen(self) -> Seen:
        return self._seen

    @property
    def whole(self) -> bool:
        """Whether nothing speaks against the index being complete."""
        return self._seen.state == "whole"

    def suspect(self) -> None:
        """A search failed. A server that comes back may not hold what it held."""
        if not self._trusted:
            self.failures += 1
            self._seen = Seen("unknown") if self.whole else self._seen
        self._alarm.set()

    async def look(self) -> Seen:
        """Count. Where something is missing, it is soon put back. Raises GroundedError when the catalog cannot be read."""
        before = self._seen.state
        self._seen = await self._found()
        if not self.whole:
            self._alarm.set()
        if self._seen.state != before:
            seen = self._seen
            structlog.get_logger().log(
                20 if self.whole else 40,
                "index.state",
                state=seen.state,
                points=seen.points,
                chunks=seen.chunks,
                cause=seen.cause,
            )
        return self._seen

    async def restore(self, mend: Mend) -> None:
        """Put back what is missing, then look. What cannot be mended now is said by every answer and tried again."""
        try:
            await mend()
            await self.look()
        except GroundedError as error:
            structlog.get_logger().error("index.not_reconciled", code=error.code, cause=error.message)
            with suppress(GroundedError):
                await self.look()

    async def keep(self, mend: Mend) -> None:
        """Look from time to time, and soon when something failed, for ever; put back what is missing."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s if self.whole else _SOON_S):
                    await self._alarm.wait()
            self._alarm.clear()
            with suppress(GroundedError):  # of the catalog; its own check says so
                await self.look()
            if not self.whole:
                await self.restore(mend)
            await asyncio.sleep(_PAUSE_S)

    async def _found(self) -> Seen:
        chunks = points = 0
        for _ in range(_LOOKS):
            _, chunks = await self._catalog.count_live()
            try:
                async with asyncio.timeout(self._count_s):
                    points = await self._points.count()
            except GroundedError as error:
                return Seen("unavailable", 0, chunks, error.message)
            except TimeoutError:
                return Seen("unavailable", 0, chunks, f"The index could not be counted within {self._count_s:g} s.")
            if points >= chunks:
                return Seen("whole", points, chunks)
        return Seen("short" if points else "empty", points, chunks)


class WatchedSearch:
    """A search that says when the index lacks something: in `degraded`, or by refusing."""

    def __init__(self, inner: Search, watch: IndexWatch, *, refuse: bool) -> None:
        self._inner = inner
        self._watch = watch
        self._refuse = refuse

    async def search(self, query: Query) -> Found:
        """What `inner` finds. Raises IndexUnavailable also when only a part of the index answered, or it is not whole, and
        such answers are to be refused."""
        self._check()
        before = self._watch.failures
        try:
            found = await self._inner.search(query)
        except (IndexUnavailable, SearchTimeout):
            self._watch.suspect()
            raise
        self._check()
        whole = self._watch.whole and self._watch.failures == before
        if failed := _ENGINE.intersection(found.degraded):
            self._watch.suspect()
            if self._refuse:
                raise IndexUnavailable(f"A part of the index did not answer: {', '.join(sorted(failed))}.")
        return found if whole else replace(found, degraded=(*found.degraded, "index"))

    def _check(self) -> None:
        if self._refuse and not self._watch.whole:
            cause = self._watch.seen.detail or "The index is being checked."
            raise IndexUnavailable(
                f"The index is not whole. {cause}", "Try again soon; grounded doctor tells its state."
            )
