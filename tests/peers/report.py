"""Figures of all sizes in one file of JSON, so that sizes may be measured on different days, and tables made of it."""

import json
import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from app.evals.corpus import BadEvalData
from tests.peers.table import Row, table

_BEGIN, _END = "<!-- peers:begin -->", "<!-- peers:end -->"

Report = Mapping[str, Mapping[str, Any]]  # by size


def add(file: Path, size: int, rows: Iterable[Row], **about: Any) -> Report:
    """Write one size; others that the file holds stay."""
    entry = {"machine": _machine(), **about, "rows": [asdict(row) for row in rows]}
    found = {**(json.loads(file.read_text()) if file.exists() else {}), str(size): entry}
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
        found += [head, "", *table(rows), ""]
    return found


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
