"""Reciprocal rank fusion for the recipes that bring none of their own."""

from collections.abc import Iterable, Sequence

_K = 60  # Cormack, Clarke, Buettcher 2009


def fused(rankings: Iterable[Sequence[int]], wanted: int) -> list[int]:
    """The best of all rankings together, best first: the sum of 1 / (60 + rank), ranks from 1."""
    sums: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, start=1):
            sums[row] = sums.get(row, 0.0) + 1 / (_K + rank)
    return sorted(sums, key=lambda row: -sums[row])[:wanted]
