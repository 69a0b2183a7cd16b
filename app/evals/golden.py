"""Golden questions about the documents that are indexed, and what an index is worth by them.

A row of a golden set is an object with a `question` and what must be found for it: `file` (a path, or a list of them) or
`doc_ids`, and `collection` where it is not `default`. Rows whose files are not in the index are left out and counted.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.evals.gold import gold_of
from app.evals.rows import BadEvalData, read_rows
from app.evals.scores import interval, mean
from ingest.ports import Catalog
from retrieval.model import Query, Scope
from retrieval.ports import Search

DEPTH = 10
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Golden:
    """A question, and the documents of which one must be found."""

    question: str
    scope: Scope
    documents: frozenset[str]


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The questions that can be asked of these documents, and how many could not."""

    questions: tuple[Golden, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """Each question's nDCG@10 and hit@10, in order, and how many searches had to do without the embedder."""

    ndcg: tuple[float, ...]
    hit: tuple[float, ...]
    degraded: int = 0

    @property
    def scores(self) -> dict[str, float]:
        """As they are kept and shown."""
        return {
            "questions": len(self.ndcg),
            "ndcg@10": mean(self.ndcg),
            "hit@10": mean(self.hit),
            "degraded": self.degraded,
        }


def ndcg(found: Sequence[str], wanted: frozenset[str], depth: int = DEPTH) -> float:
    """Of a ranking of documents, each counted where it comes first, with gains of 0 and 1 (Jaervelin and Kekaelaeinen 2002):
    the sum of 1 / log2(rank + 1) over the wanted ones, by the most that it could be."""
    ranked = list(dict.fromkeys(found))[:depth]
    gained = sum(1 / math.log2(rank + 1) for rank, name in enumerate(ranked, start=1) if name in wanted)
    most = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(wanted), depth) + 1))
    return gained / most if most else 0.0


def hit(found: Sequence[str], wanted: frozenset[str], depth: int = DEPTH) -> float:
    """1 where a wanted document is among the first, else 0."""
    return float(not wanted.isdisjoint(list(dict.fromkeys(found))[:depth]))


def difference(new: Measured, old: Measured) -> tuple[float, tuple[float, float]]:
    """How much higher the new nDCG@10 is in the mean, and the 95 % interval of that over questions (paired bootstrap)."""
    pairs = [a - b for a, b in zip(new.ndcg, old.ndcg, strict=True)]
    return mean(pairs), interval(pairs, seed=0)


async def golden_set(catalog: Catalog, path: Path | None) -> GoldenSet:
    """The questions of a file, or of all .jsonl files of a folder, that are about documents of the catalog. No path, no
    questions. Raises BadEvalData for a file that is not there or holds something else."""
    rows = [row for file in _files(path) for row in read_rows(file, question=str)]
    found: list[Golden] = []
    known: dict[str, tuple[Scope, dict[str, str]] | None] = {}
    asked = [row for row in rows if row.get("answerable", True) and (row.get("file") or row.get("doc_ids"))]
    for row in asked:
        name = str(row.get("collection", "default"))
        if name not in known:
            known[name] = await _collection(catalog, name)
        golden = _golden(row, known[name])
        found += [golden] if golden is not None else []
    return GoldenSet(tuple(found), len(asked) - len(found))


async def measured(search: Search, questions: Iterable[Golden]) -> Measured:
    """Ask them all, one after another: the index serves meanwhile. Raises IndexUnavailable, SearchTimeout."""
    gains, hits, degraded = [], [], 0
    for golden in questions:
        found = await search.search(Query(golden.question, golden.scope, wanted=2 * DEPTH))
        names = [passage.document_id for passage in found.passages]
        gains.append(ndcg(names, golden.documents))
        hits.append(hit(names, golden.documents))
        degraded += "embedder" in found.degraded
    return Measured(tuple(gains), tuple(hits), degraded)


def _files(path: Path | None) -> list[Path]:
    if path is None:
        return []
    return sorted(path.glob("*.jsonl")) if path.is_dir() else [path]


async def _collection(catalog: Catalog, name: str) -> tuple[Scope, dict[str, str]] | None:
    """The collection and its documents' ids, by their file's name below the folder they came from; None without it."""
    found = await catalog.collection(name)
    if found is None:
        return None
    names: dict[str, str] = {}
    after = None
    while rows := await catalog.documents(found, _PAGE, after):
        after = rows[-1].id
        names |= {row.name: row.id for row in rows if row.version}
    return Scope(found, name, None), names


def _golden(row: Mapping[str, Any], collection: tuple[Scope, dict[str, str]] | None) -> Golden | None:
    if collection is None:
        return None
    scope, names = collection
    try:
        gold = gold_of(row, names)
    except BadEvalData:
        return None
    documents = frozenset(names[file] for file in gold.files)
    return Golden(row["question"], scope, documents) if documents else None
