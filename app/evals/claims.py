"""Synthetic claims with their passages and labels, for the fit of the verifier and for its own test suite."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from app.evals.paraphrases import paraphrased
from app.evals.perturbations import PERTURBATIONS
from ingest.sentences import sentence_spans

_WORDS = range(6, 45)  # of a sentence that claims are made of
Kind = Literal["kept", "number", "unit", "date", "name", "negation", "quantifier", "crossed", "unrelated", "half"]


@dataclass(frozen=True, slots=True)
class SyntheticClaim:
    """`twin` is the same claim without its perturbation, None for one that is true of its passage."""

    text: str
    passage: str
    kind: Kind
    twin: str | None = None

    @property
    def is_supported(self) -> bool:
        return self.kind == "kept"


def sentences(text: str) -> list[str]:
    """Those that claims can be made of."""
    return [text[a:b] for a, b in sentence_spans(text) if len(text[a:b].split()) in _WORDS and text[a:b].endswith(".")]


def claims(passages: Sequence[str], random: Random) -> list[SyntheticClaim]:
    """Of each passage one claim that is kept and one that is not, each kind of change as often as the text allows."""
    made: list[SyntheticClaim] = []
    counts: dict[str, int] = {}
    for passage in passages:
        own = sentences(passage)
        if len(own) < 2:
            continue
        true = paraphrased(random.choice(own), own, random)
        made.append(SyntheticClaim(true, passage, "kept"))
        false = _false(passage, own, passages, random, counts)
        if false is not None:
            counts[false.kind] = counts.get(false.kind, 0) + 1
            made.append(false)
    return made


def perturbed(
    passage: str, own: Sequence[str], random: Random, counts: dict[str, int], *, reworded: bool = True
) -> SyntheticClaim | None:
    """One claim of the passage, changed in the way that was rarest until now, of those that its sentences allow; its twin is
    a paraphrase, or with `reworded` off the sentence as it stands."""
    for kind in sorted(PERTURBATIONS, key=lambda kind: (counts.get(kind, 0), random.random())):
        for sentence in random.sample(list(own), len(own)):
            twin = paraphrased(sentence, (), random) if reworded else sentence
            text = PERTURBATIONS[kind](twin, own, random)
            if text is not None and text != twin and text not in passage:
                return SyntheticClaim(text, passage, kind, twin)  # type: ignore[arg-type]
    return None


def _false(
    passage: str, own: Sequence[str], passages: Sequence[str], random: Random, counts: dict[str, int]
) -> SyntheticClaim | None:
    draw = random.random()
    if draw < 0.65:
        return perturbed(passage, own, random, counts)
    foreign = sentences(random.choice(list(passages)))
    foreign = [sentence for sentence in foreign if sentence not in passage]
    if not foreign:
        return None
    other = paraphrased(random.choice(foreign), (), random)
    if draw < 0.8:
        return SyntheticClaim(other, passage, "unrelated")
    return SyntheticClaim(
        f"{random.choice(list(own)).rstrip('.')}, and {other[:1].lower()}{other[1:]}", passage, "half"
    )
