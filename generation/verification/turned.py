"""Whether a sentence says the opposite of what its passages say: by negation here and not there, and by the words of
direction that stand for each other, "increases" for "reduces"."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generation.verification.evidence import Statement
from generation.verification.polarity import Directed, directed, is_negated
from generation.verification.words import words

Floats = NDArray[np.float32]

_NEAREST = 5  # statements looked at, and how fast their say falls with their distance from the nearest
_SHARPNESS = 12.0


@dataclass(frozen=True, slots=True)
class Turn:
    """The share of the nearest statements, by how near they are, that the sentence contradicts; `negated` counts those of
    which one negates and the other does not, `opposed` those where directions differ, `turned` those with one of both and
    not the other: "does not increase" and "reduces" agree."""

    negated: float
    opposed: float
    turned: float


def pointers(statements: Sequence[Statement]) -> list[list[Directed]]:
    """The words of direction in each statement."""
    return [directed(statement.words) for statement in statements]


def turn(
    sentence: str,
    statements: Sequence[Statement],
    nearness: Floats,
    pointing: Sequence[Sequence[Directed]],
    matches: Sequence[Floats | None],
    offsets: Sequence[tuple[int, int]],
) -> Turn:
    """`matches` has for each statement the best cosine of each of the sentence's t tokens to each of its words of direction,
    of shape (words of direction, t); None where there are no token vectors."""
    found = words(sentence)
    mine, negated = directed(found), is_negated(found)
    rows = [int(row) for row in np.argsort(-nearness, kind="stable")[:_NEAREST]]
    shares = np.exp(_SHARPNESS * (nearness[rows] - nearness[rows[0]])) if rows else np.zeros(0)
    shares = shares / max(float(shares.sum()), 1e-9)
    out = [0.0, 0.0, 0.0]
    for row, share in zip(rows, shares, strict=True):
        flipped = negated != is_negated(statements[row].words)
        opposed = _opposed(mine, pointing[row], matches[row], offsets)
        for i, holds in enumerate((flipped, opposed, flipped != opposed)):
            out[i] += float(share) * holds
    return Turn(*out)


def _opposed(
    mine: Sequence[Directed], theirs: Sequence[Directed], matches: Floats | None, offsets: Sequence[tuple[int, int]]
) -> bool:
    """Whether a word of direction stands against one of the other sense."""
    return bool(theirs) and any(_partner(one, theirs, matches, offsets).sign != one.sign for one in mine)


def _partner(
    one: Directed, theirs: Sequence[Directed], matches: Floats | None, offsets: Sequence[tuple[int, int]]
) -> Directed:
    """The same word, else the nearest by its token vectors, else one of the same sense, else any."""
    same = next((other for other in theirs if other.word.stem == one.word.stem), None)
    if same is not None:
        return same
    at = next((i for i, (start, _) in enumerate(offsets) if start == one.word.start), None)
    if matches is not None and at is not None and at < matches.shape[1]:
        return theirs[int(matches[:, at].argmax())]
    return next((other for other in theirs if other.sign == one.sign), theirs[0])
