"""`grounded eval routes`: where questions whose hardness is known are sent, and what that costs.

No model is asked, unless a tier is the classifier. The questions are searched as the service searches them; tokens of a
prompt are those of its context and of the prompt around it, an answer is taken to have `output_tokens`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cost import cost_of
from app.evals.corpus import COLLECTION, Corpus, corpus_of, ingest, opened_anew, progress, read_rows
from app.evals.routing_table import shown
from app.evals.rows import BadEvalData
from app.evals.scores import mean
from app.pipeline import Question
from app.settings import Settings
from app.tier_settings import RoutingSettings, TierSettings
from app.tiers import prices_of, tiers_of
from generation.classifier import LEVELS
from generation.complexity import Features, measure
from generation.model import Usage
from generation.route import level_of, score
from ingest.run import Request, Summary

_PROMPT_TOKENS = 450  # of the shipped prompt without its sources
_TOO_LOW = 2.0  # a question that gets too small a model weighs as much as two that get too large a one
_TOLD = 100


@dataclass(frozen=True, slots=True)
class Case:
    """A question with the level that should do, None where nobody knows, and what was measured of it. `tokens` of its
    context."""

    wanted: int | None
    features: Features
    tokens: int
    graded: int | None = None  # by a model, which stands above the rules

    @property
    def score(self) -> float:
        return score(self.features)

    def given(self, thresholds: Sequence[float]) -> int:
        """The level that it is taken for."""
        level = level_of(self.score, thresholds) if self.graded is None else self.graded
        return min(level, len(LEVELS) - 1)


async def routes(settings: Settings, folder: Path, cases: Path, output_tokens: int, *, as_json: bool) -> int:
    """Measure and print."""
    return shown(await measured(settings, folder, cases, output_tokens), as_json=as_json)


async def measured(settings: Settings, folder: Path, cases: Path, output_tokens: int) -> dict[str, Any]:
    """Search for every question, route it by the thresholds of the settings, and count. Raises BadEvalData."""
    rows = _rows(cases)
    tiers = tiers_of(settings)
    asks = settings.routing.classifier != "rules"
    alone = settings if asks else settings.model_copy(update={"tiers": (), "routing": RoutingSettings()})
    async with opened_anew(alone) as grounded:
        summary = await ingest(grounded, Request(folder, COLLECTION), _silent)
        found = await _cases(await corpus_of(grounded, folder, summary), rows)
    return report(found, settings.routing.thresholds, tiers, output_tokens)


def report(
    cases: Sequence[Case], thresholds: Sequence[float], tiers: Sequence[TierSettings], output_tokens: int
) -> dict[str, Any]:
    """The shares and the agreement, of all and of each half, and the cost of the second half with three tiers. Where labels
    are missing, the second half is all of them."""
    labelled = all(case.wanted is not None for case in cases)
    half = len(cases) // 2 if labelled else 0  # without labels there is nothing to choose by
    return {
        "routes": True,
        "n": len(cases),
        "thresholds": list(thresholds),
        "labelled": labelled,
        "best_on_first_half": list(best_thresholds(cases[:half])) if labelled else None,
        "first_half": judged(cases[:half], thresholds),
        "second_half": judged(cases[half:], thresholds),
        "all": judged(cases, thresholds),
        "output_tokens": output_tokens,
        "cost": costs(cases[half:], thresholds, tiers, output_tokens) if len(tiers) == len(LEVELS) else None,
    }


def judged(cases: Sequence[Case], thresholds: Sequence[float]) -> dict[str, Any]:
    """`below` is the share that was sent lower than it should, `above` higher; `confusion` counts by wanted, then given.
    All but `n` and `share` are of the labelled ones."""
    given = [case.given(thresholds) for case in cases]
    pairs = [(case.wanted, level) for case, level in zip(cases, given, strict=True) if case.wanted is not None]
    return {
        "n": len(cases),
        "labelled": len(pairs),
        "agreement": mean([wanted == level for wanted, level in pairs]),
        "below": mean([level < wanted for wanted, level in pairs]),
        "above": mean([level > wanted for wanted, level in pairs]),
        "wanted": {name: mean([wanted == at for wanted, _ in pairs]) for at, name in enumerate(LEVELS)},
        "share": {name: mean([level == at for level in given]) for at, name in enumerate(LEVELS)},
        "confusion": {
            name: {other: pairs.count((row, column)) for column, other in enumerate(LEVELS)}
            for row, name in enumerate(LEVELS)
        },
    }


def best_thresholds(cases: Sequence[Case]) -> tuple[float, float]:
    """The pair, on a grid of tenths, with the least loss; of equals the lowest, which sends more to dearer tiers."""
    grid = [tenth / 10 for tenth in range(2, 61)]
    pairs = [(low, high) for low in grid for high in grid if low < high]
    return min(pairs, key=lambda pair: (_loss(cases, pair), pair))


def costs(
    cases: Sequence[Case], thresholds: Sequence[float], tiers: Sequence[TierSettings], output_tokens: int
) -> dict[str, Any]:
    """USD per thousand questions if one tier answered all, as they are routed, and as their labels say."""
    each = [Usage(_PROMPT_TOKENS + case.tokens, output_tokens) for case in cases]
    names = [tier.name for tier in tiers]

    def thousand(chosen: Sequence[int]) -> float:
        nano = sum(cost_of(usage, prices_of(tiers[at])) for usage, at in zip(each, chosen, strict=True))
        return round(nano / 1e9 / max(1, len(each)) * 1000, 6)

    last = len(tiers) - 1
    routed = thousand([min(case.given(thresholds), last) for case in cases])
    alone = {name: thousand([at] * len(each)) for at, name in enumerate(names)}
    dearest = alone[names[-1]]
    known = [case.wanted for case in cases if case.wanted is not None]
    labels = thousand([min(level, last) for level in known]) if len(known) == len(cases) else None
    return {
        "input_tokens": mean([float(usage.input_tokens) for usage in each]),
        "prices": {tier.name: [str(tier.price_input), str(tier.price_output)] for tier in tiers},
        "usd_per_1000": {**alone, "routed": routed} | ({} if labels is None else {"by_label": labels}),
        "saving": round(1 - routed / dearest, 4) if dearest else None,
        "saving_by_label": round(1 - labels / dearest, 4) if dearest and labels is not None else None,
    }


def _loss(cases: Sequence[Case], thresholds: Sequence[float]) -> float:
    loss = 0.0
    for case in cases:
        if case.wanted is None:
            continue
        off = case.given(thresholds) - case.wanted
        loss += off if off > 0 else -off * _TOO_LOW
    return loss


def _rows(cases: Path) -> list[dict[str, Any]]:
    rows = read_rows(cases, question=str)
    for row in rows:
        if row.get("class") not in (None, *LEVELS):
            raise BadEvalData(
                f"{cases.name}: {row['question'][:60]!r} has a class that is none of {', '.join(LEVELS)}."
            )
    return rows


async def _cases(corpus: Corpus, rows: Sequence[Mapping[str, Any]]) -> list[Case]:
    pipeline, found = corpus.grounded.pipeline, []
    for number, row in enumerate(rows, start=1):
        _, context, _ = await pipeline.retrieve(Question(row["question"], COLLECTION), corpus.scope)
        wanted = LEVELS.index(row["class"]) if row.get("class") else None
        graded = await corpus.grounded.router.graded(row["question"], COLLECTION)
        found.append(Case(wanted, measure(row["question"], context), context.tokens, graded.level))
        if number % _TOLD == 0:
            progress(f"{number} of {len(rows)} questions")
    return found


def _silent(report: object, summary: Summary) -> None:
    """A manual is ingested in seconds."""
    del report, summary
