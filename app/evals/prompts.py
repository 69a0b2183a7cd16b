"""`grounded eval prompts A B`: two versions of a prompt on the same cases, from the same passages.

The documents are ingested once. Every case is asked under the one version and then under the other, so the difference is a
mean over pairs, with the interval of a paired bootstrap.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.commands.output import emit_json
from app.evals.answers import Outcome, ask_all, drawn
from app.evals.corpus import COLLECTION, Corpus, corpus_of, ingest, opened_anew, progress, read_rows
from app.evals.models import figures, is_judged, is_right
from app.evals.scores import interval, mean
from app.prompts import told
from app.settings import ConfigurationError, Settings
from app.tiers import tiers_of
from ingest.run import FileReport, Request, Summary

Row = Mapping[str, Any]


async def prompts(
    settings: Settings,
    versions: tuple[str, str],
    folder: Path,
    cases: Path,
    limit: int | None,
    seed: int,
    *,
    as_json: bool,
) -> int:
    """Ingest, ask twice, print. Raises ConfigurationError, BadEvalData."""
    found = await measured(settings, versions, folder, cases, limit, seed)
    if as_json:
        emit_json(found)
    else:
        _print(found)
    return 0


async def measured(
    settings: Settings, versions: tuple[str, str], folder: Path, cases: Path, limit: int | None, seed: int
) -> dict[str, Any]:
    """The figures of each version, and the second's difference to the first."""
    name = _name_of(versions)
    if not tiers_of(settings):
        raise ConfigurationError(
            "Prompts are for chat models, and none is configured.", "Set generation.backend or [[tiers]] first."
        )
    rows = drawn(read_rows(cases, question=str), limit, seed)
    async with opened_anew(settings) as grounded:
        for version in versions:
            with told(f"prompts.{name}"):
                grounded.prompts.find(version)
        summary = await ingest(grounded, Request(folder, COLLECTION), _told)
        corpus = await corpus_of(grounded, folder, summary)
        asked = [await _asked(corpus, name, version, rows) for version in versions]
    return report(rows, versions, asked)


def report(rows: Sequence[Row], versions: Sequence[str], asked: Sequence[Sequence[Outcome]]) -> dict[str, Any]:
    """A row for each version; `right` is the share of cases that are answered rightly, or rightly declined."""
    figure = [figures(rows, outcomes) | {"prompt_version": _version(outcomes)} for outcomes in asked]
    pairs = [
        float(is_right(row, after)) - float(is_right(row, before))
        for row, before, after in zip(rows, *asked, strict=True)
        if is_judged(row)
    ]
    difference = {"accuracy": mean(pairs), "ci95": list(interval(pairs, seed=0)), "judged": len(pairs)}
    return {"n": len(rows), "prompts": dict(zip(versions, figure, strict=True)), "difference": difference}


def _name_of(versions: tuple[str, str]) -> str:
    names = {version.partition("@")[0] for version in versions}
    if len(names) > 1 or len(set(versions)) < 2:
        raise ConfigurationError(
            "Two versions of one prompt are compared.", "Name them as in grounded eval prompts answer@1 answer@2."
        )
    return names.pop()


def _version(outcomes: Sequence[Outcome]) -> str | None:
    """The version with its hash, as the answers tell it; None where none was written by a model."""
    versions = (outcome.done.prompt_version for outcome in outcomes if outcome.done is not None)
    return next((version for version in versions if version is not None), None)


async def _asked(corpus: Corpus, name: str, version: str, rows: Sequence[Row]) -> list[Outcome]:
    progress(f"{version}: {len(rows)} questions")
    corpus.grounded.prompts.use(name, version)
    return await ask_all(corpus, rows)


def _told(report: FileReport, summary: Summary) -> None:
    del summary
    if report.error is not None:
        progress(f"{report.path}: {report.error.message}")


def _print(found: Mapping[str, Any]) -> None:
    table = Table("prompt", "right", "declined", "failed", "p50 ms", "input", "output", "USD for 1000", box=None)
    for name, row in found["prompts"].items():
        share = "" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
        tokens = (str(row["tokens"]["input"]), str(row["tokens"]["output"]))
        latency = f"{row['latency_ms']['p50']:.0f}"
        cells = (name, share, f"{row['abstained']:.3f}", str(row["failed"]), latency, *tokens)
        table.add_row(*cells, f"{row['cost_usd_per_1000']:g}")
    difference = found["difference"]
    low, high = difference["ci95"]
    console = Console()
    console.print(table)
    console.print(
        f"Difference in the share that is right: {difference['accuracy']:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, "
        f"{difference['judged']} cases, paired."
    )
