"""Reading closely in stages, and what is left when a stage fails or is late."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from generation.breaker import Breaker
from retrieval.adapters.http_rerank import HttpReranker
from retrieval.errors import RerankerUnavailable, SearchTimeout
from retrieval.model import EmbeddedQuery, Found, Passage, Query, Ranked, Scope
from retrieval.search import HybridSearch, SearchLimits
from retrieval.timings import in_time
from tests.fakes import FakeEmbedder
from tests.model_endpoint import Reply, endpoint
from tests.patience import PATIENCE_S
from tests.retrieval.test_search import Parts
from tests.upstream.virtual import run_virtually

LIMITS = SearchLimits(candidates=5, timeout_s=600)


class Cross:
    """Ranks by name, last first, and notes what it was given; it may fail or hang."""

    def __init__(self, error: Exception | None = None, seconds: float = 0.0) -> None:
        self.error = error
        self.seconds = seconds
        self.read: list[list[str]] = []
        self.queries: list[EmbeddedQuery] = []

    async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        self.read.append([passage.id for passage in passages])
        self.queries.append(query)
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        ids = sorted((passage.id for passage in passages), reverse=True)
        return [Ranked(i, 1.0 / n) for n, i in enumerate(ids, 1)]


def search(parts: Parts, cross: Cross | None, limits: SearchLimits = LIMITS) -> Found:
    made = HybridSearch(parts.embedder, parts, parts, parts, parts, parts, limits, None, cross)
    return run_virtually(made.search(Query("otters swim", Scope("col", "default", None))))


def test_the_second_reader_gets_the_best_of_the_first_and_its_order_is_one_list_more() -> None:
    before = search(Parts(), None)
    cross = Cross()
    found = search(Parts(), cross, replace(LIMITS, cross_reads=3))
    assert cross.read == [[passage.id for passage in before.passages[:3]]]
    read = {p.id for p in found.passages if "cross" in p.hit.places}
    assert read == set(cross.read[0])
    assert {p.id for p in found.passages} == {p.id for p in before.passages}
    weights, k = LIMITS.weights, LIMITS.rerank_k
    sums = [sum(weights[a] / (k + at.rank) for a, at in p.hit.places.items() if a != "fused") for p in found.passages]
    assert sums == sorted(sums, reverse=True)
    assert found.degraded == ()


def test_a_heavy_second_reader_decides() -> None:
    limits = replace(LIMITS, weights={**LIMITS.weights, "cross": 1000.0})
    assert [p.id for p in search(Parts(), Cross(), limits).passages] == ["c4", "c3", "c2", "c1", "c0"]


def test_weight_0_asks_nobody() -> None:
    cross = Cross()
    limits = replace(LIMITS, weights={**LIMITS.weights, "cross": 0.0})
    assert [p.id for p in search(Parts(), cross, limits).passages] == [p.id for p in search(Parts(), None).passages]
    assert cross.read == []


@pytest.mark.parametrize("cross", [Cross(error=RerankerUnavailable("down")), Cross(seconds=1e9)])
def test_a_second_reader_that_fails_or_hangs_leaves_the_order_of_the_first(cross: Cross) -> None:
    found = search(Parts(), cross, replace(LIMITS, cross_s=0.2))
    assert [p.id for p in found.passages] == [p.id for p in search(Parts(), None).passages]
    assert all("rerank" in p.hit.places and "cross" not in p.hit.places for p in found.passages)
    assert found.degraded == ("reranker",)


def test_late_interaction_that_fails_leaves_the_second_reader() -> None:
    parts = Parts()
    parts.failing = {"rerank"}
    found = search(parts, Cross())
    assert all("cross" in p.hit.places and "rerank" not in p.hit.places for p in found.passages)
    assert found.degraded == ("reranker",)


def test_both_failing_is_told_once() -> None:
    parts = Parts()
    parts.failing = {"rerank"}
    assert search(parts, Cross(error=RerankerUnavailable("down"))).degraded == ("reranker",)


def test_without_the_embedder_the_second_reader_reads_texts_alone() -> None:
    parts = Parts()
    parts.embedder = FakeEmbedder(broken=True)
    cross = Cross()

    async def none(ids: Sequence[str]) -> dict[str, Any]:
        return {}

    parts.get = none  # type: ignore[method-assign]
    found = search(parts, cross)
    assert found.degraded == ("embedder",)
    assert len(cross.queries[0].tokens) == 0
    assert all("cross" in p.hit.places for p in found.passages)


class Tokenless(FakeEmbedder):
    """As an endpoint for embeddings: a vector for a text, none for its tokens."""

    async def embed_query(self, text: str) -> EmbeddedQuery:
        query = await super().embed_query(text)
        return EmbeddedQuery(query.vector, np.zeros((0, self.dimension), np.float32))


@pytest.mark.parametrize("cross", [None, Cross()])
def test_an_embedder_without_token_vectors_is_no_failure(cross: Cross | None) -> None:
    parts = Parts()
    parts.embedder = Tokenless()
    found = search(parts, cross)
    assert found.degraded == ()
    assert "rerank" not in parts.begun
    assert all("rerank" not in p.hit.places for p in found.passages)
    assert ("rerank" in found.timings_ms) == (cross is not None)


@pytest.mark.parametrize(("slow", "degraded"), [("dense", "vector"), ("bm25", "lexical")])
def test_an_arm_that_is_late_is_done_without(slow: str, degraded: str) -> None:
    parts = Parts()
    parts.slow = {slow}
    found = search(parts, None, replace(LIMITS, deadlines={"dense": 0.2, "bm25": 0.2}))
    assert found.degraded == (degraded,)
    assert found.passages[0].id == "c0"
    assert all(slow not in p.hit.places for p in found.passages)


def test_a_question_that_is_embedded_too_late_is_searched_for_by_its_words() -> None:
    parts = Parts()

    async def slowly(text: str) -> EmbeddedQuery:
        await asyncio.sleep(30)
        raise AssertionError

    parts.embedder.embed_query = slowly  # type: ignore[method-assign]
    found = search(parts, None, replace(LIMITS, deadlines={"embed": 0.2}))
    assert found.degraded == ("embedder",)
    assert found.query is None
    assert "dense" not in parts.begun
    assert all(set(p.hit.places) == {"bm25", "fused"} for p in found.passages)


def test_late_interaction_that_is_late_leaves_the_fused_order() -> None:
    parts = Parts()

    async def slowly(query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        await asyncio.sleep(30)
        raise AssertionError

    parts.rerank = slowly  # type: ignore[method-assign]
    found = search(parts, None, replace(LIMITS, rerank_s=0.2))
    assert found.degraded == ("reranker",)
    assert [p.hit.places["fused"].rank for p in found.passages] == [1, 2, 3, 4, 5]


def test_a_stage_never_takes_what_the_whole_search_has_left() -> None:
    found = search(Parts(), Cross(seconds=1e9), replace(LIMITS, cross_s=1e6))
    assert found.degraded == ("reranker",)


class TestInTime:
    def run(self, work: Callable[[], Awaitable[Any]], seconds: float = 0.05) -> Any:
        return run_virtually(self._timed(work, seconds))

    async def _timed(self, work: Callable[[], Awaitable[Any]], seconds: float) -> Any:
        return await in_time("it", work, seconds)

    def test_what_is_done_in_time_is_given(self) -> None:
        async def work() -> int:
            return 7

        assert self.run(work) == 7

    def test_what_it_raises_is_raised(self) -> None:
        async def work() -> int:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self.run(work)

    def test_what_cannot_be_broken_off_is_not_waited_for(self) -> None:
        """A batch of a model, or a call of an engine, whose end comes when it comes."""

        async def stubborn() -> None:
            now = asyncio.get_running_loop().time
            while now() < 500:
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    continue

        async def main() -> float:
            with pytest.raises(SearchTimeout):
                await in_time("it", stubborn, 0.25)
            return asyncio.get_running_loop().time()

        assert run_virtually(main()) == 0.25

    def test_how_what_was_late_ends_is_nobodys_business(self) -> None:
        complaints: list[Any] = []

        async def fails() -> None:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                raise ZeroDivisionError from None

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            with pytest.raises(SearchTimeout):
                await in_time("it", fails, 0.01)
            await asyncio.sleep(0.05)
            gc.collect()

        run_virtually(main())
        assert complaints == []

    def test_who_is_cancelled_takes_it_along(self) -> None:
        ended = []

        async def work() -> None:
            try:
                await asyncio.sleep(30)
            finally:
                ended.append(True)

        async def main() -> None:
            task = asyncio.create_task(in_time("it", work, 60))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended == [True]

        run_virtually(main())


def by_length(body: Any) -> Reply:
    """An endpoint that ranks, the longest text first."""
    texts = body["documents"]
    return Reply({"results": [{"index": i, "relevance_score": len(text)} for i, text in enumerate(texts)]})


class Counted(HttpReranker):
    """Counts how often it is asked, also where a busy machine does not bring the question to the endpoint in time."""

    asked = 0

    async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        self.asked += 1
        return await super().rerank(query, text, passages)


@pytest.mark.parametrize("down", [Reply(status=503), Reply(wait_s=1.0)], ids=["refuses", "hangs"])
def test_an_endpoint_that_is_down_is_left_alone_and_comes_back(down: Reply) -> None:
    """Five questions try it, the next ones do not even ask; after the pause one does, and all are well again."""
    answers, now = [down], [0.0]
    patient = replace(LIMITS, deadlines={}, rerank_s=PATIENCE_S, cross_s=PATIENCE_S)
    limits = replace(patient, cross_s=0.1) if down.wait_s else patient
    breaker = Breaker(lambda: now[0], dice=lambda: 0.0)
    plain = [passage.id for passage in search(Parts(), None).passages]

    async def main(url: str) -> None:
        reranker = Counted(url, "m", timeout_s=0.1 if down.wait_s else PATIENCE_S)
        parts = Parts()
        made = HybridSearch(parts.embedder, parts, parts, parts, parts, parts, limits, None, reranker, breaker)

        async def ask() -> Found:
            return await made.search(Query("otters swim", Scope("col", "default", None)))

        for _ in range(8):
            found = await ask()
            assert found.degraded == ("reranker",)
            assert [passage.id for passage in found.passages] == plain
        assert reranker.asked == 5
        assert len(seen.bodies) <= 5
        answers[0], now[0] = Reply(), 1.0
        made._limits = patient
        reranker._endpoint._timeout_s = reranker._endpoint._client.timeout = PATIENCE_S  # type: ignore[assignment]
        assert [(await ask()).degraded for _ in range(3)] == [()] * 3
        assert reranker.asked == 8
        await reranker.aclose()

    with endpoint(lambda body: by_length(body) if answers[0] == Reply() else answers[0]) as seen:
        asyncio.run(main(seen.url))
    assert breaker.state == "closed"


def test_who_goes_away_is_not_counted_against_an_endpoint() -> None:
    breaker = Breaker()
    parts, begun = Parts(), asyncio.Queue[int]()

    class Hanging(Cross):
        async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
            begun.put_nowait(len(passages))
            return await super().rerank(query, text, passages)

    patient = replace(LIMITS, deadlines={}, rerank_s=PATIENCE_S, cross_s=PATIENCE_S)
    made = HybridSearch(parts.embedder, parts, parts, parts, parts, parts, patient, None, Hanging(seconds=1e3), breaker)

    async def main() -> None:
        for _ in range(8):
            asked = asyncio.create_task(made.search(Query("otters swim", Scope("col", "default", None))))
            await begun.get()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    asyncio.run(main())
    assert begun.empty()
    assert breaker.state == "closed"
