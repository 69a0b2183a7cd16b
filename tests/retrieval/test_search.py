"""A question's way through retrieval, and what is left of it when a part fails."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from ingest.model import Chunk
from ingest.ports import Lead, LiveChunk
from retrieval.adapters.late_interaction import LateInteractionReranker
from retrieval.errors import IndexUnavailable, RerankerUnavailable, SearchTimeout
from retrieval.filters import EVERYTHING
from retrieval.model import Bits, EmbeddedQuery, Found, Passage, Query, Ranked, Scope
from retrieval.names import DocumentNames
from retrieval.search import HybridSearch, SearchLimits
from tests.fakes import FakeEmbedder
from tests.upstream.virtual import run_virtually

TEXTS = {f"c{n}": text for n, text in enumerate(["otters swim", "owls fly", "otters and owls", "stones lie", "rain"])}


class Parts:
    """Everything that a search asks, in memory and virtual time; `failing` names what is down, `slow` what never answers."""

    def __init__(self) -> None:
        self.embedder = FakeEmbedder()
        self.failing: set[str] = set()
        self.dead: set[str] = set()
        self.slow: set[str] = set()
        self.begun: list[str] = []

    async def _asked(self, part: str) -> None:
        self.begun.append(part)
        if part in self.slow:
            await asyncio.sleep(1e9)
        if part in self.failing:
            raise IndexUnavailable(f"{part} is down")

    async def search_dense(self, vector: EmbeddedQuery, query: Query, limit: int) -> list[Ranked]:
        await self._asked(_arm("dense", query))
        embedded = await self.embedder.embed_passages(list(TEXTS.values()))
        scores = {i: float(e.vector @ vector.vector) for i, e in zip(TEXTS, embedded, strict=True)}
        return [Ranked(i, s) for i, s in sorted(scores.items(), key=lambda x: -x[1])][:limit]

    async def search_lexical(self, query: Query, limit: int) -> list[Ranked]:
        await self._asked(_arm("bm25", query))
        words = set(query.text.split())
        found = {i: float(len(words & set(text.split()))) for i, text in TEXTS.items()}
        return [Ranked(i, s) for i, s in sorted(found.items(), key=lambda x: -x[1]) if s][:limit]

    async def live_chunks(self, collection_id: str, chunk_ids: Sequence[str]) -> dict[str, LiveChunk]:
        return {i: _live(i, collection_id) for i in chunk_ids if i not in self.dead}

    async def get(self, ids: Sequence[str]) -> dict[str, Bits]:
        await self._asked("tokens")
        embedded = await self.embedder.embed_passages([TEXTS[i] for i in ids])
        return {i: e.bits for i, e in zip(ids, embedded, strict=True)}

    async def put(self, bits: Mapping[str, Bits]) -> None:
        raise AssertionError

    async def delete(self, ids: Any) -> None:
        raise AssertionError

    async def rerank(self, query: EmbeddedQuery, text: str, passages: Sequence[Passage]) -> list[Ranked]:
        self.begun.append("rerank")
        if "rerank" in self.failing:
            raise RerankerUnavailable("down")
        return await LateInteractionReranker().rerank(query, text, passages)


def _arm(part: str, query: Query) -> str:
    return part if query.filters == EVERYTHING else f"named_{part}"


def _live(i: str, collection_id: str) -> LiveChunk:
    chunk = Chunk(i, f"doc-{i}", 0, 0, len(TEXTS[i]), TEXTS[i], (), None, None, None, 4)
    return LiveChunk(chunk, collection_id, 1, f"{i}.md", i, "text/markdown", datetime(2026, 1, 1, tzinfo=UTC))


def search(
    parts: Parts, text: str = "otters swim", limits: SearchLimits | None = None, names: DocumentNames | None = None
) -> Found:
    made = HybridSearch(
        parts.embedder, parts, parts, parts, parts, parts, limits or SearchLimits(candidates=5, timeout_s=600), names
    )
    return run_virtually(made.search(Query(text, Scope("col", "default", None))))


def test_every_hit_keeps_its_place_in_each_arm() -> None:
    found = search(Parts())
    best = found.passages[0]
    assert best.id == "c0"
    assert {"dense", "bm25", "fused", "rerank"} <= set(best.hit.places)
    assert best.hit.places["bm25"].rank == 1
    assert found.degraded == ()
    assert {"embed", "dense", "bm25", "fuse", "read", "rerank", "total"} <= set(found.timings_ms)
    assert len({p.id for p in found.passages}) == len(found.passages)


def test_bm25_does_not_wait_for_the_embedding() -> None:
    parts = Parts()
    embed = parts.embedder.embed_query

    async def slowly(text: str) -> EmbeddedQuery:
        await asyncio.sleep(0.05)
        parts.begun.append("embedded")
        return await embed(text)

    parts.embedder.embed_query = slowly  # type: ignore[method-assign]
    search(parts)
    assert parts.begun[:3] == ["bm25", "embedded", "dense"]


@pytest.mark.parametrize(
    ("failing", "degraded"),
    [("dense", "vector"), ("bm25", "lexical"), ("rerank", "reranker"), ("tokens", "reranker")],
)
def test_one_part_down_is_named_and_the_rest_answers(failing: str, degraded: str) -> None:
    parts = Parts()
    parts.failing = {failing}
    found = search(parts)
    assert found.degraded == (degraded,)
    assert found.passages[0].id == "c0"


def test_no_embedder_leaves_the_words() -> None:
    parts = Parts()
    parts.embedder = FakeEmbedder(broken=True)
    parts.failing = {"tokens"}
    found = search(parts)
    assert found.degraded == ("embedder", "reranker")
    assert found.query is None
    assert found.passages[0].id == "c0"


def test_both_arms_down_is_an_error() -> None:
    parts = Parts()
    parts.failing = {"dense", "bm25"}
    with pytest.raises(IndexUnavailable):
        search(parts)


def test_a_bug_is_not_taken_for_an_outage() -> None:
    parts = Parts()

    async def broken(query: Query, limit: int) -> list[Ranked]:
        raise ZeroDivisionError

    parts.search_lexical = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        search(parts)


def test_time_is_up() -> None:
    parts = Parts()
    parts.slow = {"dense"}
    with pytest.raises(SearchTimeout):
        search(parts, limits=SearchLimits(timeout_s=0.05, deadlines={}))


def test_what_is_not_live_is_not_found_and_others_take_its_place() -> None:
    parts = Parts()
    parts.dead = {"c0"}
    found = search(parts, limits=SearchLimits(candidates=5, read_closely=2))
    assert "c0" not in {p.id for p in found.passages}
    assert len(found.passages) == 2


def test_reranking_can_be_switched_off() -> None:
    parts = Parts()
    weights = {"dense": 1.0, "bm25": 1.0, "rerank": 0.0}
    found = search(parts, limits=replace(SearchLimits(), weights=weights))  # type: ignore[arg-type]
    assert "rerank" not in parts.begun
    assert all("rerank" not in p.hit.places for p in found.passages)
    assert all(p.bits is not None and p.bits.dtype == np.uint8 for p in found.passages)


class Leads:
    """A catalog with two long documents, of which a question may name one."""

    async def stamp(self, collection_id: str) -> str:
        return collection_id

    async def leads(self, collection_id: str, known: Mapping[str, int]) -> tuple[set[str], list[Lead]]:
        dated = datetime(2026, 1, 1, tzinfo=UTC)
        titles = {"doc-c0": "Bramble Otters", "doc-c3": "Quarry", "doc-c4": "Weather"}
        return set(titles), [Lead(i, 1, f"{i}.md", title, "", dated) for i, title in titles.items()]


NAMING = "otters swim where Bramble lives"


class TestNamed:
    def places(self, found: Found) -> set[str]:
        return {arm for passage in found.passages for arm in passage.hit.places}

    def test_a_document_that_is_named_is_searched_once_more(self) -> None:
        found = search(Parts(), NAMING, names=DocumentNames(Leads()))
        assert {"named_dense", "named_bm25"} <= self.places(found)
        assert found.degraded == ()

    @pytest.mark.parametrize(("arm", "degraded"), [("dense", "vector"), ("bm25", "lexical")])
    def test_one_that_fails_is_named_and_the_rest_answers(self, arm: str, degraded: str) -> None:
        parts = Parts()
        parts.failing = {f"named_{arm}"}
        found = search(parts, NAMING, names=DocumentNames(Leads()))
        assert found.degraded == (degraded,)
        assert {"named_dense", "named_bm25", "dense", "bm25"} - self.places(found) == parts.failing
        assert found.passages[0].id == "c0"

    def test_names_that_are_not_known_yet_are_told(self) -> None:
        class Hanging(Leads):
            async def stamp(self, collection_id: str) -> str:
                await asyncio.Event().wait()
                raise AssertionError

        found = search(Parts(), NAMING, names=DocumentNames(Hanging(), patience_s=0.01))
        assert found.degraded == ("names",)
        assert {"dense", "bm25"} <= self.places(found)
        assert not {"named_dense", "named_bm25"} & self.places(found)

    def test_both_may_fail(self) -> None:
        parts = Parts()
        parts.failing = {"named_dense", "named_bm25"}
        found = search(parts, NAMING, names=DocumentNames(Leads()))
        assert found.degraded == ("vector", "lexical")
        assert found.passages[0].id == "c0"

    @pytest.mark.parametrize(
        "limits",
        [
            SearchLimits(candidates=5, timeout_s=600, deadlines={"dense": 0.2}),
            SearchLimits(candidates=5, timeout_s=600, deadlines={}),  # half of what is left to the whole
        ],
    )
    def test_one_that_is_late_is_left_out(self, limits: SearchLimits) -> None:
        parts = Parts()
        parts.slow = {"named_dense"}
        found = search(parts, NAMING, limits, DocumentNames(Leads()))
        assert found.degraded == ("vector",)
        assert "named_bm25" in self.places(found)

    def test_a_bug_is_not_taken_for_an_outage(self) -> None:
        parts = Parts()
        lexical = parts.search_lexical

        async def broken(query: Query, limit: int) -> list[Ranked]:
            if query.filters != EVERYTHING:
                raise ZeroDivisionError
            return await lexical(query, limit)

        parts.search_lexical = broken  # type: ignore[method-assign]
        with pytest.raises(ZeroDivisionError):
            search(parts, NAMING, names=DocumentNames(Leads()))
