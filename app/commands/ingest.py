"""`grounded ingest`: progress on stderr, a line per file with --jsonl, a table and the next command at the end."""

import sys
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, Literal, Self

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.commands.output import emit, emit_json, say
from app.settings import Settings
from app.state import StateFolder
from app.wiring import opened
from ingest.pipeline import FAILED, FileReport, Request, Summary

Format = Literal["text", "json", "jsonl"]
_SHOWN = 20  # failures told one by one


async def ingest(settings: Settings, request: Request, form: Format, *, progress: bool, quiet: bool) -> int:
    """Run one ingest. Exit code 1 when a file failed; the others are in."""
    summary = Summary()
    failed: list[FileReport] = []
    empty: list[FileReport] = []
    state = StateFolder(settings.state)
    with state.owned():
        async with opened(settings, state) as grounded:
            plan = await grounded.ingest.plan(request)
            with _Bar(sum(change.kind in ("added", "updated") for change in plan.changes), shown=progress) as bar:
                async with aclosing(grounded.ingest.run(request, plan, summary)) as reports:
                    async for report in reports:
                        bar.advance(report, summary)
                        if form == "jsonl":
                            emit(_line(report))
                        if report.error is not None:
                            (failed if report.status in FAILED else empty).append(report)
    _close(request, summary, failed, empty, form, quiet=quiet)
    return 1 if failed else 0


class _Bar:
    """Files done, chunks a second, time left and the file at hand; nothing at all when it is not shown."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),  # names may hold brackets
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not shown,
            transient=True,
        )
        self._task = self._progress.add_task("ingest", total=total, rate="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, report: FileReport, summary: Summary) -> None:
        """One file more."""
        rate = f"{summary.chunks / summary.seconds:.0f} chunks/s" if summary.seconds else ""
        step = int(report.status in ("added", "updated", "empty_text", *FAILED))
        self._progress.update(self._task, advance=step, rate=rate, description=report.path[-32:])


def _line(report: FileReport) -> str:
    error = (
        {"code": report.error.code, "message": report.error.message, "next_step": report.error.next_step}
        if report.error
        else None
    )
    row = {
        "path": report.path,
        "status": report.status,
        "chunks": report.chunks,
        "pages": report.pages,
        "ms": round(report.ms, 1),
        "error": error,
    }
    return orjson.dumps(row).decode()


def _summary(summary: Summary) -> dict[str, Any]:
    found = asdict(summary)
    return {"type": "summary", **found.pop("counts"), **{k: round(v, 3) for k, v in found.items()}}


def _close(
    request: Request,
    summary: Summary,
    failed: list[FileReport],
    empty: list[FileReport],
    form: Format,
    *,
    quiet: bool,
) -> None:
    if form == "jsonl":
        emit_json(_summary(summary))
    elif form == "json":
        emit_json({**_summary(summary), "errors": [orjson.loads(_line(report)) for report in failed]})
    for report in failed[:_SHOWN]:
        assert report.error is not None
        say(f"failed: {report.path}: [{report.error.code}] {report.error.message}\n  next: {report.error.next_step}")
    if len(failed) > _SHOWN:
        say(f"... and {len(failed) - _SHOWN} more; --jsonl lists them all.")
    if not quiet:
        if empty:
            say(f"{len(empty)} files hold no text, for example {empty[0].path}. Scans need OCR first.")
        _print_table(request, summary)


def _print_table(request: Request, summary: Summary) -> None:
    console = Console(file=sys.stderr)
    table = Table(*summary.counts, title="Would change" if request.dry_run else None)
    table.add_row(*map(str, summary.counts.values()))
    console.print(table)
    if request.dry_run:
        return
    say(f"{summary.chunks} chunks, {summary.embedded} embedded, {summary.seconds:.1f} s")
    if summary.counts["added"] or summary.counts["updated"]:
        collection = "" if request.collection == "default" else f" --collection {request.collection}"
        say(f'Next: grounded ask "..."{collection}')
