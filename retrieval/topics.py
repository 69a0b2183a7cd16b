"""What a question is about, and whether a heading says just that. Pure.

"How do I return an HTML response?" asks for the section "HTML Response": take away the words that only ask and those that
only say to do something, and both name the same. The words taken away are English; in another language more words count,
so fewer headings fit, and none wrongly.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_STEM = 5  # letters, without the s of a plural
_LEAF_ONLY = 0.5  # of what a heading is worth that stands further up: its sections tell of parts of the topic
_FUNCTION = frozenset(
    _WORD.findall(
        "a about all an and any are as at be between by can could do does for from had has have how i if in into is it its me "
        "my need of on one or our should so some than that the their them there these they this to up us was we were what "
        "when where which who why will with would you your"
    )
)
_DOING = frozenset(
    _WORD.findall(
        "add adding create creating declare declaring define defining get getting give giving import make making return "
        "returning set setting use using want work working write writing"
    )
)


def fits(question: str, headings: Sequence[str]) -> float:
    """How nearly one of the headings, outermost first, names what the question asks about: within [0, 1], and 1 where the
    innermost one says that and nothing else. Dice's coefficient of the words of both."""
    asked = topic(question)
    inner = max(len(headings) - 1, 0)
    return max(
        (_dice(asked, topic(h)) * (1 if i == inner else _LEAF_ONLY) for i, h in enumerate(headings)), default=0.0
    )


def is_headed(question: str, headings: Sequence[str]) -> bool:
    """Whether the innermost heading names what the question asks about, and nothing else."""
    return bool(headings) and _dice(topic(question), topic(headings[-1])) == 1


@lru_cache(maxsize=2048)  # headings come again with each of their passages
def topic(text: str) -> frozenset[str]:
    """The words that say what it is about."""
    words = [word.casefold() for word in _WORD.findall(text)]
    return frozenset(word[:_STEM].rstrip("s") for word in words if word not in _FUNCTION and word not in _DOING)


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0
