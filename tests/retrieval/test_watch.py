"""The watch says what the engine lacks, has it put back, and takes no ingest at work for a loss. In virtual time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ingest.errors import CatalogUnavailable
from retrieval.errors import IndexUnavailable, SearchTimeout
from retrieval.model import Found, Query, Ranked, Scope
from retrieval.standby import StandbyLexical
from retrieval.watch import IndexWatch, Seen, WatchedSearch
from tests.upstream.virtual import run_virtually

QUERY = Query("quokka", Scope("col", "here", None))


class Counts:
    """An engine's and a catalog's counts, told in turn; the last is told for ever. An exception is raised."""

    def __init__(self, points: list[Any], chunks: list[Any]) -> None:
        self.points = points
        self.chunks = chunks
        self.mended = 0

    async def count(self, collection_id: str | None = None) -> int:
        return int(_next(self.points))

    async def count_live(self, collection_id: str | None = None) -> tuple[int, int]:
        return 1, int(_next(self.chunks))

    async def mend(self) -> None:
        self.mended += 1
        self.points = [9]


def _next(values: list[Any]) -> Any:
    value = values.pop(0) if len(values) > 1 else values[0]
    if isinstance(value, Exception):
        raise value
    return value


def watch(counts: Counts, *, trusted: bool = False, **more: Any) -> IndexWatch:
    return IndexWatch(counts, counts, trusted=trusted, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("points", "chunks", "seen"),
    [
        ([9], [9], Seen("whole", 9, 9)),
        ([12], [9], Seen("whole", 12, 9)),
        ([0], [0], Seen("whole", 0, 0)),
        ([5], [9], Seen("short", 5, 9)),
        ([0], [9], Seen("empty", 0, 9)),
        ([IndexUnavailable("It is down.")], [9], Seen("unavailable", 0, 9, "It is down.")),
        ([5, 9], [9], Seen("whole", 9, 9)),
        ([5], [9, 5], Seen("whole", 5, 5)),
    ],
)
def test_what_is_counted_decides(points: list[Any], chunks: list[Any], seen: Seen) -> None:
    """The last two are an ingest that writes or removes points between the counts."""
    assert run_virtually(watch(Counts(points, chunks)).look()) == seen


def test_an_engine_that_does_not_answer_a_count_is_unavailable() -> None:
    class Hangs(Counts):
        async def count(self, collection_id: str | None = None) -> int:
            await asyncio.sleep(60)
            return 9

    seen = run_virtually(watch(Hangs([9], [9]), count_s=0.05).look())
    assert seen.state == "unavailable"
    assert "0.05 s" in seen.detail


def test_a_catalog_that_cannot_be_read_is_not_the_engines_fault() -> None:
    async def main() -> None:
        counts = Counts([9], [CatalogUnavailable("It is gone.")])
        with pytest.raises(CatalogUnavailable):
            await watch(counts).look()
        await watch(counts).restore(counts.mend)  # says nothing, and stops nothing

    run_virtually(main())


def test_nothing_is_taken_for_whole_before_it_was_counted_and_an_own_engine_is() -> None:
    counts = Counts([9], [9])
    assert not watch(counts).whole
    assert watch(counts, trusted=True).whole
    other = watch(counts)
    run_virtually(other.look())
    assert other.whole


def test_a_failed_call_makes_a_server_doubtful_until_the_next_count_and_not_an_own_engine() -> None:
    async def main() -> None:
        for trusted in (False, True):
            it = watch(Counts([9], [9]), trusted=trusted)
            await it.look()
            it.suspect()
            assert it.whole is trusted
            await it.look()
            assert it.whole

    run_virtually(main())


async def kept(it: IndexWatch, counts: Counts, holds: Callable[[], bool]) -> None:
    task = asyncio.create_task(it.keep(counts.mend))
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_is_missing_is_put_back_soon_after_something_failed() -> None:
    async def main() -> None:
        counts = Counts([9], [9])
        it = watch(counts, every_s=3600)
        await it.look()
        counts.points = [5]
        it.suspect()
        await kept(it, counts, lambda: it.whole and counts.mended == 1)

    run_virtually(main())


def test_what_is_missing_is_put_back_without_anything_having_failed() -> None:
    async def main() -> None:
        counts = Counts([9, 0, 0], [9])
        it = watch(counts, every_s=0.05)
        await it.look()
        await kept(it, counts, lambda: counts.mended == 1 and it.whole)

    run_virtually(main())


def test_what_cannot_be_mended_is_said() -> None:
    async def main() -> None:
        async def cannot() -> None:
            raise IndexUnavailable("It is full.")

        it = watch(Counts([5], [9]))
        await it.restore(cannot)
        assert it.seen == Seen("short", 5, 9)
        assert it.seen.detail == "5 of 9 passages are in the index; the rest is being put back."

    run_virtually(main())


class Finds:
    """A search that was told what to say."""

    def __init__(self, said: Found | Exception) -> None:
        self.said = said
        self.asked = 0

    async def search(self, _query: Query) -> Found:
        self.asked += 1
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def found(*degraded: str) -> Found:
    return Found((), (), None, degraded)


@pytest.mark.parametrize(
    ("points", "degraded", "flagged"),
    [
        (9, (), ()),
        (9, ("reranker",), ("reranker",)),
        (9, ("vector",), ("vector",)),
        (5, (), ("index",)),
        (5, ("lexical",), ("lexical", "index")),
    ],
)
def test_every_answer_says_what_it_lacks(points: int, degraded: tuple[str, ...], flagged: tuple[str, ...]) -> None:
    async def main() -> None:
        it = watch(Counts([points], [9]))
        await it.look()
        search = WatchedSearch(Finds(found(*degraded)), it, refuse=False)
        assert (await search.search(QUERY)).degraded == flagged

    run_virtually(main())


@pytest.mark.parametrize(("points", "degraded", "asked"), [(9, ("vector",), 1), (9, ("lexical",), 1), (5, (), 0)])
def test_it_is_refused_where_that_was_chosen(points: int, degraded: tuple[str, ...], asked: int) -> None:
    async def main() -> None:
        it = watch(Counts([points], [9]))
        await it.look()
        inner = Finds(found(*degraded))
        with pytest.raises(IndexUnavailable):
            await WatchedSearch(inner, it, refuse=True).search(QUERY)
        assert inner.asked == asked

    run_virtually(main())


@pytest.mark.parametrize("degraded", [(), ("reranker",), ("embedder",)])
def test_only_failures_of_the_engine_are_refused(degraded: tuple[str, ...]) -> None:
    async def main() -> None:
        it = watch(Counts([9], [9]))
        await it.look()
        assert (await WatchedSearch(Finds(found(*degraded)), it, refuse=True).search(QUERY)).degraded == degraded

    run_virtually(main())


@pytest.mark.parametrize("failure", [IndexUnavailable("Down."), SearchTimeout("Late.")])
def test_a_search_that_fails_is_looked_into(failure: Exception) -> None:
    async def main() -> None:
        it = watch(Counts([9], [9]))
        await it.look()
        with pytest.raises(type(failure)):
            await WatchedSearch(Finds(failure), it, refuse=False).search(QUERY)
        assert not it.whole

    run_virtually(main())


class Lexical:
    """A LexicalIndex that takes its time, and may fail."""

    def __init__(self, name: str, seconds: float = 0, failure: Exception | None = None) -> None:
        self.found = [Ranked(name, 1.0)]
        self.seconds = seconds
        self.failure = failure
        self.finished = 0

    async def search_lexical(self, _query: Query, _limit: int) -> list[Ranked]:
        await asyncio.sleep(self.seconds)
        self.finished += 1
        if self.failure:
            raise self.failure
        return self.found


class TestStandby:
    def test_the_second_answers_only_where_the_first_cannot(self) -> None:
        async def main() -> None:
            failures: list[int] = []
            first, second = Lexical("first"), Lexical("second")
            both = StandbyLexical(first, second, down=lambda: False, failed=lambda: failures.append(1))
            assert await both.search_lexical(QUERY, 3) == first.found
            assert (second.finished, failures) == (0, [])
            first.failure = IndexUnavailable("Down.")
            assert await both.search_lexical(QUERY, 3) == second.found
            assert failures == [1]
            second.failure = IndexUnavailable("Too large.")
            with pytest.raises(IndexUnavailable, match="Too large"):
                await both.search_lexical(QUERY, 3)

        run_virtually(main())

    def test_a_first_that_is_known_to_be_down_is_not_asked(self) -> None:
        async def main() -> None:
            first, second = Lexical("first", seconds=60), Lexical("second")
            both = StandbyLexical(first, second, down=lambda: True, failed=lambda: None)
            assert await both.search_lexical(QUERY, 3) == second.found

        run_virtually(main())

    def test_what_it_has_begun_to_read_is_read_though_the_question_is_out_of_time(self) -> None:
        async def main() -> None:
            second = Lexical("second", seconds=0.1)
            both = StandbyLexical(Lexical("first"), second, down=lambda: True, failed=lambda: None)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await both.search_lexical(QUERY, 3)
            await asyncio.sleep(0.2)
            assert second.finished == 1

        run_virtually(main())
