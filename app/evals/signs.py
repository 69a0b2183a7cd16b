"""`grounded eval signs`: what it costs that of each token vector only the signs are stored.

The best passages of every judged question are read closely twice: by the signs of their token vectors, and by the vectors
themselves, made anew. Both orders join the fusion as the service would join them, and both are scored.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ir_measures import nDCG

from app.commands.output import emit_json
from app.evals.beir import qrels_of, values_of
from app.evals.corpus import Corpus, ingested, progress, read_rows
from app.evals.scores import interval, mean
from app.pipeline import Question
from app.settings import Settings
from ingest.model import embedded_text
from retrieval.fusion import join_reranking
from retrieval.model import Floats, Found, Hit, Passage, Ranked
from retrieval.search import SearchLimits

_MEASURE = nDCG @ 10
_TOLD_EVERY = 50


async def signs(settings: Settings, folder: Path, limit: int | None, seed: int) -> int:
    """Ask every judged question and print one JSON document. The loss is that of the mean nDCG@10, with the 95 % interval
    of its paired bootstrap over questions; below 0 the signs do better."""
    qrels = qrels_of(folder / "qrels_test.tsv")
    queries = [row for row in read_rows(folder / "queries.jsonl", _id=str, text=str) if row["_id"] in qrels][:limit]
    async with ingested(settings, read_rows(folder / "corpus.jsonl", _id=str, text=str)) as corpus:
        close, runs = _Closely(corpus), {"signs": {}, "vectors": {}}  # type: ignore[var-annotated]
        for number, query in enumerate(queries, start=1):
            found, _, _ = await corpus.grounded.pipeline.retrieve(Question(query["text"], "eval"), corpus.scope)
            for name, order in (await close.orders(found)).items():
                rows = dict.fromkeys(corpus.rows[passage.document_id] for passage in order)
                runs[name][query["_id"]] = {row: 1.0 / rank for rank, row in enumerate(rows, start=1)}
            if number % _TOLD_EVERY == 0:
                progress(f"{number} of {len(queries)} questions")
    emit_json({"set": folder.name, "n_queries": len(queries), "signs": _report(queries, qrels, runs, seed)})
    return 0


def _report(
    queries: Sequence[Mapping[str, Any]],
    qrels: Mapping[str, Mapping[str, int]],
    runs: Mapping[str, dict[str, dict[str, float]]],
    seed: int,
) -> dict[str, Any]:
    judged = {query["_id"]: dict(qrels[query["_id"]]) for query in queries}
    signs, vectors = (values_of(judged, runs[name])[str(_MEASURE)] for name in ("signs", "vectors"))
    loss = [full - mine for full, mine in zip(vectors, signs, strict=True)]
    return {"signs": mean(signs), "vectors": mean(vectors), "loss": mean(loss), "loss_ci95": interval(loss, seed)}


class _Closely:
    """Reads passages closely. Their token vectors are made once and kept: 400 kB for a long passage."""

    def __init__(self, corpus: Corpus) -> None:
        self._embedder = corpus.grounded.embedder
        self._known: dict[str, Floats] = {}

    async def orders(self, found: Found) -> dict[str, list[Passage]]:
        """The passages in either order."""
        assert found.query is not None
        asked, passages = found.query.tokens, found.passages
        vectors = [await self._vectors(passage) for passage in passages]
        return await asyncio.to_thread(
            lambda: {
                "signs": _joined(passages, [_maxsim(asked, _signs(tokens)) for tokens in vectors]),
                "vectors": _joined(passages, [_maxsim(asked, tokens) for tokens in vectors]),
            }
        )

    async def _vectors(self, passage: Passage) -> Floats:
        """The special tokens are left out, here as in the question."""
        if passage.id not in self._known:
            embedded = await self._embedder.embed_query(embedded_text(passage.header, passage.text))
            self._known[passage.id] = embedded.tokens
        return self._known[passage.id]


def _signs(tokens: Floats) -> Floats:
    return np.asarray(np.where(tokens > 0, 1, -1) / np.sqrt(tokens.shape[1]), dtype=np.float32)


def _maxsim(asked: Floats, tokens: Floats) -> float:
    """As `retrieval.adapters.late_interaction` has it; a text without tokens scores -1."""
    return float((asked @ tokens.T).max(axis=1).mean()) if len(asked) and len(tokens) else -1.0


def _joined(passages: Sequence[Passage], scores: Sequence[float]) -> list[Passage]:
    """Best first, as `HybridSearch` joins an order with those of the arms."""
    limits = SearchLimits()
    by_id = {passage.id: passage for passage in passages}
    hits = sorted((_bare(passage.hit) for passage in passages), key=lambda hit: hit.places["fused"].rank)
    ranked = sorted((Ranked(p.id, s) for p, s in zip(passages, scores, strict=True)), key=lambda r: -r.score)
    return [by_id[hit.id] for hit in join_reranking(hits, ranked, limits.weights, limits.rerank_k)]


def _bare(hit: Hit) -> Hit:
    return Hit(hit.id, {arm: place for arm, place in hit.places.items() if arm != "rerank"})
