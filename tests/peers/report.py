"""Figures of all sizes in one file of JSON, so that sizes may be measured on different days, and tables made of it."""

import json
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from app.evals.corpus import BadEvalData
from tests.peers.runner import PEERS
from tests.peers.table import Row, table

_SAME = ("machine", "data", "padding", "texts", "repeats", "rounds")  # else two runs do not compare
_BEGIN, _END = "<!-- peers:begin -->", "<!-- peers:end -->"

Report = Mapping[str, Mapping[str, Any]]  # by size


def add(file: Path, size: int, rows: Iterable[Row], **about: Any) -> Report:
    """Write one size; others that the file holds stay. So do peers that were measured on the same corpus and machine in an
    earlier run and not in this one; the table tells which these are."""
    today = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    measured = [asdict(row) | {"measured": today} for row in rows]
    entry: dict[str, Any] = {"machine": _machine(), **about, "rows": measured}
    known = json.loads(file.read_text()) if file.exists() else {}
    if (before := known.get(str(size))) and all(before.get(key) == entry[key] for key in _SAME if key in entry):
        names = {row["name"] for row in measured}
        entry["rows"] = _ordered([*measured, *(row for row in before["rows"] if row["name"] not in names)])
    found = {**known, str(size): entry}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n")
    return found


def lines(report: Report) -> list[str]:
    """A table for each size, the smallest first, with what was measured above it."""
    found: list[str] = []
    for size in sorted(report, key=int):
        entry = report[size]
        rows = [Row(**row) for row in entry["rows"]]
        embedding = [row.embed_ms for row in rows if row.runs]
        head = f"{int(size):,} chunks, judged on {entry['data']}, runs of each peer: {entry['repeats']}, {entry['machine']}"
        head += f"; embedding a question took {statistics.median(embedding):.1f} ms." if embedding else "."
        found += [head, "", *table(rows), *_earlier(rows), ""]
    return found


def _earlier(rows: Sequence[Row]) -> list[str]:
    newest = max((row.measured for row in rows), default="")
    earlier = [f"- {row.label}: of an earlier run ({row.measured})." for row in rows if row.measured != newest]
    return ["", *earlier] if earlier else []


def _ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the manual lists the peers."""
    places = {peer.name: place for place, peer in enumerate(PEERS)}
    return sorted(rows, key=lambda row: places.get(row["name"], len(places)))


def write_page(page: Path, report: Report) -> None:
    """The tables between the marks of a page. Raises BadEvalData for a page without them."""
    text = page.read_text()
    if _BEGIN not in text or _END not in text:
        raise BadEvalData(f"{page.name} has no place for the tables.", f"Write {_BEGIN} and {_END} into it.")
    before, behind = text.split(_BEGIN)[0], text.split(_END)[1]
    page.write_text("\n".join([f"{before}{_BEGIN}", *lines(report), f"{_END}{behind}"]))


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}"
