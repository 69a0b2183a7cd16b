"""A corpus of rows as the service sees it: each row is a file of a temporary folder, ingested by the very pipeline that
serves, into a temporary state. Only the reader differs, since a row is neither Markdown nor PDF."""

import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from app.errors import CommandError
from app.settings import Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from ingest.errors import Broken
from ingest.model import Parsed, Source
from ingest.pipeline import Request, Summary
from ingest.readers import plain
from retrieval.model import Scope

COLLECTION = "eval"


class BadEvalData(CommandError):
    """An evaluation file is missing or cannot be read."""

    code = "bad_eval_data"
    next_step = "Check the folder; the manual's page on numbers tells which files it must hold."
    status = 422


@dataclass(frozen=True, slots=True)
class Corpus:
    """An ingested corpus. `rows` gives the row's own id by document id."""

    grounded: Grounded
    scope: Scope
    rows: dict[str, str]
    summary: Summary


class RowReader:
    """Reader of rows: `{_id, title, text}` as JSON."""

    async def read(self, source: Source, data: bytes) -> Parsed:
        """The row's text, in paragraphs, under its title. Raises Broken for what is no such row."""
        try:
            row = orjson.loads(data)
            title, text = row.get("title") or "", row["text"].encode("utf-8", "replace")
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Broken(f"{source.name} is no row with a text.") from None
        return replace(plain.read(source.name, text), title=title)


@asynccontextmanager
async def ingested(settings: Settings, rows: list[dict[str, Any]]) -> AsyncIterator[Corpus]:
    """Ingest rows into a temporary state, and forget it afterwards."""
    with tempfile.TemporaryDirectory(prefix="grounded-eval-") as folder:
        files = Path(folder) / "rows"  # mkdtemp gives an absolute path
        files.mkdir()
        names = {f"{number:07}.txt": row["_id"] for number, row in enumerate(rows)}
        for name, row in zip(names, rows, strict=True):
            (files / name).write_bytes(orjson.dumps(row))
        state = StateFolder(Path(folder) / "state")
        with state.owned():
            async with opened(settings, state, RowReader()) as grounded:
                await grounded.ready()
                yield await _ingest(grounded, files, names)


async def _ingest(grounded: Grounded, files: Path, names: dict[str, str]) -> Corpus:
    summary = Summary()
    request = Request(files, COLLECTION)
    plan = await grounded.ingest.plan(request)
    async with aclosing(grounded.ingest.run(request, plan, summary)) as reports:
        async for report in reports:
            if report.error is not None:
                progress(f"row {names[report.path]}: {report.error.message}")
            elif sum(summary.counts.values()) % 500 == 0:
                progress(f"{sum(summary.counts.values())} of {len(names)} rows, {summary.seconds:.0f} s")
    scope = await grounded.pipeline.scope(COLLECTION)
    known = await grounded.catalog.known(scope.collection_id, files)
    return Corpus(grounded, scope, {entry.document_id: names[name] for name, entry in known.items()}, summary)


def read_rows(file: Path, **fields: type) -> list[dict[str, Any]]:
    """JSON lines, each an object with these fields of these types. Raises BadEvalData, also for a file without rows."""
    try:
        rows: list[Any] = list(_rows(file))
    except (OSError, ValueError) as error:
        raise BadEvalData(f"{file.name} cannot be read: {error}.") from error
    if not rows:
        raise BadEvalData(f"{file.name} holds no rows.")
    for number, row in enumerate(rows, start=1):
        for name, kind in fields.items():
            if not isinstance(row, dict) or not isinstance(row.get(name), kind):
                raise BadEvalData(f"{file.name}, row {number}: {name!r} is missing or no {kind.__name__}.")
    return rows


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def progress(line: str) -> None:
    """For people, on stderr."""
    print(line, file=sys.stderr, flush=True)
