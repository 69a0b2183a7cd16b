"""`grounded eval folder`: what the answers about a folder of documents are worth, and what its ingest cost.

The folder goes the very way that `grounded ingest` takes it, into a temporary state.
"""

import glob
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.commands.output import emit_json
from app.evals.answers import Outcome, ask_all, drawn, report
from app.evals.corpus import (
    COLLECTION,
    BadEvalData,
    Corpus,
    bare_embedding,
    corpus_of,
    ingest,
    opened_anew,
    progress,
    read_rows,
)
from app.evals.gold import Gold, gold_of, shares
from app.evals.memory import MemoryWatch, Peak
from app.settings import Settings
from app.wiring import Grounded, reader_pool
from ingest.errors import FileError
from ingest.model import Parsed, Source
from ingest.ports import Reader
from ingest.run import FileReport, Request, Summary
from ingest.sync import Patterns, read_bytes

_TOLD = 20  # files between two lines of progress


@dataclass(slots=True)
class _Run:
    """One ingest: what became of the files, and the memory that it took."""

    summary: Summary = field(default_factory=Summary)
    pages: int = 0
    peak: Peak = field(default_factory=Peak)

    def __call__(self, report: FileReport, summary: Summary) -> None:
        self.pages += report.pages or 0
        if report.error is not None:
            progress(f"{report.path}: {report.error.message}")
        elif (done := sum(summary.counts.values())) % _TOLD == 0:
            progress(f"{done} files, {summary.chunks} chunks, {summary.seconds:.0f} s")


async def folder(settings: Settings, path: Path, file: Path, limit: int | None, seed: int) -> int:
    """Ingest, ask, print one JSON document."""
    questions = drawn([_completed(row) for row in read_rows(file, question=str)], limit, seed)
    request = Request(path, COLLECTION, without(path, file))
    async with opened_anew(settings) as grounded:
        sources = await sources_of(grounded, request)
        golds = [gold_of(row, (source.name for source in sources)) for row in questions]  # before minutes of ingest
        run = await _ingested(grounded, request)
        corpus = await corpus_of(grounded, sources[0].root, run.summary)
        outcomes = await ask_all(corpus, questions)
        found = await report(corpus, questions, outcomes)
        measured = await _measured(settings, corpus, run, sources)
    emit_json(_joined(found, _places(questions, golds, outcomes, corpus)) | {"ingest": measured})
    return 0


def _completed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with what it need not say: a question about a folder is answerable until it says otherwise."""
    return {"answers": [], "answerable": True, **row}


def without(path: Path, file: Path) -> Patterns:
    """The questions with their answers are none of the documents, though they may lie among them."""
    folder, asked = path.resolve(), file.resolve()
    return Patterns(
        exclude=(glob.escape(asked.relative_to(folder).as_posix()),) if asked.is_relative_to(folder) else ()
    )


async def sources_of(grounded: Grounded, request: Request) -> list[Source]:
    """The files that will be read. Raises FolderNotFound, FolderEmpty and BadEvalData when there are none."""
    plan = await grounded.ingest.plan(request)
    sources = [change.source for change in plan.changes if change.source is not None]
    if not sources:
        raise BadEvalData(f"{request.path.name} holds no file that can be read.")
    return sources


async def _ingested(grounded: Grounded, request: Request) -> _Run:
    run = _Run()
    with MemoryWatch() as watch:
        run.summary = await ingest(grounded, request, run)
    run.peak = watch.peak
    return run


def _places(
    rows: Sequence[dict[str, Any]], golds: Sequence[Gold], outcomes: Sequence[Outcome], corpus: Corpus
) -> dict[str, dict[str, Any]]:
    known = [(gold, o) for row, gold, o in zip(rows, golds, outcomes, strict=True) if row["answerable"]]
    return shares([gold for gold, _ in known], [outcome for _, outcome in known], corpus.rows)


def _joined(found: dict[str, Any], places: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {**found, **{name: {**found.get(name, {}), **values} for name, values in places.items()}}


async def _measured(settings: Settings, corpus: Corpus, run: _Run, sources: Sequence[Source]) -> dict[str, Any]:
    """The ingest beside the two things that it cannot do without: reading the files and embedding the chunks."""
    summary = run.summary
    bare = await bare_embedding(corpus.grounded, COLLECTION)
    pages, reading = await _reading(settings, sources)
    return {
        "files": summary.counts["added"],
        "failed": summary.counts["failed"],
        "pages": run.pages,
        "pages_per_s": round(pages / reading, 1) if pages else None,
        "chunks": summary.chunks,
        "embedded": summary.embedded,
        "seconds": round(summary.seconds, 3),
        "embed_seconds": round(summary.embed_seconds, 3),
        "bare_embedding_seconds": round(bare, 3),
        "ratio_to_bare_embedding": round(summary.seconds / bare, 3) if summary.embedded else None,
        "peak_rss_mb": round(run.peak.total),
        "peak_rss_own_mb": round(run.peak.own),
        "peak_rss_readers_mb": round(run.peak.children),
    }


async def _reading(settings: Settings, sources: Sequence[Source]) -> tuple[int, float]:
    """Pages, and the seconds that it takes to read the files that have any, with nothing else to do."""
    pages, seconds = 0, 0.0
    pool = reader_pool(settings)
    try:
        await _read(pool, sources[0], settings)  # the reader's start is no part of it
        for source in sources:
            start = time.perf_counter()
            parsed = await _read(pool, source, settings)
            if parsed is not None and parsed.pages:
                pages, seconds = pages + parsed.pages, seconds + time.perf_counter() - start
    finally:
        await pool.close()
    return pages, seconds


async def _read(pool: Reader, source: Source, settings: Settings) -> Parsed | None:
    try:
        return await pool.read(source, read_bytes(source, settings.ingest.max_file_mb * 2**20))
    except FileError:
        return None  # the ingest has told
