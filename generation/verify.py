"""Whether a cited passage carries a sentence, and where in it the quote stands.

A verdict is only given where it is certain: a sentence that stands word for word in a cited passage is supported, and
of any other nothing is claimed.
"""

import re

from generation.model import DraftSentence, Quote
from generation.ports import UNCHECKED, Judged
from ingest.sentences import sentence_spans
from retrieval.model import Context

# A CJK character counts as a word, since those scripts put no space between words.
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
_SOLID = re.compile(r"\S+")
# Words that two sentences share without being about the same thing; a quote is not placed by them alone.
_EMPTY = frozenset(
    _WORD.findall(
        "a an and are as at be but by can do does for from has have if in into is it its not of on or so than that the "
        "their then there these they this to was were which will with you your"
    )
)


class VerbatimVerifier:
    """Supports what stands word for word in a cited passage; everything else is unchecked."""

    @property
    def name(self) -> str:
        return "verbatim"

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        """`supported` with score 1.0, or UNCHECKED."""
        numbers = dict.fromkeys((*sentence.cited, *(quote.n for quote in sentence.quotes)))
        for n in numbers:
            if 1 <= n <= len(context.passages) and (span := find_verbatim(sentence.text, context.passages[n - 1].text)):
                return Judged("supported", 1.0, 0.0, (Quote(n, *span),))
        return UNCHECKED


def find_verbatim(sentence: str, text: str) -> tuple[int, int] | None:
    """Where the sentence first stands in the text, as whole words and to its last character; any white space equals any
    other. None where it does not."""
    wanted, plain = " ".join(sentence.split()), " ".join(text.split())
    at = plain.find(wanted) if wanted else -1
    while at >= 0 and not _stands_alone(plain, at, at + len(wanted)):
        at = plain.find(wanted, at + 1)
    if at < 0:
        return None
    solid = at - plain.count(" ", 0, at)  # characters in front that are no white space
    return _place_of(text, solid), _place_of(text, solid + len(wanted) - wanted.count(" ") - 1) + 1


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no letter, digit or underscore stands directly in front or behind."""
    around = text[start - 1 : start] if start else "", text[end : end + 1]
    return not any(char.isalnum() or char == "_" for char in around)


def _place_of(text: str, solid: int) -> int:
    """Where the character stands that has so many before it, white space left out."""
    for run in _SOLID.finditer(text):
        if solid < run.end() - run.start():
            return run.start() + solid
        solid -= run.end() - run.start()
    raise ValueError("there are not so many characters")


def place(sentence: str, cited: tuple[int, ...], context: Context) -> tuple[Quote, ...]:
    """For each cited passage the span that best matches the sentence: the sentence itself where it stands there, else
    the passage's sentence with most words in common, the earliest of equals. A passage without a word in common has no
    quote; the quotes are in the order of `cited`."""
    quotes: list[Quote] = []
    for n in dict.fromkeys(n for n in cited if 1 <= n <= len(context.passages)):
        text = context.passages[n - 1].text
        span = find_verbatim(sentence, text) or _best_span(sentence, text)
        if span:
            quotes.append(Quote(n, *span))
    return tuple(quotes)


def carrying_words(text: str) -> set[str]:
    """The words that carry meaning, each once; none of a text of function words."""
    return _all_words(text) - _EMPTY


def _best_span(sentence: str, text: str) -> tuple[int, int] | None:
    asked = carrying_words(sentence) or _all_words(sentence)
    best, best_span = 0.0, None
    for start, end in sentence_spans(text):
        words = carrying_words(text[start:end]) or _all_words(text[start:end])
        # Dice: shared words against the length of both, so that a long sentence does not win by length.
        score = 2 * len(asked & words) / max(1, len(asked) + len(words))
        if score > best:
            best, best_span = score, (start, end)
    return best_span


def _all_words(text: str) -> set[str]:
    return {match.group().casefold() for match in _WORD.finditer(text)}
