"""`grounded eval beir`: nDCG and recall of each arm, of the fusion and of the reranked order, on a BEIR folder.

A row is one document and is scored by its best chunk. All figures come from one search a question, the one that serves.
"""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ir_measures
from ir_measures import R, nDCG
from pydantic import ValidationError

from app.chunking import ChunkingRule
from app.commands.output import emit_json
from app.evals.corpus import BadEvalData, Corpus, ingested, progress, read_rows
from app.evals.joined import Part, joined, rows_of
from app.evals.scores import interval, mean, percentiles
from app.pipeline import Question
from app.settings import ConfigurationError, Settings
from ingest.model import Chunk
from retrieval.model import Arm, Found, Hit

_ORDERS: Mapping[str, Arm] = {"bm25": "bm25", "dense": "dense", "hybrid": "fused"}
_MEASURES = (nDCG @ 10, R @ 10, R @ 20)
_STAGES = ("embed", "dense", "bm25", "fuse", "read", "rerank")

Run = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Cut:
    """How the corpus is cut for this run alone: the rule for all of it, and the ending of joined documents."""

    chunking: ChunkingRule | None = None
    joined: str | None = None

    def settings(self, settings: Settings) -> Settings:
        """With the rule in place of those configured."""
        if self.chunking is None:
            return settings
        own = settings.ingest.model_copy(update={"chunking": (self.chunking,)})
        return settings.model_copy(update={"ingest": own})


def chunking_rule(said: str | None) -> ChunkingRule | None:
    """A rule for every file, as the command line says it: `recursive`, `structure:96`. Raises ConfigurationError."""
    if said is None:
        return None
    strategy, _, target = said.partition(":")
    try:
        return ChunkingRule.model_validate({"glob": "*", "strategy": strategy, "target_tokens": target or 0})
    except ValidationError as error:
        raise ConfigurationError(f"--chunking {said!r}: {error.errors()[0]['msg']}.") from error


async def beir(settings: Settings, folder: Path, limit: int | None, seed: int, cut: Cut = Cut()) -> int:
    """Ingest, ask every judged question, print one JSON document."""
    qrels = qrels_of(folder / "qrels_test.tsv")
    queries = [row for row in read_rows(folder / "queries.jsonl", _id=str, text=str) if row["_id"] in qrels][:limit]
    rows = read_rows(folder / "corpus.jsonl", _id=str, text=str)
    documents, parts = joined(rows, cut.joined) if cut.joined else (rows, {})
    async with ingested(cut.settings(settings), documents) as corpus:
        runs: dict[str, Run] = {name: {} for name in (*_ORDERS, "reranked")}
        latencies: dict[str, list[float]] = {name: [] for name in (*_STAGES, "pack", "total")}
        for number, query in enumerate(queries, start=1):
            await _ask(corpus, parts, query, runs, latencies)
            if number % 200 == 0:
                progress(f"{number} of {len(queries)} questions")
        report = _report(corpus, len(documents), queries, qrels, runs, latencies, seed)
        emit_json({"set": folder.name, **report, "chunking": _named(cut.chunking), "joined": cut.joined})
    return 0


def _named(rule: ChunkingRule | None) -> str | None:
    if rule is None:
        return None
    return f"{rule.strategy}:{rule.target_tokens}" if rule.target_tokens else rule.strategy


async def _ask(
    corpus: Corpus,
    parts: Mapping[str, Sequence[Part]],
    query: Mapping[str, Any],
    runs: dict[str, Run],
    latencies: dict[str, list[float]],
) -> None:
    grounded = corpus.grounded
    question = Question(query["text"], corpus.scope.collection)
    found, _, ms = await grounded.pipeline.retrieve(question, corpus.scope)
    live = await grounded.catalog.live_chunks(corpus.scope.collection_id, [hit.id for hit in found.candidates])
    own = {chunk_id: _rows(corpus, parts, entry.chunk) for chunk_id, entry in live.items()}
    for name, ranking in _rankings(found).items():
        rows = dict.fromkeys(row for hit in ranking for row in own.get(hit.id, ()))
        runs[name][query["_id"]] = {row: 1.0 / rank for rank, row in enumerate(rows, start=1)}
    for stage, measured in latencies.items():
        measured.append(ms.get(stage, 0.0))


