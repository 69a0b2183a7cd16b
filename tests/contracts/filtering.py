"""Documents to filter, filters as clients write them, and what each means, said in the plainest way there is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ingest.metadata import NO_METADATA, Metadata
from ingest.model import Block, Chunk, Document, Parsed, Source
from retrieval.filters import MOST_DEPTH, MOST_PATTERNS
from retrieval.index import _payload
from retrieval.ports import Payload

NOW = datetime(2026, 3, 31, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Record:
    """A document of one chunk."""

    name: str
    metadata: Metadata = NO_METADATA
    title: str = ""
    media_type: str = "text/markdown"
    heading: tuple[str, ...] = ()
    page: int | None = None
    modified_at: datetime = NOW - 10 * DAY
    collection_id: str = "col-here"

    @property
    def id(self) -> str:
        return f"doc-{self.collection_id}-{self.name}"

    def payload(self) -> Payload:
        """What ingest writes of it."""
        source = Source(Path("/docs"), self.name, 6, self.modified_at)
        parsed = Parsed(self.title, "quokka", (Block("paragraph", 0, 6),), self.media_type)
        document = Document(self.id, self.collection_id, source, "sha", parsed, self.metadata)
        return _payload(document, Chunk("c", self.id, 0, 0, 6, "quokka", self.heading, self.page, 1, None, 3))


def _said(**fields: Any) -> Metadata:
    return Metadata(**fields)


RECORDS = (
    Record(
        "hr/leave.md",
        _said(tags=("Policy", "hr"), language="en-GB", author="Ada Lovelace; Charles Babbage", access=("hr",)),
    ),
    Record("hr/pay.pdf", _said(access=("hr", "board")), "Pay*roll", "application/pdf", ("Guide", "Pay"), 3),
    Record("HR/leave.md", _said(language="en", extra={"department": "people", "x": "1"}), page=1),
    Record("notes/naïve 🙂 [1].md", _said(tags=("straße",), language="de-AT"), "Naïve notes", heading=("Guide",)),
    Record("a.md", _said(url="https://example.org/a?x=1&y=[2]"), "A", modified_at=NOW - 90 * DAY),
    Record(
        "b.md", _said(created_at=datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)), modified_at=NOW - 90 * DAY - SECOND
    ),
    Record("c.md", _said(created_at=datetime(2026, 1, 1, tzinfo=UTC), modified_at=datetime(1950, 5, 6, tzinfo=UTC))),
    Record("c.md.bak", _said(tags=("draft",)), "What is it?", "text/plain", page=-2),
    Record("deep/er/leave.md", _said(author="Ada", tags=("policy", "draft")), heading=("Pay", "Guide", "Pay")),
    Record("leave.md", _said(created_at=datetime(2026, 2, 28, 12, tzinfo=UTC), language="zh-Hant"), "leave", page=300),
    Record("board.md", _said(access=("board",), extra={"department": "board"}), modified_at=NOW),
)
ELSEWHERE = tuple(replace(record, collection_id="col-there") for record in RECORDS)

SPANS: Mapping[str | int, tuple[datetime, datetime]] = {
    "2025": (datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    "2025-12": (datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    "2026-02": (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
    "2026-01-01": (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
    "1950-05-06": (datetime(1950, 5, 6, tzinfo=UTC), datetime(1950, 5, 7, tzinfo=UTC)),
    "2025-12-31T23:59:59Z": (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    "2026-02-28T14:00:00+02:00": (datetime(2026, 2, 28, 12, tzinfo=UTC), datetime(2026, 2, 28, 12, 0, 1, tzinfo=UTC)),
    "now": (NOW, NOW + SECOND),
    "now-90d": (NOW - 90 * DAY, NOW - 90 * DAY + SECOND),
    "now-2w": (NOW - 14 * DAY, NOW - 14 * DAY + SECOND),
    "now-240h": (NOW - 10 * DAY, NOW - 10 * DAY + SECOND),
    1767225600: (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)),
}
VALUES: Mapping[str, tuple[str | int, ...]] = {
    "filename": (*(r.name for r in RECORDS), "hr/*", "*.md", "*leave*", "*", "c.md*", "*[1].md", "HR*", "nowhere", ""),
    "document_id": (RECORDS[0].id, RECORDS[4].id, "doc"),
    "media_type": ("text/markdown", "application/pdf", "text/*"),
    "title": ("leave", "Pay*", "Pay*roll", "What is it?", "*notes", "*", "Naïve notes", "naive notes", "Na*", "Pay*r*"),
    "heading": ("Guide", "Pay", "guide"),
    "page": (1, 3, 300, "300", -2, 0, 2**62),
    "author": ("Ada", "Ada*", "Ada Lovelace", "Charles Babbage", "Ada Lovelace; Charles Babbage", "*"),
    "language": ("en", "EN", "en-GB", "en_gb", "de", "zh", "zh-hant", "zh-TW", "fr"),
    "tags": ("policy", "POLICY", "draft", "STRASSE", "hr", "no"),
    "url": ("https://example.org/*", "https://example.org/a?x=1&y=[2]", "*", "https://example.org/a"),
    "created_at": tuple(SPANS),
    "modified_at": tuple(SPANS),
    "metadata.department": ("people", "board", "pe*"),
    "metadata.x": ("1", "2"),
    "metadata.absent": ("1",),
}
ORDERED = ("page", "created_at", "modified_at")


def _comparison(key: str) -> st.SearchStrategy[dict[str, Any]]:
    value = st.sampled_from(VALUES[key])
    single = st.sampled_from(("eq", "ne", *(("gt", "gte", "lt", "lte") if key in ORDERED else ())))
    one = st.fixed_dictionaries({"type": single, "key": st.just(key), "value": value})
    several = st.lists(value, max_size=4)
    return one | st.fixed_dictionaries({"type": st.sampled_from(("in", "nin")), "key": st.just(key), "value": several})


_SHORT = st.dictionaries(st.sampled_from(list(VALUES)), st.none(), min_size=1, max_size=3).flatmap(
    lambda keys: st.fixed_dictionaries(
        {key: st.sampled_from(VALUES[key]) | st.lists(st.sampled_from(VALUES[key]), max_size=3) for key in keys}
    )
)
COMPARISONS = st.sampled_from(list(VALUES)).flatmap(_comparison)
FILTERS = st.recursive(
    COMPARISONS | _SHORT,
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(("and", "or")), "filters": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=6,
).filter(lambda wire: _depth(wire) <= MOST_DEPTH and str(wire).count("*'") <= MOST_PATTERNS)


def _depth(wire: Mapping[str, Any]) -> int:
    """Of and/or inside each other."""
    return 1 + max(map(_depth, wire["filters"])) if "filters" in wire else 0


def passes(record: Record, wire: Mapping[str, Any]) -> bool:
    """Whether the filter lets the document through."""
    if "type" not in wire:
        return all(any(_same(record, key, v) for v in _list(value)) for key, value in wire.items())
    match wire["type"]:
        case "and":
            return all(passes(record, inner) for inner in wire["filters"])
        case "or":
            return any(passes(record, inner) for inner in wire["filters"])
        case "eq" | "in":
            return any(_same(record, wire["key"], v) for v in _list(wire["value"]))
        case "ne" | "nin":
            return not any(_same(record, wire["key"], v) for v in _list(wire["value"]))
        case ordered:
            return any(_ordered(ordered, have, wire["key"], wire["value"]) for have in _have(record, wire["key"]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _have(record: Record, key: str) -> list[Any]:
    known = record.metadata
    values: dict[str, list[Any]] = {
        "filename": [record.name],
        "document_id": [record.id],
        "media_type": [record.media_type],
        "title": [record.title or Path(record.name).stem.replace("_", " ").replace("-", " ").strip()],
        "heading": list(record.heading),
        "page": [record.page],
        "author": [known.author, *known.author.split("; ")],
        "language": [known.language],
        "tags": list(known.tags),
        "url": [known.url],
        "created_at": [known.created_at],
        "modified_at": [known.modified_at or record.modified_at],
    }
    if key.startswith("metadata."):
        return [value for name, value in known.extra.items() if name == key.removeprefix("metadata.")]
    return [value for value in values[key] if value not in (None, "")]


def _same(record: Record, key: str, value: Any) -> bool:
    return any(_equal(key, have, value) for have in _have(record, key))


def _equal(key: str, have: Any, value: Any) -> bool:
    match key:
        case "filename":
            same = re.fullmatch(".*".join(map(re.escape, value.split("*"))), have) is not None
        case "title" | "author" | "url" if value.endswith("*"):
            same = have.startswith(value.rstrip("*"))
        case "language":
            wanted = value.lower().replace("_", "-")
            same = have.lower() == wanted or have.lower().startswith(f"{wanted}-")
        case "tags":
            same = have.casefold() == value.casefold()
        case "page":
            same = have == int(value)
        case "created_at" | "modified_at":
            start, end = SPANS[value]
            same = start <= have < end
        case _:
            same = have == value
    return same


def _ordered(operator: str, have: Any, key: str, value: Any) -> bool:
    """A day is over when the next one begins: later than a day is after all of it."""
    start, end = SPANS[value] if key != "page" else (int(value), int(value) + 1)
    return {"gt": have >= end, "gte": have >= start, "lt": have < start, "lte": have < end}[operator]
