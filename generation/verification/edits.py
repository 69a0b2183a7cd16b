"""What was changed in a sentence that otherwise stands in its passage: the mark of a quotation that was tampered with."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from generation.verification.polarity import classes, directed, is_negated
from generation.verification.words import Word

_SLIPPED = 2  # words left out between others; more are a clause that was not told
_MANY = 2.0  # words put in place of others; more make it no worse


@dataclass(frozen=True, slots=True)
class Edits:
    """`kept` is the share of the sentence's words that stand in the statement, in this order. `replaced` and `reclassed`
    say how much was changed besides, 0 to 1: content words, and quantifiers, words of duty, hedges, negation and direction.
    Both count by the square of what was kept, since words differ in every paraphrase."""

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
    new = [word for tag, a, b, _, _ in codes if tag in ("replace", "delete") for word in sentence[a:b]]
    gone = [
        word
        for tag, a, b, c, d in codes
        if tag == "replace" or d - c <= _SLIPPED
        for word in _gone(tag, statement[c:d])
    ]
    foreign = [word for word in new if word.is_content and word.stem not in theirs]
    return Edits(kept, kept**2 * min(1.0, len(foreign) / _MANY), kept**2 * _reclassed(new, gone))


def _gone(tag: str, words: Sequence[Word]) -> Sequence[Word]:
    """What the sentence leaves out; of what stands between its own words only negation counts."""
    if tag == "equal":
        return ()
    return words if tag == "replace" else [word for word in words if is_negated([word])]


def _reclassed(new: Sequence[Word], gone: Sequence[Word]) -> bool:
    if classes(new) != classes(gone) or is_negated(new) != is_negated(gone):
        return True
    signs = {one.sign for one in directed(gone)}
    return any(-one.sign in signs and one.sign not in signs for one in directed(new))
