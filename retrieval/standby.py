"""BM25 while the engine's own does not answer, by another one that reads the catalog."""

import asyncio
from collections.abc import Callable

from retrieval.errors import IndexUnavailable
from retrieval.model import Query, Ranked
from retrieval.ports import LexicalIndex


class StandbyLexical:
    """LexicalIndex: the first one, and where that fails the second. Both rank alike, so an answer is no worse for it; but
    whoever watches the engine is told."""

    def __init__(
        self, first: LexicalIndex, second: LexicalIndex, *, down: Callable[[], bool], failed: Callable[[], None]
    ) -> None:
        """`down` says that the first need not be asked, `failed` is called when it could not answer."""
        self._first = first
        self._second = second
        self._down = down
        self._failed = failed
        self._running: set[asyncio.Task[list[Ranked]]] = set()

    async def search_lexical(self, query: Query, limit: int) -> list[Ranked]:
        """Raises IndexUnavailable when neither answers."""
        if not self._down():
            try:
                return await self._first.search_lexical(query, limit)
            except IndexUnavailable:
                self._failed()
        return await asyncio.shield(self._asked(query, limit))

    def _asked(self, query: Query, limit: int) -> "asyncio.Task[list[Ranked]]":
        """A task of its own: a question may be out of time before the second has read its corpus for the first time, and
        the next one then finds it read."""
        task = asyncio.create_task(self._second.search_lexical(query, limit))
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[list[Ranked]]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where nobody waits for it any more
