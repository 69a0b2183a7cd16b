"""`grounded ingest`: progress on stderr, a line per file with --jsonl, a table and the next command at the end."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, Self

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.commands.output import console_for, emit, emit_json, say
from app.settings import Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from ingest.run import FAILED, FileReport, Request, Summary

Format = Literal["text", "json", "jsonl"]
CHANGED = ("added", "updated", "deleted")
_SHOWN = 20  # failures told one by one


@dataclass(frozen=True, slots=True)
class Show:
    """How a run is told."""

    form: Format = "text"
    progress: bool = False
    quiet: bool = False


@dataclass(slots=True)
class Run:
    """A run and what is to be told of it. `before`: how each file stood when it was last told; only news are told then."""

    summary: Summary = field(default_factory=Summary)
    changed: list[FileReport] = field(default_factory=list)
    failed: list[FileReport] = field(default_factory=list)
    empty: list[FileReport] = field(default_factory=list)
    before: Mapping[str, str] | None = None
    after: dict[str, str] = field(default_factory=dict)

    def add(self, report: FileReport) -> bool:
        """Note it; whether it is news."""
        stands = "unchanged" if report.status in CHANGED else report.error.code if report.error else str(report.status)
        self.after[report.path] = stands
        if report.status in CHANGED:
            self.changed.append(report)
        elif self.before is not None and self.before.get(report.path) == stands:
            return False
        elif report.status in FAILED:
            self.failed.append(report)
        elif report.error is not None:
            self.empty.append(report)
        return True


RunOnce = Callable[[Request, Show, Run], Awaitable[Run]]


async def ingest(settings: Settings, request: Request, form: Format, *, progress: bool, quiet: bool) -> int:
    """Run one ingest. Exit code 1 when a file failed; the others are in."""
    show = Show(form, progress, quiet)
    async with runs(settings) as run_once:
        run = await run_once(request, show, Run())
    close(request, run, show)
    return 1 if run.failed else 0


@asynccontextmanager
async def runs(settings: Settings) -> AsyncIterator[RunOnce]:
    """Does runs: by the service that holds the state folder, else here."""
    state = StateFolder(settings.state)
    if (url := state.service_url()) is not None:
        from app.commands.handover import connected, hand_over

        async with connected(url) as http:
            yield partial(hand_over, http)
        return
    with state.owned():
        async with opened(settings, state, models_now=False) as grounded:
            grounded.check_lead()
            yield partial(run_here, grounded)


async def run_here(grounded: Grounded, request: Request, show: Show, run: Run) -> Run:
    """One run, told file by file with --jsonl. The models are loaded if there is anything for them to do."""
    plan = await grounded.ingest.plan(request)
    work = sum(change.kind in ("added", "updated") for change in plan.changes)
    if work and not request.dry_run:
        grounded.wanted.set()
    with Bar(work, shown=show.progress) as bar:
        async with aclosing(grounded.ingest.run(request, plan, run.summary)) as reports:
            async for report in reports:
                bar.advance(report, run.summary)
                if run.add(report) and show.form == "jsonl":
                    emit(line(report))
    return run


class Bar:
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

    def expect(self, total: int) -> None:
        """So many files, as is known by now."""
        self._progress.update(self._task, total=total)

    def advance(self, report: FileReport, summary: Summary) -> None:
        """One file more."""
        rate = f"{summary.chunks / summary.seconds:.0f} chunks/s" if summary.seconds else ""
        step = int(report.status in ("added", "updated", "empty_text", *FAILED))
        self._progress.update(self._task, advance=step, rate=rate, description=report.path[-32:])


def _row(report: FileReport) -> dict[str, Any]:
    error = report.error
    row = {
        "path": report.path,
        "status": report.status,
        "chunks": report.chunks,
        "pages": report.pages,
        "ms": round(report.ms, 1),
        "error": {"code": error.code, "message": error.message, "next_step": error.next_step} if error else None,
        "warnings": list(report.warnings),
    }
    return row if report.renamed_from is None else {**row, "renamed_from": report.renamed_from}


def line(report: FileReport) -> str:
    """A file as --jsonl tells it."""
    return orjson.dumps(_row(report)).decode()


def _change(report: FileReport) -> dict[str, str]:
    row = {"path": report.path, "status": str(report.status)}
    return row if report.renamed_from is None else {**row, "renamed_from": report.renamed_from}


def _summary(summary: Summary) -> dict[str, Any]:
    found = asdict(summary)
    return {"type": "summary", **found.pop("counts"), **{k: round(v, 3) for k, v in found.items()}}


def close(request: Request, run: Run, show: Show) -> None:
    """The end of a run: the document or the last line on stdout, then what people want to know."""
    match show.form:
        case "jsonl":
            emit_json(_summary(run.summary))
        case "json":
            changes = [_change(report) for report in run.changed]
            emit_json({**_summary(run.summary), "changes": changes, "errors": [_row(report) for report in run.failed]})
        case "text" if request.dry_run:
            for report in run.changed:
                former = f" (was {report.renamed_from})" if report.renamed_from else ""
                emit(f"{report.status:<8} {report.path}{former}")
    _tell_failed(run.failed)
    if not show.quiet:
        _tell_warnings(run.changed)
        if run.empty:
            files = "1 file holds" if len(run.empty) == 1 else f"{len(run.empty)} files hold"
            say(f"{files} no text, for example {run.empty[0].path}. Scans need OCR first.")
        _print_table(request, run.summary)


def _tell_failed(failed: list[FileReport]) -> None:
    for report in failed[:_SHOWN]:
        assert report.error is not None
        say(f"failed: {report.path}: [{report.error.code}] {report.error.message}\n  next: {report.error.next_step}")
    if len(failed) > _SHOWN:
        say(f"... and {len(failed) - _SHOWN} more; --jsonl lists them all.")


def _tell_warnings(changed: list[FileReport]) -> None:
    warnings = [f"warning: {report.path}: {warning}" for report in changed for warning in report.warnings]
    for warning in warnings[:_SHOWN]:
        say(warning)
    if len(warnings) > _SHOWN:
        say(f"... and {len(warnings) - _SHOWN} more; --jsonl lists them all.")


def _print_table(request: Request, summary: Summary) -> None:
    counts = Table(*summary.counts, title="Would change" if request.dry_run else None, box=None, pad_edge=False)
    counts.add_row(*map(str, summary.counts.values()))
    console_for(sys.stderr).print(counts)
    if request.dry_run:
        return
    chunks = "1 chunk" if summary.chunks == 1 else f"{summary.chunks} chunks"
    say(f"{chunks}, {summary.embedded} embedded, {summary.seconds:.1f} s")
    if summary.counts["added"] or summary.counts["updated"]:
        collection = "" if request.collection == "default" else f" --collection {request.collection}"
        say(f'Next: grounded ask "..."{collection}')
