"""A question as words in order, without what two people may put differently and still ask the very same. Pure.

It is a list of what may be left out or exchanged, not of what must agree: a word that no rule here knows stays, and then
another word in its place makes another question. So numbers, names, units, negation, order, comparatives and question words
all count, without anybody having to think of each.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from generation.verification.dates import dates
from generation.verification.quantities import Quantity, quantities
from generation.verification.words import Word, listed, words

_WH = r"(?:what|which|who|whom|whose|when|where|why|how)\b"
_I = re.IGNORECASE
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "−": "-", "\u00a0": " ", "\u202f": " "})
# Ways to ask that ask nothing themselves: only in front of a question word, or the rest would be no question.
_ASK = r"(?:(?:can|could|would) you (?:please )?)?"
_LEADS = re.compile(
    rf"^(?:(?:hi|hello|hey)\b[,! ]+|please\b[, ]+|{_ASK}(?:tell|show|explain to) (?:me|us)[, ]+(?:please[, ]+)?(?={_WH})|"
    rf"{_ASK}(?:say|explain) (?={_WH})|do you know (?={_WH})|(?:i|we)(?:'d| would) like to know (?={_WH})|"
    rf"(?:i|we) (?:want|need) to know (?={_WH})|(?:i am|i'm|i was|just) wondering[,:]? (?={_WH}))",
    _I,
)
_TRAILS = re.compile(r"[\s,.!?]*(?:\b(?:please|thanks|thank you)\b[\s,.!?]*)+$", _I)
_ASKER = r"(?:i|we|you|one)"
_SPELT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, _I), put)
    for pattern, put in (
        (r"\bcan(?:'t|not)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"\b(\w+)n't\b", r"\1 not"),
        (rf"\b({_WH})'s\b", r"\1 is"),
        (r"\b(it|that|there)'s\b", r"\1 is"),
        (r"\b(i)'m\b", r"\1 am"),
        (r"\b(\w+)'re\b", r"\1 are"),
        (r"\b(\w+)'ve\b", r"\1 have"),
        (r"\b(\w+)'ll\b", r"\1 will"),
        (rf"\bhow (?:do|can) {_ASKER} ", "how to "),
        (r"\bhow does one ", "how to "),
        (r"\bwhat is the way to ", "how to "),
        (rf"\bin what way (?:do|can) {_ASKER} ", "how to "),
        (r"\bis it possible to ", "can "),
        (rf"\bam {_ASKER} able to ", "can "),
        (rf"\b(do|can|should|must|may)( not)? {_ASKER} ", r"\1\2 "),
        (r"\b(?:i|we|you) (do|can|should|must|may)\b", r"\1"),
        (r"\b(?:how come|for what reason)\b", "why"),
        (r"\b(?:at what time|(?:on|at) (?:which|what) date)\b", "when"),
        (r"\bwhat is the (?:total )?number of ", "are how many "),
        (r"\b(is|are|was|were) there\b", r"\1"),
        (r"\bthere (is|are|was|were)\b", r"\1"),
        (r"\ba (few|little)\b", r"a_\1"),
        (r"\bper cent\b", "percent"),
        (r"\be-mail", "email"),
    )
)
_MARK = re.compile(  # what no word holds and yet means something: C++, -5, --force, !x, a != b
    r"[^\w\s?.,;:!'\"()`-]|(?<![\w)])[-.]+(?=\w)|!+(?=[\w=])|(?<=\d)\s-\s(?=\d)"
)
_LEFT_OUT = frozenset(listed("a an the please actually kindly"))
# Their place differs between "what is the limit" and "tell me what the limit is"; how many there are does not.
_MOVES = {
    **dict.fromkeys(listed("is are am be"), "be"),
    **dict.fromkeys(listed("was were"), "was"),
    **{word: word for word in listed("can could may might must should will would")},
}
_AUXILIARY = frozenset(("do", "does"))  # the first, unless it is the last word and so what is done
_SAME = {
    word: group[0]
    for group in map(
        listed,
        (
            "delete remove erase",
            "deleted removed erased",
            "start begin",
            "big large",
            "bigger larger",
            "biggest largest",
            "buy purchase",
            "kind type",
            "allowed permitted",
            "allow permit",
            "need require",
            "needed required",
            "maximum max",
            "minimum min",
            "configuration config",
            "documentation docs",
            "repository repo",
            "application app",
            "information info",
            "folder directory",
            "show display",
            "choose select pick",
            "get obtain",
            "happen occur",
            "what which",
            "who whom",
        ),
    )
    for word in group
}
_NO_PLURAL = frozenset(
    listed("news goods customs arms less does always versus yes as is was has his its this us plus across perhaps")
)
_LEAST_PLURAL = 4  # letters
_SUFFIXED = re.compile(r"[\d.,]+\s?[kmb]\b", re.IGNORECASE)


def canonical(question: str) -> tuple[str, ...]:
    """Equal for two questions only if every rule for saying the same differently makes them so."""
    text = reduced(question)
    tokens = _without_of(_tokens(text))
    moved = [token for token in tokens if token.startswith("<")]
    if len(set(moved)) > 1:  # of two it counts which stands where: what is and was, what can and must
        return tuple(tokens)
    return (*(token for token in tokens if not token.startswith("<")), *moved)


def reduced(question: str) -> str:
    """Without greetings and politeness, contractions written out, some ways to ask put in one form."""
    text = " ".join(unicodedata.normalize("NFC", question).translate(_QUOTES).split())
    while (match := _LEADS.match(text)) is not None:
        text = text[match.end() :]
    text = _TRAILS.sub("", text)
    for pattern, put in _SPELT:
        text = pattern.sub(put, text)
    return text


def _tokens(text: str) -> list[str]:
    """Numbers, marks and words, in order."""
    days = dates(text)
    numbers = quantities(text, [(day.start, day.end) for day in days])
    taken = [(number.start, number.end) for number in numbers]
    found = [(number.start, _number(text, number)) for number in numbers]
    found += [(match.start(), match.group()) for match in _MARK.finditer(text) if not _inside(match.start(), taken)]
    said = words(text)
    auxiliary = next((word for word in said[:-1] if word.text.casefold() in _AUXILIARY), None)
    for word in said:
        if word is not auxiliary and not _inside(word.start, taken):
            found.append((word.start, _token(word, opens=word is said[0])))
    return [token for _, token in sorted(found, key=lambda pair: pair[0]) if token]


def _token(word: Word, *, opens: bool) -> str:
    """Names as they are written. Of others, what they are when their form does not count; empty for what is left out."""
    if word.is_name or word.is_number or (word.text == "A" and not opens):  # plan A is not any plan
        return word.text.removesuffix("'s")
    folded = word.text.casefold().removesuffix("'s")
    if folded in _LEFT_OUT:
        return ""
    if folded in _MOVES:
        return f"<{_MOVES[folded]}>"
    return _SAME.get(single := _singular(folded), single)


def _singular(word: str) -> str:
    if len(word) < _LEAST_PLURAL or not word.endswith("s") or word.endswith(("ss", "us", "is")) or word in _NO_PLURAL:
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("xes", "ches", "shes", "sses")) else word[:-1]


def _number(text: str, number: Quantity) -> str:
    """Whole numbers by their value in the measure's own unit. Others as they are written: 3.8 is no 3.80 among versions, and
    5m may be metres, minutes or millions."""
    said = text[number.start : number.end]
    sign = "-" if number.start and text[number.start - 1] == "-" else ""
    if "." in said or re.match(r"0\d", said) or _SUFFIXED.match(said):
        return f"#{sign}{''.join(said.split())}"
    return f"#{sign}{number.measure}:{number.base:.12g}"


def _without_of(tokens: Sequence[str]) -> list[str]:
    """The size of the cache is the cache size."""
    found: list[str] = []
    rest: Iterator[str] = iter(tokens)
    for word in rest:
        if word == "of" and found and (owner := next(rest, None)) is not None:
            found.insert(len(found) - 1, owner)
        else:
            found.append(word)
    return found


def _inside(at: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(start <= at < end for start, end in spans)
