"""nDCG@10 of rankings, pure."""

import math
from collections.abc import Mapping, Sequence


def ndcg(rankings: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]], depth: int = 10) -> float:
    """Mean over the questions ranked: DCG over that of the ideal order, with the grade as gain and log2(rank + 1) as
    discount (Järvelin and Kekäläinen 2002), as trec_eval and BEIR count it. Unjudged texts gain nothing."""
    values = [_one(ranking[:depth], qrels[question], depth) for question, ranking in rankings.items()]
    return sum(values) / len(values) if values else 0.0


def _one(ranking: Sequence[str], grades: Mapping[str, int], depth: int) -> float:
    ideal = _dcg(sorted(grades.values(), reverse=True)[:depth])
    return _dcg([grades.get(i, 0) for i in ranking]) / ideal if ideal else 0.0


def _dcg(gains: Sequence[int]) -> float:
    return sum(max(gain, 0) / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
