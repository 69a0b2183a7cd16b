"""Reciprocal rank fusion, pure.

score(d) = sum over rankings r of weight_r / (k + rank_r(d)), ranks from 1 (Cormack, Clarke, Buettcher 2009, SIGIR).
"""

from collections.abc import Mapping, Sequence

from retrieval.model import Arm, Hit, Place, Ranked


def reciprocal_rank_fusion(
    rankings: Mapping[Arm, Sequence[Ranked]], weights: Mapping[Arm, float], k: int
) -> tuple[Hit, ...]:
    """Every id of any ranking once, best first, with its place in each arm and in `fused`.

    Equal sums stand in order of their best rank, then of first appearance, so the result does not depend on hashing.
    """
    sums: dict[str, float] = {}
    best: dict[str, int] = {}
    places: dict[str, dict[Arm, Place]] = {}
    for arm, ranking in rankings.items():
        for rank, entry in enumerate(ranking, start=1):
            i = entry.id
            sums[i] = sums.get(i, 0.0) + weights[arm] / (k + rank)
            best[i] = min(best.get(i, rank), rank)
            places.setdefault(i, {})[arm] = Place(rank, entry.score)
    order = sorted(sums, key=lambda i: (-sums[i], best[i]))
    return tuple(Hit(i, {**places[i], "fused": Place(rank, sums[i])}) for rank, i in enumerate(order, start=1))


def join_reranking(
    hits: Sequence[Hit], reranked: Sequence[Ranked], weights: Mapping[Arm, float], k: int, arm: Arm = "rerank"
) -> tuple[Hit, ...]:
    """The hits in their final order: both arms and every reranker so far fused once more, as so many lists.

    Each hit keeps its places and gains one in `arm`. Ids that the reranker does not know keep their share of the others.
    Equal sums stand as they were given.
    """
    ranks = {entry.id: Place(rank, entry.score) for rank, entry in enumerate(reranked, start=1)}
    placed = [hit.placed(arm, ranks[hit.id]) if hit.id in ranks else hit for hit in hits]

    def joined(hit: Hit) -> float:
        return sum(weights[arm] / (k + place.rank) for arm, place in hit.places.items() if arm != "fused")

    return tuple(sorted(placed, key=lambda hit: -joined(hit)))
