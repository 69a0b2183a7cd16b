"""Complexity -> tier. Pure: rules over measured features, and the order in which tiers are tried.

A level counts from 0: the cheapest tier answers level 0, the next one level 1, and so on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from generation.complexity import Features

EXTRACTIVE = "extractive"  # the link that is always there
Reason = Literal["rules", "classifier", "look_up", "forced", "configured", "only", "none_allowed"]


@dataclass(frozen=True, slots=True)
class Weights:
    """What each feature adds to the score: once where it says yes or no, else for each that is counted beyond `free`.

    A comparison, a word of reasoning, a second question or ten words more each weigh about as much as a step from one tier
    to the next, code that is asked for more; sources and doubt of the search weigh less, since they tell less.
    """

    words: float = 0.1
    questions: float = 0.8
    reasoning: float = 0.9
    conditions: float = 0.4
    comparison: float = 1.2
    breadth: float = 0.8
    procedure: float = 0.6
    code: float = 1.5
    documents: float = 0.3
    doubt: float = 0.5
    turns: float = 0.2


WEIGHTS = Weights()
_FREE_WORDS = 10  # a look-up needs as many
_MOST = 3  # of whatever is counted; a fourth tells nothing new
_MOST_WORDS = 25


@dataclass(frozen=True, slots=True)
class Decision:
    """Who is to answer, and why. `left_out` names tiers that may not or cannot get this question; `chain` is the order in
    which the others are tried, the last of them extractive. `up` is the tier that an answer which fails its checks is
    written by once more."""

    tier: str
    reason: Reason
    chain: tuple[str, ...]
    level: int | None = None
    score: float | None = None
    features: Features | None = None
    up: str | None = None
    left_out: tuple[str, ...] = ()


def score(features: Features, weights: Weights = WEIGHTS) -> float:
    """How complex; 0 is the plainest look-up, most questions lie below 8."""
    f, w = features, weights
    counted = (
        w.words * min(max(f.words - _FREE_WORDS, 0), _MOST_WORDS)
        + w.questions * _few(f.questions - 1)
        + w.reasoning * _few(f.reasoning)
        + w.conditions * _few(f.conditions)
        + w.documents * _few(f.documents - 1)
        + w.turns * _few(f.turns)
    )
    told = w.comparison * f.comparison + w.breadth * f.breadth + w.procedure * f.procedure + w.code * f.code
    doubt = 0.0 if f.confidence is None else w.doubt * (1 - f.confidence)
    return round(counted + told + doubt, 4)


def level_of(points: float, thresholds: Sequence[float]) -> int:
    """How many of the thresholds the score has reached."""
    return sum(points >= threshold for threshold in thresholds)


def is_look_up(features: Features, confidence: float) -> bool:
    """Whether quoting is likely to answer: one plain question, and searches that agree on a passage."""
    f = features
    plain = not (f.comparison or f.breadth or f.procedure or f.code or f.reasoning)
    sure = f.confidence is not None and f.confidence >= confidence
    return plain and sure and f.questions == 1 and f.documents == 1


def chain(names: Sequence[str], wanted: int, usable: Collection[str]) -> tuple[str, ...]:
    """The wanted tier, then the dearer ones, then the cheaper ones from the dearest down, then extractive. Only what is
    usable, but for the last."""
    at = min(wanted, max(len(names) - 1, 0))
    order = [*names[at:], *reversed(names[:at])]
    return (*(name for name in order if name in usable), EXTRACTIVE)


def above(names: Sequence[str], tier: str, usable: Collection[str]) -> str | None:
    """The next dearer tier that is usable; above extractive stands the cheapest."""
    start = 0 if tier == EXTRACTIVE else list(names).index(tier) + 1
    return next((name for name in names[start:] if name in usable), None)


def _few(count: int) -> int:
    return min(max(count, 0), _MOST)
