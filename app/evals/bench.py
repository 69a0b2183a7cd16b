"""`grounded eval bench`: speed, in one run on one machine.

Each stage's median and 95th percentile stand beside the budget that the field allows it; the whole ingest stands beside
the bare embedding of the same chunks. Times are of a warm, otherwise idle process, one question at a time.
"""

import platform
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from app.commands.output import emit_json
from app.evals.corpus import bare_embedding, ingest, opened_anew, progress, read_rows
from app.evals.scores import percentiles
from app.evals.sync import sync
from app.pipeline import Question
from app.settings import Settings
from app.wiring import Grounded
from generation.events import Finished
from ingest.run import FileReport, Request, Summary

_BUDGET_MS: Mapping[str, str] = {
    "embed": "10-30",
    "dense": "5-15",
    "bm25": "5-10",
    "fuse": "",
    "read": "",
    "rerank": "50-150",
    "pack": "1-5",
    "first event": "",
    "ttft": "",
    "total": "",
}
_ROUNDS = 3
_WARM_UP = 10
_PAIRS = 3  # whole run and bare embedding, side by side


async def bench(settings: Settings, folder: Path, questions: Path, seed: int, files: int, *, as_json: bool) -> int:
    """Measure and print; JSON with `--json`. With `files` 0 the section `sync` is left out."""
    asked = [row["question"] for row in read_rows(questions, question=str)] * _ROUNDS
    random.Random(seed).shuffle(asked)  # noqa: S311  an order, no secret
    measured = await _ingest_runs(settings, folder)
    async with opened_anew(settings) as grounded:
        await ingest(grounded, Request(folder), _tell)
        stages = await _questions(grounded, asked)
    report = {"machine": machine(), "questions": len(asked), "stages_ms": stages, "ingest": measured}
    if files:
        report["sync"] = await sync(files, seed)
    if as_json:
        emit_json(report)
    else:
        _print(report)
    return 0


async def _questions(grounded: Grounded, asked: Sequence[str]) -> dict[str, dict[str, Any]]:
    measured: dict[str, list[float]] = {stage: [] for stage in _BUDGET_MS}
    for number, text in enumerate(asked):
        ms = await _one(grounded, Question(text))
        if number >= _WARM_UP:
            for stage, values in measured.items():
                if stage in ms:
                    values.append(ms[stage])
    return {stage: {**percentiles(values), "budget": _BUDGET_MS[stage]} for stage, values in measured.items()}


async def _one(grounded: Grounded, question: Question) -> dict[str, float]:
    """The stages of one search, then the whole of one answer to the same question."""
    scope = await grounded.pipeline.scope(question.collection)
    _, _, search = await grounded.pipeline.retrieve(question, scope)
    ms = {stage: value for stage, value in search.items() if stage != "total"}
    start = time.perf_counter()
    async with aclosing(grounded.pipeline.ask(question)) as events:
        async for event in events:
            ms.setdefault("first event", (time.perf_counter() - start) * 1e3)
            if isinstance(event, Finished):
                ms |= {stage: event.timings_ms[stage] for stage in ("ttft", "total")}
    return ms


async def _ingest_runs(settings: Settings, folder: Path) -> dict[str, Any]:
    """The whole run and the bare embedding of the same chunks, in turn, so that the machine's mood hits both."""
    runs = []
    for number in range(_PAIRS):
        async with opened_anew(settings) as grounded:
            summary = await ingest(grounded, Request(folder), _tell)
            bare = await bare_embedding(grounded, "default")
        progress(f"ingest {number + 1} of {_PAIRS}: {summary.seconds:.2f} s, bare embedding {bare:.2f} s")
        runs.append((summary, bare))
    return _ingest_report(runs)


def _ingest_report(runs: Sequence[tuple[Summary, float]]) -> dict[str, Any]:
    files = runs[0][0].counts["added"]
    seconds = statistics.median(summary.seconds for summary, _ in runs)
    bare = statistics.median(bare for _, bare in runs)
    return {
        "files": files,
        "chunks": runs[0][0].chunks,
        "seconds": round(seconds, 3),
        "files_per_s": round(files / seconds, 1),
        "chunks_per_s": round(runs[0][0].chunks / seconds, 1),
        "bare_embedding_seconds": round(bare, 3),
        "ratio_to_bare_embedding": round(statistics.median(s.seconds / b for s, b in runs), 3),
        "ratio_to_own_embedding": round(statistics.median(s.seconds / s.embed_seconds for s, _ in runs), 3),
    }


def _tell(report: FileReport, _: Summary) -> None:
    if report.error is not None:
        progress(f"{report.path}: {report.error.message}")


def machine() -> str:
    """Cores, memory and system, as reports name it."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}"


def _print(report: Mapping[str, Any]) -> None:
    console = Console()
    table = Table(
        "stage", "p50 ms", "p95 ms", "budget ms", title=f"{report['questions']} questions, {report['machine']}"
    )
    for stage, found in report["stages_ms"].items():
        table.add_row(stage, f"{found['p50']:.2f}", f"{found['p95']:.2f}", found["budget"])
    console.print(table)
    for name, value in report["ingest"].items():
        console.print(f"ingest {name}: {value}")
    for name, value in report.get("sync", {}).items():
        console.print(f"sync {name}: {value}")
