"""Times of searches and answers over what stands in a state, and of BM25 beside the library that all others use."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import numpy as np

from app.evals.corpus import progress
from app.evals.scores import percentiles
from app.evals.stand_in import Remembered
from app.pipeline import Question
from app.wiring import Grounded
from generation.events import Finished
from retrieval.model import Query, Scope
from retrieval.ports import Embedder

COLLECTION = "default"
_WARM_UP = 20
_ROUNDS = 3
_CANDIDATES = 50
_OKAPI_MOST = 250_000  # chunks; beyond, rank-bm25 takes minutes and gigabytes to begin
_OKAPI_ASKED = 10
_PAGE = 500


async def measured(grounded: Grounded, asked: Sequence[str]) -> dict[str, Any]:
    """Medians and 95th percentiles in ms, one question at a time: whole answers, the embedding of questions, and searches
    of questions that are embedded already, with their stages."""
    scope = await grounded.pipeline.scope(COLLECTION)
    _, chunks = await grounded.catalog.count_live(scope.collection_id)
    asked = random.Random(0).sample(list(asked) * _ROUNDS, len(asked) * _ROUNDS)  # noqa: S311  an order, no secret
    progress(f"{chunks} chunks: {len(asked)} answers, then as many searches ...")
    answers = [await _answer(grounded, text) for text in asked]
    embedded = [await _embedding(grounded.embedder, text) for text in asked]
    with _remembering(grounded) as remembered:
        for text in asked:
            await remembered.embed_query(text)
        stages = await _searches(grounded, scope, asked)
    return {
        "chunks": chunks,
        "answer_ms": percentiles(answers[_WARM_UP:]),
        "embed_ms": percentiles(embedded[_WARM_UP:]),
        "retrieval_ms": stages.pop("total"),
        "stages_ms": stages,
        "bm25": await _beside_okapi(grounded, scope, asked, chunks),
    }


async def _answer(grounded: Grounded, text: str) -> float:
    async with aclosing(grounded.pipeline.ask(Question(text, COLLECTION))) as events:
        async for event in events:
            if isinstance(event, Finished):
                return event.timings_ms["total"]
    raise AssertionError("an answer without an end")


async def _embedding(embedder: Embedder, text: str) -> float:
    begun = time.perf_counter()
    await embedder.embed_query(text)
    return (time.perf_counter() - begun) * 1e3


async def _searches(grounded: Grounded, scope: Scope, asked: Sequence[str]) -> dict[str, dict[str, float]]:
    """Each stage of the search, and `total`, the whole of it."""
    found: dict[str, list[float]] = {}
    for number, text in enumerate(asked):
        done = await grounded.search.search(Query(text, scope))
        for stage, ms in done.timings_ms.items():
            if number >= _WARM_UP:
                found.setdefault(stage, []).append(ms)
    return {stage: percentiles(values) for stage, values in found.items()}


@contextmanager
def _remembering(grounded: Grounded) -> Iterator[Remembered]:
    """The search asks a memory in the embedder's place. The service has no use for this, so there is no other door."""
    search = _hybrid(grounded)
    real, remembered = search._embedder, Remembered(grounded.embedder)  # noqa: SLF001
    search._embedder = remembered  # noqa: SLF001
    try:
        yield remembered
    finally:
        search._embedder = real  # noqa: SLF001


def _hybrid(grounded: Grounded) -> Any:
    """The search itself, below what watches over it."""
    search: Any = grounded.generations.live.search
    while hasattr(search, "_inner"):
        search = search._inner  # noqa: SLF001
    return search


async def _beside_okapi(grounded: Grounded, scope: Scope, asked: Sequence[str], chunks: int) -> dict[str, float] | None:
    """Our BM25 arm alone, and rank-bm25 over the same texts, both for the best 50. None without rank-bm25, and for a
    corpus that is too large for it."""
    try:
        from rank_bm25 import BM25Okapi
    except ImportError:
        progress("rank-bm25 is not installed (pip install rank-bm25): BM25 is not compared")
        return None
    if chunks > _OKAPI_MOST:
        return None
    progress(f"{chunks} chunks: rank-bm25 reads them ...")
    oracle = BM25Okapi([text.casefold().split() for text in await _texts(grounded, scope)])
    theirs = [_okapi(oracle, text) for text in asked[:_OKAPI_ASKED]]
    ours = [await _lexical(grounded, Query(text, scope)) for text in asked]
    p50, base = percentiles(ours[_WARM_UP:])["p50"], percentiles(theirs)["p50"]
    return {"p50": p50, "rank_bm25_p50": base, "times": round(base / p50, 1)}


async def _texts(grounded: Grounded, scope: Scope) -> list[str]:
    texts: list[str] = []
    after = None
    while rows := await grounded.catalog.documents(scope.collection_id, _PAGE, after):
        after = rows[-1].id
        for row in rows:
            stored = await grounded.catalog.stored(row.id)
            texts += [chunk.embedded for chunk in stored.chunks] if stored else []
    return texts


def _okapi(oracle: Any, text: str) -> float:
    begun = time.perf_counter()
    scores = oracle.get_scores(text.casefold().split())
    wanted = min(_CANDIDATES, len(scores))
    best = np.argpartition(scores, -wanted)[-wanted:]
    best[np.argsort(-scores[best])]
    return (time.perf_counter() - begun) * 1e3


async def _lexical(grounded: Grounded, query: Query) -> float:
    search = _hybrid(grounded)
    begun = time.perf_counter()
    await search._lexical.search_lexical(query, _CANDIDATES)  # noqa: SLF001  the arm alone
    return (time.perf_counter() - begun) * 1e3
