"""The words of a text as the verifier sees them: where they stand, what they are compared by, and how much they weigh."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


def listed(text: str) -> list[str]:
    """Words that are listed in one string."""
    return text.split()


_WORD = re.compile(r"\w+(?:[.,:'’\-]\w+)*")
_SUFFIXES = ("ing", "edly", "ed", "ies", "es", "s", "ly")
_LEAST_STEM = 3
_STEM = 6  # letters; enough to tell words apart, short enough for their forms to be one
_FUNCTION = frozenset(
    listed(
        "a about above after again against all also am an and any are as at be because been before being below between both "
        "but by can could did do does doing down during each few for from further had has have having he her here hers him "
        "his how i if in into is it its itself just may me might more most must my no nor not now of off on once one only or "
        "other our ours out over own same shall she should so some such than that the their theirs them then there these they "
        "this those through to too under until up us very was we were what when where whether which while who whom whose why "
        "will with would you your yours"
    )
)
_NAMED_TWICE = 2.0  # what names and numbers weigh beside other words: no paraphrase replaces them


@dataclass(frozen=True, slots=True)
class Word:
    """A word `text[start:end]`. `stem` is what it is compared by."""

    text: str
    start: int
    end: int
    stem: str
    is_content: bool
    is_name: bool
    is_number: bool

    @property
    def weight(self) -> float:
        """0 for function words."""
        return 0.0 if not self.is_content else _NAMED_TWICE if self.is_name or self.is_number else 1.0

    @property
    def is_critical(self) -> bool:
        return self.is_name or self.is_number


def words(text: str) -> list[Word]:
    """All words in order. A capital makes a name, but where a sentence begins; so does an underscore or a digit among
    letters."""
    found: list[Word] = []
    opens = True
    for match in _WORD.finditer(text):
        opens = opens or _ends_sentence(text, found[-1].end if found else 0, match.start())
        found.append(_word(match, opens=opens))
        opens = False
    return found


def content(found: Sequence[Word]) -> list[Word]:
    """Those that carry meaning; all where none does."""
    return [word for word in found if word.is_content] or list(found)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """One form for the forms of a word, by its ending and its first letters."""
    word = word.casefold().replace("’", "'").removesuffix("'s").replace(",", "")
    if "_" in word:  # an identifier is itself, and no form of another
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _LEAST_STEM:
            word = word[: -len(suffix)]
            break
    return word if any(map(str.isdigit, word)) else word[:_STEM]


def _word(match: re.Match[str], *, opens: bool) -> Word:
    text = match.group()
    number = text[0].isdigit()
    inner = any(c.isupper() for c in text[1:]) or "_" in text.strip("_") or any(map(str.isdigit, text))
    name = not number and len(text) > 1 and (inner or (text[0].isupper() and not opens))
    is_content = number or name or text.casefold() not in _FUNCTION
    return Word(text, match.start(), match.end(), stem(text), is_content, name, number)


def _ends_sentence(text: str, end: int, start: int) -> bool:
    return any(c in ".!?:\n" for c in text[end:start])
