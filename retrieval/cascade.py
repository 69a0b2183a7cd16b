"""Reading closely, in stages: late interaction over what is stored, then a cross-encoder where one is configured.

Each stage's order joins the fusion as one list more, which is steadier than letting it replace what was known before. A
stage that fails or is late is named, and the order stands that there was without it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from retrieval.errors import RetrievalError
from retrieval.fusion import join_reranking
from retrieval.model import Arm, EmbeddedQuery, Passage, Query
from retrieval.ports import Reranker
from retrieval.timings import in_time

_SHARE = 0.9  # of the time that is left to the whole search: a stage that takes it all would cost the answer
_NO_VECTORS = EmbeddedQuery(np.zeros(0, np.float32), np.zeros((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class Stage:
    """A reranker and its place: it reads the best `reads` passages within so many seconds, and hits gain a place in `arm`."""

    arm: Arm
    reranker: Reranker
    reads: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cascade:
    """Stages in their order; `weights` and `k` are those of the fusion."""

    stages: tuple[Stage, ...]
    weights: Mapping[Arm, float]
    k: int

    async def read(
        self, query: Query, vector: EmbeddedQuery | None, passages: tuple[Passage, ...], ends: float
    ) -> tuple[tuple[Passage, ...], tuple[str, ...]]:
        """The passages in their final order, and the parts that failed. `ends` is when the search must be over, in the
        seconds of `time.perf_counter`."""
        degraded: tuple[str, ...] = ()
        vector = vector or _NO_VECTORS
        for stage in self.stages:
            try:
                passages = await self._joined(stage, query, vector, passages, ends - time.perf_counter())
            except RetrievalError:
                degraded = ("reranker",)
        return passages, degraded

    async def _joined(
        self, stage: Stage, query: Query, vector: EmbeddedQuery, passages: Sequence[Passage], left: float
    ) -> tuple[Passage, ...]:
        work = partial(stage.reranker.rerank, vector, query.text, passages[: stage.reads])
        ranked = await in_time("rerank", work, max(min(stage.seconds, _SHARE * left), 0.0))
        by_id = {passage.id: passage for passage in passages}
        hits = join_reranking([p.hit for p in passages], ranked, self.weights, self.k, stage.arm)
        return tuple(replace(by_id[hit.id], hit=hit) for hit in hits)
