"""The report of `grounded eval growth` as tables and a plot of the manual's chapter on performance."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from app.evals.plot import log_plot

PLOT = "growth.svg"
_COLUMNS = (
    "chunks", "retrieval p50 / p95 ms", "dense p50 ms", "BM25 p50 ms", "rerank p50 ms", "answer p50 ms",
    "memory own + files MB", "disk MB", "built in s", "ready in s",
)  # fmt: skip

Report = Mapping[str, Any]


def growth_lines(reports: Sequence[Report], page: Path) -> list[str]:
    """Tables: what each size costs, BM25 beside rank-bm25, and many clients beside one. The plot is written beside the
    page. Reports of one state that was kept and grown are one table. A report of `grounded eval signs` is one line."""
    grown = [report for report in reports if "growth" in report]
    lines = _grown(grown[0]["machine"], [row for report in grown for row in report["growth"]], page) if grown else []
    return [*lines, *(line for report in reports if "signs" in report for line in (_signs(report), ""))]


def _grown(machine: str, found: Sequence[Report], page: Path) -> list[str]:
    rows = sorted(found, key=lambda row: int(row["chunks"]))
    _write_plot(rows, page.with_name(PLOT))
    lines = [f"`grounded eval growth`, {machine}:", "", _row(*_COLUMNS), _row(*["---"] * len(_COLUMNS))]
    built = accumulate(float(row["built_s"]) for row in rows)  # each size begins where the one before ended
    lines += [_size(row, seconds) for row, seconds in zip(rows, built, strict=True)]
    lines += ["", f"![Latency and memory by the number of chunks]({PLOT})", ""]
    lines += [line for row in rows if row.get("bm25") for line in _bm25(row)]
    lines += [line for row in rows if row.get("service") for line in _service(row)]
    return lines


def _signs(report: Report) -> str:
    found = report["signs"]
    low, high = found["loss_ci95"]
    told = f"nDCG@10 {found['signs']:.4f} by signs, {found['vectors']:.4f} by whole vectors"
    return f"`grounded eval signs DIR` on {report['set']}: {told}; loss {found['loss']:.4f} ({low:.4f} to {high:.4f})."


def _write_plot(rows: Sequence[Report], file: Path) -> None:
    lines = {
        "answer, ms": [(row["chunks"], row["answer_ms"]["p50"]) for row in rows],
        "retrieval, ms": [(row["chunks"], row["retrieval_ms"]["p50"]) for row in rows],
        "dense search, ms": [(row["chunks"], row["stages_ms"]["dense"]["p50"]) for row in rows],
        "BM25, ms": [(row["chunks"], row["stages_ms"]["bm25"]["p50"]) for row in rows],
        "memory, MB": [(row["chunks"], row["service"]["memory_mb"]["rss"]) for row in rows if row.get("service")],
    }
    shown = {name: points for name, points in lines.items() if points}
    picture = log_plot("Latency and memory by size", "chunks", "median", shown)
    file.write_text(picture, encoding="utf-8")


def _size(row: Report, built_s: float) -> str:
    stages, total, service = row["stages_ms"], row["retrieval_ms"], row.get("service", {})
    memory = service.get("memory_mb", {})
    return _row(
        f"{row['chunks']:,}",
        f"{total['p50']} / {total['p95']}",
        *(stages[stage]["p50"] for stage in ("dense", "bm25", "rerank")),
        row["answer_ms"]["p50"],
        f"{memory.get('own', 0):.0f} + {memory.get('file', 0):.0f}" if memory else "",
        f"{sum(row['disk_mb'].values()):.0f}",
        f"{built_s:.0f}",
        service.get("opened_s", ""),
    )


def _bm25(row: Report) -> list[str]:
    b = row["bm25"]
    told = f"BM25 over {row['chunks']:,} chunks: {b['p50']} ms, rank-bm25 {b['rank_bm25_p50']} ms in the same run"
    return [f"{told}, {b['times']:g} times as long. Token vectors: {row['vectors_kb_per_chunk']} kB a chunk.", ""]


def _service(row: Report) -> list[str]:
    lines = [f"The running service over {row['chunks']:,} chunks:", ""]
    lines += [
        _row("clients", "answers/s", "p50 ms", "p95 ms", "longest stall of the event loop, ms"),
        _row(*["---"] * 5),
    ]
    for name in sorted((name for name in row["service"] if name.isdigit()), key=int):
        s = row["service"][name]
        lines.append(_row(name, s["per_s"], s["p50"], s["p95"], s["longest_stall_ms"]))
    return [*lines, ""]


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
