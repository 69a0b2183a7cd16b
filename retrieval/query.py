"""A follow-up made standalone by rule, without a model: what the question leaves out is carried from the turns before it.

Not the turns themselves are carried but their terms: runs of content words, and names out of the last answer. Whether a
question leaves something out is told by its form, in English; in other languages only very short questions count as such.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

Turn = tuple[Literal["user", "assistant"], str]

TURNS = 8  # that are looked at, from the last one back; what was talked of before is another topic
_SHORT = 4  # words; "for PDF files?" says nothing alone
_OWN = 3  # content words; behind so many a pronoun need not stand for something said before
_PHRASES = 3  # of a question; the first say what it is about
_LONG = 8  # words; a longer run is no term but a sentence without function words
_NAMES = 2  # of an answer, out of its first sentence
_LOOKED_AT = 2000  # characters of a turn
_STEM = 5  # letters; words that begin with the same are taken for the same

_WORD = re.compile(r"--?[^\W_][\w-]*|\w+(?:[.'’+#/@-]\w+)*")
_SENTENCE_END = re.compile(r"[.?!:](?=\s|$)|\n")

# "How long does it take to ...": it stands for nothing.
_EMPTY_IT = re.compile(
    r"\b(?:is|was|would) it (?:be |not )?(?:possible|true|necessary|ok|okay|safe|allowed|enough|better|best|required|normal"
    r"|recommended|worth|correct|legal) (?:to|that|if|for|when)\b"
    r"|\b(?:does|did|would|will|can) it (?:take|cost|matter|make sense|happen) (?:to|if|whether|that)\b",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"\b(?:[Ii]t|(?i:its|they|them|their|theirs|he|him|his|she|her|hers|this|these|those|former|latter))\b"
)
_POINTS_BACK = re.compile(
    # "that" as in "does that work", not as in "files that changed"
    r"(?:^|\b(?:about|of|for|with|from|after|before|by|on|in|to|than|like|as|if|is|was|are|does|do|did|can|could|will|would"
    r"|should|has|had|why|how|what's) )that\b|\bthat\W*$|\b(?:i|we|you) \w+ that\b"
    # "there" as in "what runs there", not as in "is there a limit"
    r"|(?<!\bis )(?<!\bare )(?<!\bwas )(?<!\bwere )(?<!\bbe )\bthere\b(?! (?:is|are|was|were|be|will|must|should|can)\b)"
    r"|\b(?:the|this|that|which|another|other|first|second|third|last|new|old|right|default|same) one\b"
    r"|\bone (?:that|which|who)\b|\bones\b"
    r"|\bthe others?\W*$|\b(?:do|does|is|be|works?|goes|applies) the same\b|\bthe same (?:for|with|way|thing)\b"
    r"|\bthe same\W*$|\belse\b|\b(?:too|as well|instead|either)\W*$"
    r"|^\W*(?:and|or|but|so|then|also|what about|how about|what if not|why not|why so|how so|more|which (?:is|are|was|of))\b",
    re.IGNORECASE,
)
_FRAGMENT = re.compile(
    r"^\W*(?:for|with|without|on|in|from|under|as|at|by|using|only|not|if|even|just)\b"
    r"(?!.*\b(?:what|which|who|where|when|how|why|do|does|did|is|are|was|were|can|could|should|will|would|must|has|have)\b)",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"^\W*(?:what|who|where|when) (?:is|are|was|were) \w", re.IGNORECASE)
_IDENTIFIER = re.compile(r"\w_\w|[a-z][A-Z]|--\w|\w\.\w|\d")

_EMPTY = frozenset(
    _WORD.findall(
        "a about after again against all also always am an and any are around as at be because been before being "
        "below between both but by can cannot could did do does doing done down during each either else ever "
        "every exactly few for from get gets getting give given go goes good got had happen happens has have "
        "having he her here hers him his how however i i'm if in into is it it's its itself just know let like "
        "make makes many matter may me mean means might mine more most much must my need needs neither never no "
        "nor not now of often ok okay on once one ones only onto or other others our ours over own per please "
        "possible really same say says see shall she should show so some still such sure take takes tell than "
        "thank thanks that that's the their theirs them themselves then there these they thing things this those "
        "through to too try under until upon us use used uses using usually very via want was way we well were "
        "what what's when where whether which while who whom whose why will wish with within without work works "
        "would yes yet you your yours"
    )
)


def points_back(question: str) -> bool:
    """Whether a question leaves something out that a turn before it said: a pronoun, a comparison, half a sentence."""
    if _POINTS_BACK.search(question) or _FRAGMENT.search(question) or _has_open_pronoun(question):
        return True
    short = len(_WORD.findall(question)) < _SHORT
    return short and not (_WHOLE.search(question) or _IDENTIFIER.search(question))


def _has_open_pronoun(question: str) -> bool:
    """A pronoun behind several content words stands for one of them: "which users lost their keys"."""
    text = _EMPTY_IT.sub(" ", question)
    found = _PRONOUN.search(text)
    return found is not None and sum(_is_content(word) for word in _WORD.findall(text[: found.start()])) < _OWN


def _is_content(word: str) -> bool:
    return word.casefold() not in _EMPTY


def standalone(question: str, history: Sequence[Turn]) -> str:
    """The text to search for. A first question, and one that stands alone, comes back unchanged.

    Earlier questions are made standalone first, so that a topic lasts as long as the questions point back to it.
    """
    before, said = "", ""
    for role, text in history[-TURNS:]:
        if role == "assistant":
            said = text
        else:
            before, said = _resolved(text, before, said), ""
    return _resolved(question, before, said)


def _resolved(question: str, before: str, said: str) -> str:
    if not (before or said) or not points_back(question):
        return question
    carried = _fitting(phrases(before), question, _PHRASES)
    carried += _fitting(names(said), f"{question} {' '.join(carried)}", _NAMES)
    return f"{', '.join(carried)}: {question}" if carried else question


def _fitting(found: Iterable[str], question: str, most: int) -> list[str]:
    """The first of them that say something that the question and those before them do not."""
    known = _stems(question)
    kept: list[str] = []
    for phrase in found:
        own = _stems(phrase)
        if len(kept) < most and not own <= known and len(own) <= _LONG:
            kept.append(phrase)
            known |= own
    return kept


def _stems(text: str) -> frozenset[str]:
    return frozenset(word.casefold()[:_STEM] for word in _WORD.findall(text))


def phrases(text: str) -> list[str]:
    """Runs of content words, in order: what is left of a question between its function words and marks."""
    return list(_runs(text[:_LOOKED_AT]))


def _runs(text: str) -> Iterator[str]:
    start, end = 0, 0  # of the run we are in
    for match in _WORD.finditer(text):
        content = _is_content(match.group())
        if end and (not content or text[end : match.start()].strip()):
            yield text[start:end]
            end = 0
        if content:
            start, end = (start if end else match.start()), match.end()
    if end:
        yield text[start:end]


def names(said: str) -> list[str]:
    """Names and identifiers of an answer's first sentence, told by their form: a capital inside the sentence, a digit, an
    underscore. Neighbours are one name."""
    stop = _SENTENCE_END.search(said, 1)
    first = said[: min(stop.start() if stop else len(said), _LOOKED_AT)]
    found: list[str] = []
    end = -1
    for match in _WORD.finditer(first):
        if not _is_name(match.group(), opens=not first[: match.start()].strip()):
            continue
        if found and first[end : match.start()] == " ":
            found[-1] += f" {match.group()}"
        else:
            found.append(match.group())
        end = match.end()
    return found


def _is_name(word: str, *, opens: bool) -> bool:
    if len(word) < 2 or word.isdecimal() or not _is_content(word):
        return False
    return bool(_IDENTIFIER.search(word)) or word.isupper() or (word[0].isupper() and not opens)
