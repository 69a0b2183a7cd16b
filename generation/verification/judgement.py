"""From features to a probability and a verdict: two logistic functions, one for sentences that nearly stand in their passage
and one for those told in other words, whose weights `app.evals.verifier_fit` made from synthetic claims."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from generation.ports import Verdict
from generation.verification.features import NAMES, Features

_LARGEST = 30.0  # of an exponent


@dataclass(frozen=True, slots=True)
class Logistic:
    """1 / (1 + e^-(w · x + b)); `weights` in the order of `features.NAMES`."""

    weights: tuple[float, ...]
    bias: float

    def probability(self, features: Features) -> float:
        """Strictly within 0 and 1."""
        at = self.bias + sum(w * x for w, x in zip(self.weights, features.vector.tolist(), strict=True))
        return 1.0 / (1.0 + math.exp(-max(-_LARGEST, min(_LARGEST, at))))


@dataclass(frozen=True, slots=True)
class Judge:
    """`quoted` is asked where `kept` of a sentence's words stand in a statement in their order, `told` otherwise, and
    `told_words` where there are no token vectors. From `supported` on a probability is a support, from `partial` on a part
    of one; `contradicted` tells how likely the passages say the opposite."""

    told: Logistic
    told_words: Logistic
    quoted: Logistic
    contradicted: Logistic
    kept: float
    supported: float
    partial: float

    def support(self, features: Features) -> float:
        """The probability that the passages carry the sentence."""
        if features.kept >= self.kept:
            return self.quoted.probability(features)
        return (self.told if features.near else self.told_words).probability(features)

    def contradiction(self, features: Features) -> float:
        """The probability that the passages say the opposite, rather than the same."""
        return self.contradicted.probability(features)

    def verdict(self, support: float) -> Verdict:
        """By the two thresholds."""
        if support >= self.supported:
            return "supported"
        return "partial" if support >= self.partial else "unsupported"


@cache
def packaged() -> Judge:
    """The one that the package carries."""
    return judge_of(json.loads((files("generation.verification") / "weights.json").read_text("utf-8")))


def judge_of(data: Mapping[str, Any]) -> Judge:
    """As written by the fit. Raises KeyError for a part that is missing."""

    def logistic(name: str) -> Logistic:
        part = data[name]
        return Logistic(tuple(float(part["weights"].get(feature, 0.0)) for feature in NAMES), float(part["bias"]))

    told, told_words, quoted, contradicted = map(logistic, ("told", "told_words", "quoted", "contradicted"))
    return Judge(told, told_words, quoted, contradicted, data["kept"], data["supported"], data["partial"])
