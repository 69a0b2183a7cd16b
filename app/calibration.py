"""The bars of abstention for whoever is live: the operator's own, fitted by `grounded eval calibrate`, or the shipped ones.

A bar stands on the scale of one embedder. One that was fitted for another tells nothing, so what stands in for it asks
always before it says that nobody can answer, and that is told once in the log and by `grounded doctor`.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import structlog

from app.settings import ConfigurationError, Settings
from app.tiers import tiers_of
from app.verifiers import verifier_kind
from generation.abstention import SHIPPED, Bars

SHIPPED_FOR = "9abafde1e3866542"  # the packaged all-MiniLM-L6-v2
STAND_IN = replace(SHIPPED, near=None)
_FORM = 1
_NEXT = "Write it anew with grounded eval calibrate, or leave abstention.calibration out."


@dataclass(frozen=True, slots=True)
class Calibration:
    """Bars, and the fingerprints of the embedder and the verifier that they were fitted for; `made_of` is for people.
    `carried` is the probability from which on the verifier lets a model's answer pass; None leaves that to its verdicts."""

    embedder: str
    bars: Bars
    verifier: str = ""
    carried: float | None = None
    made_of: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As `read_calibration` reads it."""
        bars = {"near": self.bars.near, "answer": self.bars.answer, "carried": self.carried}
        return {
            "form": _FORM,
            "embedder": self.embedder,
            "verifier": self.verifier,
            **bars,
            "made_of": dict(self.made_of),
        }


def read_calibration(path: Path) -> Calibration:
    """The file that `grounded eval calibrate --write` wrote. Raises ConfigurationError."""
    try:
        return _calibration(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigurationError(f"Setting 'abstention.calibration': {path.name}: {problem}.", _NEXT) from error


def _calibration(told: Mapping[str, Any]) -> Calibration:
    if told["form"] != _FORM:
        raise ValueError(f"its form is {told['form']!r}")
    bars, verifier = Bars(_bar(told["near"]), _answer(told["answer"])), str(told.get("verifier", ""))
    return Calibration(str(told["embedder"]), bars, verifier, _bar(told.get("carried")), told.get("made_of") or {})


def _bar(told: object) -> float | None:
    if told is None:
        return None
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told) or not -1 <= told <= 1:
        raise ValueError(f"{told!r} is no bar")
    return float(told)


def _answer(told: object) -> float:
    bar = _bar(told)
    if bar is None:
        raise ValueError("answer is no bar")
    return bar


def verifier_fingerprint(settings: Settings) -> str:
    """Which verifier judges: its kind, and the weights or the model that make its probabilities."""
    kind = verifier_kind(settings)
    match kind:
        case "embedded":
            return f"embedded:{_weights()}"
        case "nli":
            return f"nli:{settings.generation.nli_model}"
        case "judge":
            tiers = {tier.name: tier.model for tier in tiers_of(settings)}
            return f"judge:{tiers.get(settings.routing.verify_tier) or next(iter(tiers.values()), '')}"
        case "verbatim":
            return kind


@cache
def _weights() -> str:
    return sha256((files("generation.verification") / "weights.json").read_bytes()).hexdigest()[:16]


class LiveBars:
    """The bars in force. `embedder` tells the fingerprint of the one that is live; `verifier` is the configured one's."""

    def __init__(
        self, embedder: Callable[[], str], verifier: str, own: Calibration | None = None, *, asks_always: bool = False
    ) -> None:
        """With `asks_always` nothing is too far away to ask a model."""
        self._embedder = embedder
        self._verifier = verifier
        self._own = own
        self._asks_always = asks_always
        self._told: set[str] = set()

    def now(self) -> Bars:
        """For a question that is asked now."""
        bars, problem = self._found(self._embedder())
        if problem is not None and problem not in self._told:
            self._told.add(problem)
            structlog.get_logger().warning("abstention.not_calibrated", cause=problem)
        return replace(bars, near=None) if self._asks_always else bars

    @property
    def carried(self) -> float | None:
        """What was fitted for the verifier; None for the verdicts' own."""
        return self._own.carried if self._own is not None and self._own.verifier == self._verifier else None

    @property
    def problem(self) -> str | None:
        """Why what is in force was not fitted for what is live; None where it was."""
        return self._found(self._embedder())[1]

    def _found(self, embedder: str) -> tuple[Bars, str | None]:
        own = self._own
        if own is not None and own.embedder == embedder:
            fits = own.carried is None or own.verifier == self._verifier
            return own.bars, None if fits else "The file of abstention.calibration was fitted for another verifier."
        shipped = SHIPPED if embedder == SHIPPED_FOR else STAND_IN
        if own is not None:
            return shipped, "The file of abstention.calibration was fitted for another embedder."
        if shipped is STAND_IN:
            return shipped, "The shipped bars of abstention were fitted for another embedder."
        return shipped, None


def live_bars(settings: Settings, embedder: Callable[[], str]) -> LiveBars:
    """As the settings say. Raises ConfigurationError for a file that cannot be used."""
    a = settings.abstention
    own = None if a.calibration is None else read_calibration(a.calibration)
    return LiveBars(embedder, verifier_fingerprint(settings), own, asks_always=a.before_model == "ask")
