"""Fusion against a slow, obvious twin, and the places that hits keep."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import join_reranking, reciprocal_rank_fusion
from retrieval.model import Arm, Place, Ranked

IDS = [f"c{n}" for n in range(12)]


def ranking(*ids: str) -> list[Ranked]:
    return [Ranked(i, 1.0 / (n + 1)) for n, i in enumerate(ids)]


def twin(rankings: Mapping[Arm, Sequence[Ranked]], weights: Mapping[Arm, float], k: int) -> dict[str, float]:
    """The formula, one id at a time."""
    every = {entry.id for entries in rankings.values() for entry in entries}
    sums = {}
    for i in every:
        sums[i] = 0.0
        for arm, entries in rankings.items():
            for rank, entry in enumerate(entries, start=1):
                if entry.id == i:
                    sums[i] += weights[arm] / (k + rank)
    return sums


orders = st.lists(st.sampled_from(IDS), unique=True, max_size=12)


@given(orders, orders, st.integers(0, 100), st.floats(0.1, 5), st.floats(0.1, 5))
def test_equals_the_formula(dense: list[str], bm25: list[str], k: int, wd: float, wb: float) -> None:
    rankings: dict[Arm, Sequence[Ranked]] = {"dense": ranking(*dense), "bm25": ranking(*bm25)}
    weights: dict[Arm, float] = {"dense": wd, "bm25": wb}
    hits = reciprocal_rank_fusion(rankings, weights, k)
    expected = twin(rankings, weights, k)
    assert {hit.id for hit in hits} == set(expected)
    assert len({hit.id for hit in hits}) == len(hits)
    for hit in hits:
        assert hit.places["fused"].score == pytest.approx(expected[hit.id])
    scores = [hit.places["fused"].score for hit in hits]
    assert all(a >= b for a, b in pairwise(scores))
    assert [hit.places["fused"].rank for hit in hits] == list(range(1, len(hits) + 1))


def test_keeps_rank_and_score_of_each_arm() -> None:
    hits = reciprocal_rank_fusion(
        {"dense": ranking("a", "b"), "bm25": ranking("b", "c")}, {"dense": 1.0, "bm25": 1.0}, 60
    )
    by_id = {hit.id: hit for hit in hits}
    assert hits[0].id == "b"
    assert by_id["b"].places["dense"] == Place(2, 0.5)
    assert by_id["b"].places["bm25"] == Place(1, 1.0)
    assert "bm25" not in by_id["a"].places


def test_nothing_found_by_either_arm() -> None:
    assert reciprocal_rank_fusion({"dense": [], "bm25": []}, {"dense": 1.0, "bm25": 1.0}, 60) == ()


@given(orders, orders, orders, st.floats(0, 4), st.integers(0, 60))
def test_reranking_joins_as_one_list_more(
    dense: list[str], bm25: list[str], last: list[str], weight: float, k: int
) -> None:
    hits = reciprocal_rank_fusion({"dense": ranking(*dense), "bm25": ranking(*bm25)}, {"dense": 1, "bm25": 1}, 60)
    reranked = ranking(*(i for i in last if i in {hit.id for hit in hits}))
    weights: dict[Arm, float] = {"dense": 1.0, "bm25": 0.5, "rerank": weight}
    joined = join_reranking(hits, reranked, weights, k)
    expected = twin({"dense": ranking(*dense), "bm25": ranking(*bm25), "rerank": reranked}, weights, k)
    assert sorted(hit.id for hit in joined) == sorted(hit.id for hit in hits)
    assert all(expected[a.id] >= expected[b.id] - 1e-12 for a, b in pairwise(joined))
    for before in hits:
        after = next(hit for hit in joined if hit.id == before.id)
        assert {arm: place for arm, place in after.places.items() if arm != "rerank"} == before.places
    assert [h.id for h in joined if "rerank" in h.places] == [h.id for h in joined if h.id in {r.id for r in reranked}]
