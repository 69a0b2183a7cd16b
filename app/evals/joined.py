"""`grounded eval beir --joined ENDING`: rows of one title as one long document, so that it matters how it is cut.

The rows of a BEIR folder are short, and each is a document: hardly any is cut at all. Joined, an article or a file of
source code is what a user has, and a hit counts for those of its rows that it mostly holds or lies in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.evals.corpus import BadEvalData
from ingest.readers.registry import supported
from ingest.readers.text import clean

_BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True)
class Part:
    """Where a row stands in the text of its document, and its id."""

    start: int
    end: int
    row: str


def joined(rows: Sequence[Mapping[str, Any]], ending: str) -> tuple[list[dict[str, Any]], dict[str, tuple[Part, ...]]]:
    """One row per title, to be read as a file of this ending, and the parts of each by its id. Rows without a title stay
    alone. Raises BadEvalData for an ending that no reader knows."""
    if not supported(f"row.{ending}"):
        raise BadEvalData(f"There is no reader for files that end in .{ending}.", "Try --joined txt.")
    by_title: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_title.setdefault(row.get("title") or f"\n{row['_id']}", []).append(row)
    documents: list[dict[str, Any]] = []
    parts: dict[str, tuple[Part, ...]] = {}
    for own in by_title.values():
        texts = [clean(row["text"]) for row in own]
        documents.append({**own[0], "text": _BETWEEN.join(texts), "ending": ending})
        parts[own[0]["_id"]] = _parts(own, texts)
    return documents, parts


def _parts(rows: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> tuple[Part, ...]:
    found: list[Part] = []
    start = 0
    for row, text in zip(rows, texts, strict=True):
        found.append(Part(start, start + len(text), row["_id"]))
        start += len(text) + len(_BETWEEN)
    return tuple(found)


def rows_of(parts: Sequence[Part], start: int, end: int) -> list[str]:
    """The rows of which this span holds at least half, or that hold at least half of it, in order."""
    return [
        part.row
        for part in parts
        if 2 * (min(end, part.end) - max(start, part.start)) >= max(1, min(end - start, part.end - part.start))
    ]