def _rows(corpus: Corpus, parts: Mapping[str, Sequence[Part]], chunk: Chunk) -> list[str]:
    row = corpus.rows[chunk.document_id]
    return rows_of(parts[row], chunk.start, chunk.end) if row in parts else [row]


def _rankings(found: Found) -> dict[str, Sequence[Hit]]:
    """The candidates in each order; `reranked` is the order in which they were found to be best in the end."""
    orders: dict[str, Sequence[Hit]] = {"reranked": found.candidates}
    for name, arm in _ORDERS.items():
        placed = [hit for hit in found.candidates if arm in hit.places]
        orders[name] = sorted(placed, key=lambda hit: hit.places[arm].rank)
    return orders


def _report(
    corpus: Corpus,
    n_docs: int,
    queries: Sequence[Mapping[str, Any]],
    qrels: Mapping[str, Mapping[str, int]],
    runs: Mapping[str, Run],
    latencies: Mapping[str, Sequence[float]],
    seed: int,
) -> dict[str, Any]:
    judged = {query["_id"]: dict(qrels[query["_id"]]) for query in queries}
    values = {name: values_of(judged, run) for name, run in runs.items()}
    summary = corpus.summary
    return {
        "n_docs": n_docs,
        "n_queries": len(queries),
        **{
            key: {name: mean(found[str(measure)]) for name, found in values.items()}
            for key, measure in zip(("ndcg@10", "recall@10", "recall@20"), _MEASURES, strict=True)
        },
        "ci95": {name: interval(values[name][str(_MEASURES[0])], seed) for name in ("hybrid", "reranked")},
        "gains": gains({name: found[str(_MEASURES[0])] for name, found in values.items()}, seed),
        "ingest": {
            "seconds": round(summary.seconds, 2),
            "embed_seconds": round(summary.embed_seconds, 2),
            "chunks": summary.chunks,
        },
        "latency_ms": {stage: percentiles(ms) for stage, ms in latencies.items()},
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def gains(values: Mapping[str, Sequence[float]], seed: int) -> dict[str, Any]:
    """What fusion adds to the better of its arms and reranking to the fusion: the mean difference over the questions, and
    its interval by paired bootstrap, each question with both of its values."""
    better = max(("bm25", "dense"), key=lambda name: mean(values[name]))
    told = {}
    for name, over in (("hybrid", better), ("reranked", "hybrid")):
        differences = [ours - theirs for ours, theirs in zip(values[name], values[over], strict=True)]
        told[name] = {"over": over, "ndcg@10": mean(differences), "ci95": interval(differences, seed)}
    return told


def values_of(judged: dict[str, dict[str, int]], run: Run) -> dict[str, list[float]]:
    """Each measure's value for each question, in order of the questions."""
    found: dict[str, dict[str, float]] = {str(measure): dict.fromkeys(judged, 0.0) for measure in _MEASURES}
    for metric in ir_measures.iter_calc(list(_MEASURES), judged, run):
        found[str(metric.measure)][metric.query_id] = metric.value
    return {measure: list(values.values()) for measure, values in found.items()}


def qrels_of(file: Path) -> dict[str, dict[str, int]]:
    """Judgements by question and row. Raises BadEvalData."""
    found: dict[str, dict[str, int]] = {}
    try:
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            query, row, score = line.split("\t")
            found.setdefault(query, {})[row] = int(score)
    except (OSError, ValueError) as error:
        raise BadEvalData(f"{file.name} cannot be read: {error}.") from error
    return found
