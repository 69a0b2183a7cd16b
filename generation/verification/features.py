"""Everything that is measured of a sentence and its passages, as the numbers that the probability is made of."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from generation.verification import dates, quantities
from generation.verification.alignment import Alignment, align, evidence
from generation.verification.binding import unbound
from generation.verification.edits import NO_EDITS, Edits, edits
from generation.verification.evidence import Statement
from generation.verification.polarity import Directed
from generation.verification.turned import pointers, turn
from generation.verification.words import words

Floats = NDArray[np.float32]
Span = tuple[int, int]

_ALIKE = 3  # statements of which one may be what the sentence was made of
_MANY = 2  # lost numbers, or names; more make it no worse


@dataclass(frozen=True, slots=True)
class Features:
    """Each within about 0 to 1. `covered` and `best`: the share that the evidence, and its best statement,
    carry; `near`: the mean cosine of all tokens; `weakest`: the word that is carried least. Then what speaks against:
    numbers and names that the passages lack, numbers that only other statements than the evidence have, what is bound to
    other words, what was replaced, and what was turned round."""

    covered: float
    best: float
    near: float
    weakest: float
    lost_numbers: float
    strayed_numbers: float
    lost_names: float
    unbound: float
    kept: float
    replaced: float
    reclassed: float
    negated: float
    opposed: float
    turned: float

    @property
    def vector(self) -> NDArray[np.float64]:
        return np.array(astuple(self), dtype=np.float64)


NAMES = tuple(field.name for field in fields(Features))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sentence is held against, and the token vectors' part of it: `matches` has one row per statement and then one
    per word of direction in all of them, each with the best cosine of each of the sentence's t tokens. None without them;
    `offsets` tells where the t tokens stand in the sentence."""

    statements: tuple[Statement, ...]
    headings: frozenset[str]
    matches: Floats | None = None
    offsets: tuple[Span, ...] = ()

    def spans_of(self, n: int) -> list[Span]:
        """The spans of passage `n` that are to be matched: its statements, and behind them their words of direction."""
        own = [statement for statement in self.statements if statement.n == n]
        pointed = [
            (s.start + p.word.start, s.start + p.word.end)
            for s, found in zip(own, pointers(own), strict=True)
            for p in found
        ]
        return [(s.start, s.end) for s in own] + pointed

    def with_matches(self, found: Sequence[Floats], offsets: Sequence[Span]) -> "Reading":
        """With the matches of `spans_of` each passage, in the order of the statements' passages."""
        sizes = [sum(s.n == n for s in self.statements) for n in dict.fromkeys(s.n for s in self.statements)]
        filled = [part for part in found if len(part)]
        whole = [part[:size] for part, size in zip(filled, sizes, strict=True)]
        pointed = [part[size:] for part, size in zip(filled, sizes, strict=True)]
        return replace(self, matches=np.concatenate([*whole, *pointed]), offsets=tuple(offsets))


@dataclass(frozen=True, slots=True)
class Measured:
    """The features, and the statements that carry the sentence, the best first."""

    features: Features
    evidence: tuple[Statement, ...]


def measured(sentence: str, reading: Reading) -> Measured:
    """There is at least one statement."""
    statements = reading.statements
    pointing = pointers(statements)
    tokens, matches = _parted(reading, pointing)
    aligned = align(sentence, statements, reading.headings, tokens, reading.offsets)
    held = evidence(aligned)
    carrying = tuple(statements[row] for row in held.rows)
    nearness = aligned.coverage if aligned.tokens is None else _nearness(aligned)
    turned = turn(sentence, statements, nearness, pointing, matches, reading.offsets)
    lost, strayed = _numbers(sentence, statements, carrying)
    changed = _edits(sentence, statements, aligned)
    features = Features(
        covered=float(aligned.weights @ held.carried),
        best=float(aligned.coverage.max()),
        near=0.0 if aligned.tokens is None else float(aligned.tokens.max(axis=1).mean()),
        weakest=float(held.carried.min()),
        lost_numbers=lost,
        strayed_numbers=strayed,
        lost_names=_lost_names(aligned, reading),
        unbound=unbound(aligned, statements),
        kept=changed.kept,
        replaced=changed.replaced,
        reclassed=changed.reclassed,
        negated=turned.negated,
        opposed=turned.opposed,
        turned=turned.turned,
    )
    return Measured(features, carrying)


def _parted(reading: Reading, pointing: Sequence[Sequence[Directed]]) -> tuple[Floats | None, list[Floats | None]]:
    """The rows of the statements, and of each statement the rows of its words of direction."""
    if reading.matches is None:
        return None, [None] * len(pointing)
    ends = np.cumsum([len(reading.statements), *map(len, pointing)])
    parts = [reading.matches[a:b] for a, b in pairwise(ends)]
    return reading.matches[: len(pointing)], list(parts)


def _nearness(aligned: Alignment) -> Floats:
    """Half by words, half by all tokens, as the mean of both scales."""
    assert aligned.tokens is not None
    return np.asarray((aligned.coverage + aligned.tokens.mean(axis=0)) / 2, dtype=np.float32)


def _numbers(sentence: str, pool: Sequence[Statement], carrying: Sequence[Statement]) -> tuple[float, float]:
    """How many numbers and dates no statement has, and how many others than the evidence have; each 0 to 1."""
    claimed_dates = dates.dates(sentence)
    claimed = quantities.quantities(sentence, [(date.start, date.end) for date in claimed_dates])
    if not claimed and not claimed_dates:
        return 0.0, 0.0
    said = [(_dates_and_numbers(statement.text), statement in carrying) for statement in pool]
    lost = strayed = 0
    asked: list[dates.Date | quantities.Quantity] = [*dates.parted(claimed_dates), *claimed]
    for one in asked:
        holders = [near for (their_dates, theirs), near in said if _carried(one, their_dates, theirs)]
        lost += not holders
        strayed += bool(holders) and not any(holders)
    return min(1.0, lost / _MANY), min(1.0, strayed / _MANY)


def _dates_and_numbers(text: str) -> tuple[list[dates.Date], list[quantities.Quantity]]:
    return dates.dates(text), quantities.quantities(text)


def _carried(
    one: dates.Date | quantities.Quantity, their_dates: Sequence[dates.Date], theirs: Sequence[quantities.Quantity]
) -> bool:
    if isinstance(one, dates.Date):
        return dates.carried(one, their_dates)
    return quantities.carried(one, theirs)


def _lost_names(aligned: Alignment, reading: Reading) -> float:
    """How many names neither the statements nor their headings have."""
    said = reading.headings.union(*({word.stem for word in statement.words} for statement in reading.statements))
    return min(1.0, sum(word.is_name and word.stem not in said for word in aligned.words) / _MANY)


def _edits(sentence: str, statements: Sequence[Statement], aligned: Alignment) -> Edits:
    found = words(sentence)
    rows = np.argsort(-aligned.coverage, kind="stable")[:_ALIKE]
    return max((edits(found, statements[row].words) for row in rows), key=lambda e: e.kept, default=NO_EDITS)
