"""What more chunks and more questions need than one machine has: arithmetic on reports, for the manual's chapter on capacity.

Nothing is assumed but that costs which were measured at two sizes go on growing alike, and the machine below, which stands in
the chapter as well. A question's costs are CPU seconds, so they do not depend on how many machines share them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.evals.parts import SELF

Report = Mapping[str, Any]
SIZES = (10**6, 10**8, 10**10)
RATES = (10, 1_000, 100_000)
SHARD = 10**6  # chunks that one process searches
_CORES, _MEMORY_GB, _DISK_TB = 16, 128, 4
_LOAD = 0.6  # of the cores; nearer to all of them the waiting grows without bound
_COPIES = 2
_ARMS = "dense and BM25"
_READ_CLOSELY, _CONTEXT_TOKENS, _ANSWER_TOKENS = 20, 2048, 512  # where nobody sets them otherwise
_CLIENTS = "8"  # as many as are answered at once


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a chunk: bytes on the disk by part, bytes of memory, and milliseconds by which it makes every search longer. Of a
    question whose answer is quoted: milliseconds of CPU by part, over next to no chunks."""

    disk: Mapping[str, float]
    memory: float
    search_ms: float
    question_ms: Mapping[str, float]

    @property
    def fixed_ms(self) -> float:
        """Of a question over next to no chunks."""
        return sum(self.question_ms.values())


def costs_of(grown: Sequence[Report], throughput: Report) -> Costs:
    """From the smallest and the largest size of `grounded eval growth`, and what the service took of the CPU."""
    small, *_, large = sorted(grown, key=lambda row: int(row["chunks"]))
    more = large["chunks"] - small["chunks"]
    disk = {part: (mb - small["disk_mb"][part]) * 2**20 / more for part, mb in large["disk_mb"].items()}
    memory = sum((_memory_mb(large, kind) - _memory_mb(small, kind)) * 2**20 / more for kind in ("own", "file"))
    parts = throughput["extractive"][_CLIENTS]["cpu_ms_by_part"]
    question = {part: ms for part, ms in parts.items() if part != SELF}
    return Costs(disk, memory, (_arms_ms(large) - _arms_ms(small)) / more, question)


def _memory_mb(row: Report, kind: str) -> float:
    return float(row["service"]["memory_mb"][kind])


def _arms_ms(row: Report) -> float:
    """Both searches take turns on one thread, so the one that ends last has waited for the other."""
    return float(max(row["stages_ms"][arm]["p50"] for arm in ("dense", "bm25")))


def capacity_lines(grown: Sequence[Report], throughput: Report, chunk_s: float | None = None) -> list[str]:
    """The tables. `chunk_s` is what a chunk takes of the CPU until it can be found."""
    costs = costs_of(grown, throughput)
    machine = f"{_CORES} cores, {_MEMORY_GB} GB of memory and {_DISK_TB} TB of disk, {_LOAD:.0%} of the cores used"
    graph = f"that both together take what they take over {SHARD:,} chunks"
    tables = {
        "What one question takes, and all that are asked in a second:": _questions(costs),
        "What one chunk takes, and all of them:": _chunks(costs, chunk_s),
        f"Machines of {machine}, everything {_COPIES} times; in brackets what decides how many:": _machines(
            costs, scanned=True
        ),
        f"The same where a graph answers the dense search, and BM25 skips what cannot win, so {graph}:": _machines(
            costs, scanned=False
        ),
    }
    return [line for head, lines in tables.items() for line in (head, "", *lines, "")]


def _questions(costs: Costs) -> list[str]:
    rates = [f"cores at {rate:,}/s" for rate in RATES]
    lines = _head("part", "CPU ms a question", *rates)
    for part, ms in costs.question_ms.items():
        lines.append(_row(part, f"{ms:.2f}", *(_number(rate * ms / 1e3) for rate in RATES)))
    whole = costs.fixed_ms
    lines.append(_row("all", f"{whole:.2f}", *(_number(rate * whole / 1e3) for rate in RATES)))
    read = costs.disk.get("vectors", 0.0) * _READ_CLOSELY
    lines.append(_row("token vectors that are read, MB/s", "", *(_number(rate * read / 1e6) for rate in RATES)))
    lines.append(_row("a model reads tokens/s, at most", "", *(_number(rate * _CONTEXT_TOKENS) for rate in RATES)))
    lines.append(_row("a model writes tokens/s, at most", "", *(_number(rate * _ANSWER_TOKENS) for rate in RATES)))
    return lines


def _chunks(costs: Costs, chunk_s: float | None) -> list[str]:
    lines = _head("what", "a chunk", *(f"{size:,}" for size in SIZES))
    for part, size in costs.disk.items():
        lines.append(_row(f"{part}, on the disk", f"{_number(size)} B", *(_bytes(n * size) for n in SIZES)))
    lines.append(_row("memory", f"{_number(costs.memory)} B", *(_bytes(n * costs.memory) for n in SIZES)))
    if chunk_s is not None:
        told = (f"{_number(n * chunk_s / 3600)} core hours" for n in SIZES)
        lines.append(_row("read, embedded and written", f"{chunk_s * 1e3:.1f} core ms", *told))
    scan = (f"{_number(n * costs.search_ms / 1e3)} core s" for n in SIZES)
    lines.append(_row("every question, both searches", f"{costs.search_ms * 1e6:.1f} core ns", *scan))
    lines.append(_row(f"shards of {SHARD:,}", "", *(_whole(math.ceil(n / SHARD)) for n in SIZES)))
    return lines


def _machines(costs: Costs, *, scanned: bool) -> list[str]:
    lines = _head("chunks", *(f"{rate:,}/s" for rate in RATES))
    for size in SIZES:
        searched = size if scanned else min(size, SHARD)
        cells = (_needed(costs, size, rate * (costs.fixed_ms + searched * costs.search_ms) / 1e3) for rate in RATES)
        lines.append(_row(f"{size:,}", *cells))
    return lines


def _needed(costs: Costs, size: int, cores: float) -> str:
    """Machines for so many chunks and so many cores' work, and of what most are needed."""
    disk = size * sum(costs.disk.values()) / (_DISK_TB * 1e12)
    memory = size * costs.memory / (_MEMORY_GB * 1e9)
    needed = {"cores": cores / _LOAD / _CORES, "memory": memory * _COPIES, "disk": disk * _COPIES}
    what = max(needed, key=lambda name: needed[name])
    count = math.ceil(needed[what])
    return f"{_whole(count)} ({what})" if count > _COPIES else f"{_COPIES} (copies)"


def _number(value: float) -> str:
    """Two figures that count; more would promise more than was measured."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(digits, 0)}f}" if value < 10 else f"{int(round(value, digits)):,}"


def _whole(count: int) -> str:
    return _number(count) if count > 9 else str(count)


def _bytes(size: float) -> str:
    for unit, scale in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if size >= scale:
            return f"{_number(size / scale)} {unit}"
    return f"{_number(size / 1e6)} MB"


def _head(*cells: str) -> list[str]:
    return [_row(*cells), _row(*["---"] * len(cells))]


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
