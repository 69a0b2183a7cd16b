"""`grounded eval verify`: claims with their passages and what is true of them, put to the verifier that serves.

The labels are `supported`, `partial`, `unsupported` and `contradicted`; positive is `supported` against all others. Two of the
shipped thresholds are judged: `supported`, from which a sentence is marked so, and `partial`, from which it counts as carried
at all, by which the balanced accuracy is.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from app.commands.output import emit_json
from app.evals.corpus import progress
from app.evals.held import Held, held
from app.evals.plot import reliability_plot
from app.evals.rows import BadEvalData, read_rows
from app.evals.scores import auroc, percentiles
from app.settings import Settings
from generation.verification.embedded import Judgement
from generation.verification.judgement import packaged

_LABELS = frozenset(("supported", "partial", "unsupported", "contradicted"))
_TOLD_EVERY = 100
_BINS = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """A row's label and what became of it; None where the verifier could not tell."""

    label: str
    judgement: Judgement | None
    ms: float

    @property
    def support(self) -> float:
        return 0.0 if self.judgement is None else self.judgement.support


async def verify(settings: Settings, file: Path, limit: int | None, seed: int, plot: Path | None = None) -> int:
    """Judge every claim, print one JSON document; with `plot` draw its reliability there, as SVG. Raises BadEvalData."""
    rows = read_rows(file, claim=str, passage=str, label=str)
    if wrong := next((row["label"] for row in rows if row["label"] not in _LABELS), None):
        raise BadEvalData(f"{file.name}: {wrong!r} is no label; they are {', '.join(sorted(_LABELS))}.")
    if limit is not None and limit < len(rows):
        rows = Random(seed).sample(rows, limit)  # noqa: S311  a sample, not a secret
    async with held(settings) as ready:
        await _judged(ready, rows[0])  # the first call of a model is slow, and no claim's own time
        found: list[Judged] = []
        for number, row in enumerate(rows, start=1):
            found.append(await _judged(ready, row))
            if number % _TOLD_EVERY == 0:
                progress(f"{number} of {len(rows)} claims")
    figures = report(found)
    if plot is not None:
        picture = drawn(f"{file.parent.name}/{file.name}", figures["reliability"])
        await asyncio.to_thread(plot.write_text, picture, "utf-8")
    emit_json({"set": file.parent.name, "file": file.name, **figures})
    return 0


def drawn(name: str, bins: Sequence[dict[str, float]]) -> str:
    """The reliability of the verifier on a set, as SVG."""
    said = [(part["said"], part["supported"], int(part["n"])) for part in bins]
    title = f"Reliability of the verifier on {name}"
    return reliability_plot(title, "probability that the verifier says", "share that is supported", said)


async def _judged(ready: Held, row: dict[str, Any]) -> Judged:
    """The passage's own vectors are stored, as an ingest stores them, and are no part of a claim's time."""
    cited = await ready.cited(row["passage"])
    start = time.perf_counter()
    judgement = await ready.verifier.examined(row["claim"], cited)
    return Judged(row["label"], judgement, (time.perf_counter() - start) * 1e3)


def report(found: Sequence[Judged]) -> dict[str, Any]:
    """The figures; rates of nothing are None."""
    right = [one.support for one in found if one.label == "supported"]
    wrong = [one.support for one in found if one.label != "supported"]
    judge = packaged()
    marked = _rates(right, wrong, judge.supported)
    carried = _rates(right, wrong, judge.partial)
    truth = np.array([one.label == "supported" for one in found], dtype=np.float64)
    said = np.array([one.support for one in found], dtype=np.float64)
    return {
        "n": len(found),
        "auroc": auroc(right, wrong),
        "balanced_accuracy": carried["balanced_accuracy"],
        "f1": carried["f1"],
        "supported": {name: marked[name] for name in ("precision", "recall")},
        "contradicted_auroc": _contradicted(found),
        "brier": round(float(((said - truth) ** 2).mean()), 4),
        "ms_per_claim": percentiles([one.ms for one in found]),
        "thresholds": {"supported": judge.supported, "partial": judge.partial},
        "unchecked": sum(one.judgement is None for one in found),
        "reliability": reliability(said, truth),
    }


def reliability(said: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> list[dict[str, float]]:
    """By tenths of the probability: how many claims, what was said on average, and how many were supported."""
    bins = np.minimum((said * _BINS).astype(int), _BINS - 1)
    return [
        {"n": int((bins == b).sum()), "said": _mean(said[bins == b]), "supported": _mean(truth[bins == b])}
        for b in range(_BINS)
        if (bins == b).any()
    ]


def _mean(values: np.ndarray[Any, Any]) -> float:
    return round(float(values.mean()), 4)


def _rates(right: Sequence[float], wrong: Sequence[float], threshold: float) -> dict[str, float | None]:
    hits, alarms = (sum(score >= threshold for score in scores) for scores in (right, wrong))
    recall = hits / len(right) if right else None
    clean = 1 - alarms / len(wrong) if wrong else None
    return {
        "precision": round(hits / (hits + alarms), 4) if hits + alarms else None,
        "recall": None if recall is None else round(recall, 4),
        "f1": round(2 * hits / (hits + alarms + len(right)), 4) if right else None,
        "balanced_accuracy": None if recall is None or clean is None else round((recall + clean) / 2, 4),
    }


def _contradicted(found: Sequence[Judged]) -> float | None:
    """Of the probability of a contradiction, contradicted claims against supported ones."""
    against = [one.judgement.contradiction for one in found if one.judgement and one.label == "contradicted"]
    carried = [one.judgement.contradiction for one in found if one.judgement and one.label == "supported"]
    return auroc(against, carried)
