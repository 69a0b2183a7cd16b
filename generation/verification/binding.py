"""Whether names and numbers belong to the same things here and there: a passage may have all of them, and in each sentence
about another."""

from collections.abc import Sequence

import numpy as np

from generation.verification.alignment import Alignment
from generation.verification.evidence import Statement

_AROUND = 3  # words of content on each side


def unbound(alignment: Alignment, statements: Sequence[Statement]) -> float:
    """The mean, over names and numbers, of how little of what stands around each of them is said by a statement that has it,
    0 to 1."""
    stems = [{word.stem for word in statement.words} for statement in statements]
    losses: list[float] = []
    for i, word in enumerate(alignment.words):
        if not word.is_critical:
            continue
        holders = [j for j, own in enumerate(stems) if word.stem in own]
        around = [k for k in range(max(0, i - _AROUND), min(len(alignment.words), i + _AROUND + 1)) if k != i]
        if not holders:
            losses.append(1.0)
        elif around:
            losses.append(1.0 - float(alignment.soft[np.ix_(around, holders)].mean(axis=0).max()))
    return sum(losses) / len(losses) if losses else 0.0
