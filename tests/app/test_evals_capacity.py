"""The plan past one machine: each figure is the arithmetic that the chapter says it is."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.evals.capacity_table import capacity_lines, costs_of
from app.evals.parts import SELF
from app.evals.table import table
from app.evals.throughput_table import throughput_lines


def size(chunks: int) -> dict[str, Any]:
    """A thousand bytes of each part, two of memory and 20 ns a chunk, beside what an empty service takes."""
    mb = chunks * 1000 / 2**20
    return {
        "chunks": chunks,
        "disk_mb": {"catalog": 5 + mb, "shard": 200 + mb, "vectors": 9 * mb},
        "stages_ms": {"dense": {"p50": 1 + chunks * 2e-5}, "bm25": {"p50": 0.5 + chunks * 1e-5}},
        "service": {"memory_mb": {"rss": 600, "own": 400 + mb, "file": 200 + mb}},
    }


PARTS = {"embedding": 4.0, "catalog": 1.0, SELF: 9.0}
SEEN = {"per_s": 50.0, "p50": 9, "p95": 12, "p99": 20, "cpu_ms": 21.5, "cores": 1.1, "longest_stall_ms": 3.2}
ROW = SEEN | {"cpu_ms_by_part": PARTS}
THROUGHPUT = {"extractive": {"1": ROW, "8": ROW, "memory_mb": {}}, "chat": {"1": ROW, "8": ROW}}
GROWN = [size(100_000), size(10_000)]


def cells(lines: list[str], first: str) -> list[list[str]]:
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [row[1:] for row in rows if row[0] == first]


def test_a_chunk_costs_the_difference_of_two_sizes_and_a_question_what_it_takes_of_the_cpu() -> None:
    costs = costs_of(GROWN, THROUGHPUT)
    assert costs.disk == pytest.approx({"catalog": 1000, "shard": 1000, "vectors": 9000})
    assert costs.memory == pytest.approx(2000)
    assert costs.search_ms == pytest.approx(2e-5)
    assert costs.question_ms == {"embedding": 4.0, "catalog": 1.0}
    assert costs.fixed_ms == 5.0


def test_the_tables_are_that_arithmetic() -> None:
    lines = capacity_lines(GROWN, THROUGHPUT, chunk_s=0.018)
    assert cells(lines, "embedding") == [["4.00", "0.040", "4.0", "400"]]
    assert cells(lines, "all") == [["5.00", "0.050", "5.0", "500"]]
    assert cells(lines, "token vectors that are read, MB/s") == [["", "1.8", "180", "18,000"]]
    assert cells(lines, "catalog, on the disk") == [["1,000 B", "1.0 GB", "100 GB", "10 TB"]]
    assert cells(lines, "memory") == [["2,000 B", "2.0 GB", "200 GB", "20 TB"]]
    assert cells(lines, "read, embedded and written") == [
        ["18.0 core ms", "5.0 core hours", "500 core hours", "50,000 core hours"]
    ]
    assert cells(lines, "every question, both searches") == [
        ["20.0 core ns", "0.020 core s", "2.0 core s", "200 core s"]
    ]
    assert cells(lines, "shards of 1,000,000") == [["", "1", "100", "10,000"]]


def test_machines_are_what_most_are_needed_of() -> None:
    lines = capacity_lines(GROWN, THROUGHPUT)
    million, more, most = cells(lines, "1,000,000"), cells(lines, "100,000,000"), cells(lines, "10,000,000,000")
    # 25 ms a question at a million chunks, .6 of 16 cores each; one machine is never enough, since all stands twice.
    assert million[0] == ["2 (copies)", "3 (cores)", "260 (cores)"]
    # 2,005 ms a question; 200 GB of memory twice, 128 each.
    assert more[0] == ["4 (memory)", "210 (cores)", "21,000 (cores)"]
    assert more[1] == ["4 (memory)", "4 (memory)", "260 (cores)"]
    assert most[1] == ["310 (memory)", "310 (memory)", "310 (memory)"]


def test_reports_are_written_into_both_chapters(tmp_path: Path) -> None:
    capacity, performance = tmp_path / "capacity.md", tmp_path / "performance.md"
    capacity.write_text("<!-- capacity:begin -->\n<!-- capacity:end -->\n")
    performance.write_text(
        "<!-- growth:begin -->\n<!-- growth:end -->\n<!-- throughput:begin -->\n<!-- throughput:end -->\n"
    )
    files = []
    common = {"retrieval_ms": {"p50": 6, "p95": 9}, "answer_ms": {"p50": 17}, "built_s": 9.0, "bm25": None}
    stages = {"rerank": {"p50": 1.2}}
    grown = [row | common | {"stages_ms": row["stages_ms"] | stages} for row in GROWN]
    for name, report in (
        ("growth", {"machine": "2 cores", "growth": grown}),
        ("throughput", {"machine": "2 cores", "throughput": THROUGHPUT}),
    ):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(report))
    assert asyncio.run(table(files, performance=performance, capacity=capacity)) == 0
    assert "| all | 5.00 |" in capacity.read_text()
    assert "| 8 | 50.0 | 9 | 12 | 20 | 21.5 | 1.1 | 3.2 |" in performance.read_text()


def test_shares_leave_out_what_the_measuring_takes() -> None:
    lines = throughput_lines({"machine": "2 cores", "throughput": THROUGHPUT})
    assert cells(lines, "embedding") == [["80%", "80%"]] * 2
    assert not cells(lines, SELF)
