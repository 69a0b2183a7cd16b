"""An explanation accounts for every candidate: its shares add up to its score, and its outcome is what happened to it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from retrieval.context import Limits, pack
from retrieval.explain import explained
from retrieval.fusion import join_reranking, reciprocal_rank_fusion
from retrieval.model import Arm, Context, Explanation, Found, Fusion, Query, Ranked, Scope
from tests.passages import passage
from tests.retrieval.test_search import Parts, search

FUSION = Fusion({"dense": 1.0, "bm25": 2.0, "rerank": 3.0}, 60, 10)
ASKED = Query("question", Scope("col", "default", None))
IDS = [f"c{n}" for n in range(9)]
ORDERS = st.lists(st.sampled_from(IDS), unique=True, max_size=9)


def ranking(order: list[str]) -> list[Ranked]:
    return [Ranked(i, 1.0 - n / 10) for n, i in enumerate(order)]


@given(ORDERS, ORDERS, ORDERS, st.integers(0, 9))
def test_shares_add_up_to_what_the_candidates_are_ordered_by(
    dense: list[str], bm25: list[str], close: list[str], read: int
) -> None:
    rankings: dict[Arm, list[Ranked]] = {"dense": ranking(dense), "bm25": ranking(bm25)}
    hits = reciprocal_rank_fusion(rankings, FUSION.weights, FUSION.k)
    first = join_reranking(
        hits[:read], ranking([i for i in close if i in {h.id for h in hits[:read]}]), FUSION.weights, FUSION.close_k
    )
    reranked = any("rerank" in hit.places for hit in first)
    final = (*(first if reranked else hits[:read]), *hits[read:])
    passages = tuple(passage(hit.id, hit=hit) for hit in final[:read])
    search = explained(Found(passages, final, None, asked=ASKED, fusion=FUSION), Context(passages, (), 0))
    assert search is not None
    assert [candidate.hit.id for candidate in search.candidates] == [hit.id for hit in final]
    apart = len(passages) if reranked else 0
    for group in (search.candidates[:apart], search.candidates[apart:]):
        scores = [candidate.score for candidate in group]
        assert scores == sorted(scores, reverse=True) or max_gap(scores) < 1e-12
    for candidate in search.candidates[apart:]:
        assert abs(candidate.score - candidate.hit.places["fused"].score) < 1e-12


def max_gap(scores: list[float]) -> float:
    """By how much one is above the one before it, at most; sums of the same shares differ in their last bits."""
    return max((later - earlier for earlier, later in pairwise(scores)), default=0.0)


def outcomes(search: Explanation | None) -> dict[str, str]:
    assert search is not None
    return {candidate.hit.id: candidate.outcome for candidate in search.candidates}


def test_what_packing_leaves_out_is_told_with_its_reason() -> None:
    texts = {
        "kept": "otters swim in the cold river all day long",
        "twin": "otters swim in the cold river all day long",
        "long": "owls fly over the wide and open fields at night",
        "same": "stones lie in the garden and never move at all",
    }
    passages = tuple(
        passage(text, n, document_id="d" if i in ("kept", "same") else i, tokens=50 if i == "long" else 5)
        for n, (i, text) in enumerate(texts.items(), 1)
    )
    ids = dict(zip(texts, (p.id for p in passages), strict=True))
    found = Found(passages, tuple(p.hit for p in passages), None, asked=ASKED, fusion=FUSION)
    context = pack(found, Limits(top_k=8, token_budget=20, per_source=1, near_duplicate=0.9, prefer_latest=False))
    told = outcomes(explained(found, context))
    wanted = {"kept": "kept", "twin": "near_duplicate", "long": "token_budget", "same": "source_cap"}
    assert told == {ids[i]: outcome for i, outcome in wanted.items()}


def test_a_search_tells_what_it_asked_and_what_was_not_read_or_not_live() -> None:
    parts = Parts()
    parts.dead = {"c0"}
    found = search(parts)
    assert found.dropped == {"c0": "not_live"}
    context = Context(found.passages[:1], (), 0)
    told = outcomes(explained(found, context))
    assert told.pop("c0") == "not_live"
    assert told.pop(found.passages[0].id) == "kept"
    assert set(told.values()) == {"not_read"}
    assert found.asked is not None
    assert found.asked.text == "otters swim"


def test_what_does_not_tell_how_it_was_found_has_no_explanation() -> None:
    assert explained(Found((), (), None), Context((), (), 0)) is None
