"""What was changed in a sentence that otherwise stands in its passage: the mark of a quotation that was tampered with."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain

from generation.verification.polarity import classes
from generation.verification.words import Word

_MANY = 2.0  # words put in place of others; more make it no worse


@dataclass(frozen=True, slots=True)
class Edits:
    """`kept` is the share of the sentence's words that stand in the statement, in this order. `replaced` and `reclassed`
    say how much was changed besides, 0 to 1: content words, and quantifiers, words of duty and hedges. Both count by the
    square of what was kept, since words differ in every paraphrase."""

    kept: float
    replaced: float
    reclassed: float


NO_EDITS = Edits(0.0, 0.0, 0.0)


def edits(sentence: Sequence[Word], statement: Sequence[Word]) -> Edits:
    """By the longest common blocks of both (Ratcliff and Obershelp 1988)."""
    if not sentence or not statement:
        return NO_EDITS
    mine, theirs = [word.stem for word in sentence], [word.stem for word in statement]
    codes = SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes()
    kept = sum(b - a for tag, a, b, _, _ in codes if tag == "equal") / len(mine)
    new = list(chain.from_iterable(sentence[a:b] for tag, a, b, _, _ in codes if tag in ("replace", "delete")))
    gone = list(chain.from_iterable(statement[c:d] for tag, _, _, c, d in codes if tag == "replace"))
    foreign = [word for word in new if word.is_content and word.stem not in theirs]
    changed = classes(new) - classes(gone) if classes(new) != classes(gone) else set()
    return Edits(kept, kept**2 * min(1.0, len(foreign) / _MANY), kept**2 * bool(changed))
