"""What the peers told, as figures and as a table of Markdown. Pure."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.evals.scores import percentiles
from tests.peers.runner import Outcome
from tests.peers.scores import ndcg

_HEADER = (
    "peer",
    "build s",
    "p50 ms",
    "p95 ms",
    "p50 ms, embedded",
    "p95 ms, embedded",
    "nDCG@10",
    "peak MB",
    "MB when asked",
    "questions",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One peer: medians over its runs, the highest peak of memory. `failure` says why there are no figures, or fewer runs
    than were asked for. Times in milliseconds, memory in MB without that of the embedder, which is not the peer's."""

    name: str
    label: str
    runs: int = 0
    build_seconds: float = 0.0
    without_ms: Mapping[str, float] | None = None
    with_ms: Mapping[str, float] | None = None
    embed_ms: float = 0.0
    ndcg: float = 0.0
    peak_mb: float = 0.0
    resident_mb: float = 0.0
    questions: int = 0
    slow: bool = False
    versions: Mapping[str, str] | None = None
    notes: Mapping[str, int] | None = None
    failure: str | None = None
    measured: str = ""  # when, in UTC


def row_of(outcomes: Sequence[Outcome], qrels: Mapping[str, Mapping[str, int]]) -> Row:
    """All runs of one peer. A question that was not asked does not count."""
    peer = outcomes[0].peer
    told = [outcome.result for outcome in outcomes if outcome.result is not None]
    failure = next((outcome.failure for outcome in outcomes if outcome.failure is not None), None)
    if not told:
        return Row(peer.name, peer.label, failure=failure)
    return Row(
        peer.name,
        peer.label,
        runs=len(told),
        build_seconds=round(_median(told, "build_seconds"), 1),
        without_ms=_times([result["without_ms"] for result in told]),
        with_ms=_times([result["with_ms"] for result in told]),
        embed_ms=round(statistics.median(ms for result in told for ms in result["embed_ms"]), 2),
        ndcg=round(statistics.mean(ndcg(result["rankings"], qrels) for result in told), 6),
        peak_mb=round(max(result["peak_mb"] for result in told)),
        resident_mb=round(_median(told, "resident_mb")),
        questions=min(len(result["rankings"]) for result in told),
        slow=any(result["slow"] for result in told),
        versions=told[0]["versions"],
        notes=sum((Counter(result["notes"]) for result in told), Counter()),
        failure=failure,
    )


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of Markdown, with what has to be known about single rows below."""
    lines = [_line(_HEADER), _line(["---"] * len(_HEADER)), *(_line(_cells(row)) for row in rows)]
    notes = [f"{row.label}: {row.failure}." for row in rows if row.failure is not None]
    notes += [f"{row.label}: {times} searches {note}." for row in rows for note, times in (row.notes or {}).items()]
    if any(row.slow for row in rows):
        notes.append(
            "(*) Slower than the limit, so asked fewer questions; its nDCG@10 is over these and does not compare."
        )
    return [*lines, "", *(f"- {note}" for note in notes)] if notes else lines


def _cells(row: Row) -> list[str]:
    if row.without_ms is None or row.with_ms is None:
        return [row.label, "failed", *[""] * (len(_HEADER) - 2)]
    ms = [row.without_ms["p50"], row.without_ms["p95"], row.with_ms["p50"], row.with_ms["p95"]]
    return [
        row.label,
        f"{row.build_seconds:.1f}",
        *(f"{value:.1f}" for value in ms),
        f"{row.ndcg:.3f}{' (*)' if row.slow else ''}",
        f"{row.peak_mb:.0f}",
        f"{row.resident_mb:.0f}",
        str(row.questions),
    ]


def _times(runs: Sequence[Sequence[float]]) -> dict[str, float]:
    """Of each run its median and 95th percentile, and the median of those."""
    found = [percentiles(run) for run in runs]
    return {key: round(statistics.median(one[key] for one in found), 2) for key in ("p50", "p95")}


def _median(told: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(statistics.median(result[key] for result in told))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
