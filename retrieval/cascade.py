"""Reading closely, in stages: late interaction over what is stored, then a cross-encoder where one is configured.

Each stage's order joins the fusion as one list more, which is steadier than letting it replace what was known before. A
stage that fails or is late is named, and the order stands that there was without it.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from retrieval.errors import RerankerUnavailable, RetrievalError
from retrieval.fusion import join_reranking
from retrieval.model import Arm, EmbeddedQuery, Passage, Query, Ranked
from retrieval.ports import CircuitBreaker, Reranker
from retrieval.timings import in_time

_SHARE = 0.9  # of the time that is left to the whole search: a stage that takes it all would cost the answer
_NO_VECTORS = EmbeddedQuery(np.zeros(0, np.float32), np.zeros((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class Stage:
    """A reranker and its place: it reads the best `reads` passages within so many seconds, and hits gain a place in `arm`.
    With a `breaker` one that keeps failing, or keeps being late, is not asked for a while."""

    arm: Arm
    reranker: Reranker
    reads: int
    seconds: float
    breaker: CircuitBreaker | None = None


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
        timed = partial(in_time, "rerank", work, max(min(stage.seconds, _SHARE * left), 0.0))
        ranked = await (timed() if stage.breaker is None else _guarded(stage.breaker, timed))
        by_id = {passage.id: passage for passage in passages}
        hits = join_reranking([p.hit for p in passages], ranked, self.weights, self.k, stage.arm)
        return tuple(by_id[hit.id].placed(hit) for hit in hits)


async def _guarded(breaker: CircuitBreaker, call: Callable[[], Awaitable[list[Ranked]]]) -> list[Ranked]:
    """Every failure that a reranker announces is its own, lateness too; who is cancelled has learnt nothing of it. Raises
    RerankerUnavailable at once while it is left alone."""
    if (permit := breaker.admit()) is None:
        raise RerankerUnavailable("The reranker kept failing and is left alone for some seconds.")
    try:
        ranked = await call()
    except RetrievalError:
        breaker.failed(permit)
        raise
    except BaseException:
        breaker.unused(permit)
        raise
    breaker.succeeded(permit)
    return ranked
