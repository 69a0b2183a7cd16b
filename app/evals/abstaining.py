"""Where to put a bar of abstention, and what it is worth: pure measures over cases whose truth is known.

A case is answered where its confidence reaches the bar. The risk is the share of wrong answers among those given, as in
selective classification (El-Yaniv and Wiener 2010): an answer to what the documents do not answer is wrong, and so is one that
lacks every gold answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.evals.rows import BadEvalData

Numbers = NDArray[np.float64]
_RESAMPLES = 2000
_COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_STEP = 1e-4  # bars are written with four digits


@dataclass(frozen=True, slots=True)
class Target:
    """What a bar is chosen for: the highest one that still answers `share` of the answerable cases, the lowest one from
    which on `share` of the answers are right, or the best mean of both rates, answered and declined."""

    kind: Literal["answered", "right", "balanced"] = "answered"
    share: float = 0.98

    def __str__(self) -> str:
        return self.kind if self.kind == "balanced" else f"{self.kind}={self.share:g}"


@dataclass(frozen=True, slots=True)
class Cases:
    """Aligned: how sure the generator was, whether the documents answer, and whether the answer was right."""

    confidence: Numbers
    answerable: NDArray[np.bool_]
    right: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.confidence)

    def picked(self, rows: NDArray[Any]) -> "Cases":
        """Some of them, or some several times."""
        return Cases(self.confidence[rows], self.answerable[rows], self.right[rows])


def target_of(text: str) -> Target:
    """`answered=0.98`, `right=0.95` or `balanced`. Raises BadEvalData."""
    kind, _, share = text.partition("=")
    try:
        if kind == "balanced" and not share:
            return Target("balanced", 0.0)
        if kind in ("answered", "right") and 0 < float(share) <= 1:
            return Target("answered" if kind == "answered" else "right", float(share))
    except ValueError:
        pass
    raise BadEvalData(f"{text!r} is no target.", "Write answered=0.98, right=0.95 or balanced.")


def chosen(cases: Cases, target: Target) -> float:
    """The bar. Where no bar reaches a share of right answers, the one with the largest share."""
    if target.kind == "answered":
        return bar_for(cases.confidence[cases.answerable], target.share)
    tries = np.unique(cases.confidence)
    if target.kind == "balanced":
        return _down(float(tries[np.argmax([_balance(cases, t) for t in tries])]))
    shares = np.array([_right_share(cases, t) for t in tries])
    good = np.flatnonzero(shares >= target.share)
    return _down(float(tries[good[0] if len(good) else int(shares.argmax())]))


def bar_for(scores: Numbers, share: float) -> float:
    """The highest bar that still lets this share of the scores through."""
    kept = max(1, int(np.ceil(share * len(scores) - 1e-9)))
    return _down(float(np.sort(scores)[::-1][kept - 1]))


def at(cases: Cases, bar: float) -> dict[str, float | None]:
    """What the bar does: answerable cases answered, unanswerable ones declined, answerable ones answered rightly, and the
    risk of an answer. None of nothing."""
    given, yes = cases.confidence >= bar, cases.answerable
    return {
        "answered": _share(given[yes]),
        "abstained": _share(~given[~yes]),
        "correct": _share((given & cases.right)[yes]),
        "risk": _share(~cases.right[given]),
    }


def auroc(cases: Cases) -> float | None:
    """That an answerable case is surer than an unanswerable one, ties counting half; None without both."""
    yes, no = cases.confidence[cases.answerable], np.sort(cases.confidence[~cases.answerable])
    if not len(yes) or not len(no):
        return None
    below = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return round(float(below.mean() / 2 / len(no)), 4)


def intervals(cases: Cases, bar: float, seed: int) -> dict[str, list[float] | None]:
    """95 % percentile bootstrap intervals (Efron 1979) of the AUROC and of all that `at` tells, over cases; answerable and
    unanswerable ones are drawn apart, as many as there are."""
    random = np.random.default_rng(seed)
    parts = [np.flatnonzero(cases.answerable), np.flatnonzero(~cases.answerable)]
    found: dict[str, list[float]] = {}
    for _ in range(_RESAMPLES):
        drawn = cases.picked(np.concatenate([random.choice(part, len(part)) for part in parts if len(part)]))
        for name, value in {"auroc": auroc(drawn), **at(drawn, bar)}.items():
            found.setdefault(name, []).extend([] if value is None else [value])
    return {name: _interval(values) for name, values in found.items()}


def held_out(cases: Cases, target: Target, seed: int) -> dict[str, float | None]:
    """What is left of the figures on cases that had no say in the bar: chosen on one half, measured on the other, both ways
    round, and averaged."""
    order = np.random.default_rng(seed).permutation(len(cases))
    halves = [cases.picked(order[::2]), cases.picked(order[1::2])]
    if any(not half.answerable.any() for half in halves):
        return {}
    both = [at(halves[1 - i], chosen(halves[i], target)) for i in (0, 1)]
    return {name: _mean([one[name] for one in both]) for name in both[0]}


def risk_coverage(cases: Cases) -> list[dict[str, float | None]]:
    """What is given up for what: the surest part of all cases answered, and the share of those answers that is wrong."""
    falling = np.sort(cases.confidence)[::-1]
    table = []
    for coverage in _COVERAGES:
        bar = float(falling[max(1, int(np.ceil(coverage * len(cases)))) - 1])
        table.append({"coverage": _share(cases.confidence >= bar), "bar": round(bar, 4), **at(cases, bar)})
    return table


def changes(cases: Cases, before: float, after: float) -> dict[str, dict[str, int]]:
    """The cases that one bar answers and the other does not, and how many of them are answerable, and were answered rightly."""
    was, now = cases.confidence >= before, cases.confidence >= after

    def told(rows: NDArray[np.bool_]) -> dict[str, int]:
        kinds = {"n": rows, "answerable": rows & cases.answerable, "right": rows & cases.right}
        return {name: int(kind.sum()) for name, kind in kinds.items()}

    return {"answered_now": told(now & ~was), "declined_now": told(was & ~now)}


def _balance(cases: Cases, bar: float) -> float:
    found = at(cases, bar)
    return (found["answered"] or 0.0) + (found["abstained"] or 0.0)


def _right_share(cases: Cases, bar: float) -> float:
    return float(cases.right[cases.confidence >= bar].mean())


def _share(hits: NDArray[np.bool_]) -> float | None:
    return round(float(hits.mean()), 4) if len(hits) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None


def _interval(values: Sequence[float]) -> list[float] | None:
    if not values:
        return None
    low, high = np.percentile(np.asarray(values), [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]


def _down(value: float) -> float:
    """Four digits, never above the value itself: a case that set the bar must reach it."""
    return round(float(np.floor(value / _STEP + 1e-6) * _STEP), 4)
