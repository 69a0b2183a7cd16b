"""A follow-up made standalone, by rule and without a model: what the question leaves out is taken from the turn before."""

import re
from collections.abc import Sequence

_POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|that|these|those|he|him|his|she|her|hers|there|one|ones|same|former|latter)\b"
    r"|^\s*(?:and|or|but|so|then|also|what about|how about|why not|why|how so|more)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_SHORT = 4  # words; "for PDF files too?" says nothing alone


def standalone(question: str, earlier_questions: Sequence[str]) -> str:
    """The text to search for. A first question, and one that stands alone, comes back unchanged.

    A question that points back, or is too short to say what it is about, is read together with the one before it.
    """
    if not earlier_questions:
        return question
    points_back = _POINTS_BACK.search(question) is not None or len(_WORD.findall(question)) < _SHORT
    return f"{earlier_questions[-1]}\n{question}" if points_back else question
