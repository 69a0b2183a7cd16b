"""`grounded eval models`: what each tier is worth on one's own cases, and the routed mix beside the dearest for all.

Every tier answers every case alone, then all are asked once more as the service routes them. A case is right when its answer
holds one of its gold answers, or when it has none and is declined.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.evals.answers import Outcome, ask_all, drawn
from app.evals.corpus import COLLECTION, Corpus, corpus_of, ingest, opened_anew, progress, read_rows
from app.evals.routing_table import shown
from app.evals.scores import holds, mean, percentiles
from app.settings import Settings
from app.tiers import tiers_of
from ingest.run import FileReport, Request, Summary

Row = Mapping[str, Any]


async def models(settings: Settings, folder: Path, cases: Path, limit: int | None, seed: int, *, as_json: bool) -> int:
    """Measure and print."""
    return shown(await measured(settings, folder, cases, limit, seed), as_json=as_json)


async def measured(settings: Settings, folder: Path, cases: Path, limit: int | None, seed: int) -> dict[str, Any]:
    """Ingest the folder into a temporary state, ask, and count. Raises BadEvalData, ConfigurationError."""
    rows = drawn(read_rows(cases, question=str), limit, seed)
    names = [tier.name for tier in tiers_of(settings)]
    async with opened_anew(settings) as grounded:
        summary = await ingest(grounded, Request(folder, COLLECTION), _told)
        corpus = await corpus_of(grounded, folder, summary)
        tiers = {name: await _asked(corpus, rows, name) for name in grounded.router.tiers}
        routed = await _asked(corpus, rows, None) if names else None
    return report(rows, tiers, routed, names)


def report(
    rows: Sequence[Row],
    tiers: Mapping[str, Sequence[Outcome]],
    routed: Sequence[Outcome] | None,
    names: Sequence[str],
) -> dict[str, Any]:
    """The figures of each tier, and of the routed mix with what it saves; `names` are from the cheapest to the dearest."""
    found: dict[str, Any] = {"models": True, "n": len(rows)}
    found["tiers"] = {name: figures(rows, outcomes) for name, outcomes in tiers.items()}
    if routed is None:
        return found
    mix = figures(rows, routed)
    mix["share"] = {name: count / max(1, len(routed)) for name, count in _written_by(routed).items()}
    small, large = (found["tiers"][name]["cost_usd"] for name in (names[0], names[-1]))
    mix["saving_beside_all_large"] = round(1 - mix["cost_usd"] / large, 4) if large else None
    mix["times_all_small"] = round(mix["cost_usd"] / small, 2) if small else None
    return {**found, "all_small": names[0], "all_large": names[-1], "routed": mix}


def figures(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Of one way to answer. `failed` counts answers that another wrote in the tier's place, or nobody did."""
    ends = [outcome.done for outcome in outcomes if outcome.done is not None]
    known = [(row, outcome) for row, outcome in zip(rows, outcomes, strict=True) if is_judged(row)]
    nano = sum(sum(end.cost_nano_usd.values()) for end in ends)
    return {
        "judged": len(known),
        "accuracy": mean([is_right(row, outcome) for row, outcome in known]) if known else None,
        "abstained": mean([end.finish_reason in ("abstained", "no_context") for end in ends]),
        "failed": sum(end.finish_reason == "error" or "generator" in end.degraded for end in ends),
        "latency_ms": percentiles([end.timings_ms["total"] for end in ends]),
        "tokens": {
            "input": sum(end.usage.input_tokens for end in ends),
            "cached_input": sum(end.usage.cached_input_tokens for end in ends),
            "output": sum(end.usage.output_tokens for end in ends),
        },
        "cost_usd": nano / 1e9,
        "cost_usd_per_1000": round(nano / 1e6 / max(1, len(ends)), 6),
    }


def _written_by(outcomes: Sequence[Outcome]) -> Counter[str]:
    return Counter(outcome.done.tier or outcome.done.model for outcome in outcomes if outcome.done is not None)


def is_judged(row: Row) -> bool:
    """Whether the case says what is right."""
    return bool(row.get("answers")) or row.get("answerable") is False


def is_right(row: Row, outcome: Outcome) -> bool:
    """Whether the answer holds a gold answer, or declines a question that has none."""
    if row.get("answerable") is False:
        return outcome.done is not None and outcome.done.finish_reason in ("abstained", "no_context")
    return outcome.answered and any(holds(outcome.text, answer) for answer in row["answers"])


async def _asked(corpus: Corpus, rows: Sequence[Row], tier: str | None) -> list[Outcome]:
    progress(f"{tier or 'routed'}: {len(rows)} questions")
    return await ask_all(corpus, rows, tier)


def _told(report: FileReport, summary: Summary) -> None:
    del summary
    if report.error is not None:
        progress(f"{report.path}: {report.error.message}")
