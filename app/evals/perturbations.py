"""Sentences changed by rule, in one thing each: the recipe of FactCC (Kryscinski et al. 2020, "Evaluating the Factual
Consistency of Abstractive Text Summarization"). What is kept says the same as before; what is perturbed does not. Pure, and
decided by the generator of random numbers that is handed in."""

import re
from collections.abc import Callable, Sequence
from random import Random

from generation.verification.words import listed

Perturbation = Callable[[str, Sequence[str], Random], str | None]

_NUMBER = re.compile(r"(?<![\w.,$-])\d+(?:[.,]\d+)*(?![\w-])")
_NUMBER_WORDS = listed("two three four five six seven eight nine ten eleven twelve twenty thirty")
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBER_WORDS)})\b")
_UNITS = (
    listed("seconds minutes hours days weeks months years"),
    listed("second minute hour day week month year"),
    listed("millisecond microsecond nanosecond"),
    listed("milliseconds microseconds nanoseconds"),
    listed("bytes kilobytes megabytes gigabytes"),
    listed("KB MB GB TB"),
    listed("kB MB GB TB"),
    listed("ms s min"),
    listed("bits bytes"),
    listed("percent points"),
    listed("mm cm m km"),
    listed("metres kilometres"),
    listed("meters kilometers"),
    listed("degrees radians"),
    listed("rows columns"),
    listed("characters words"),
)
_MONTHS = listed("January February March April May June July August September October November December")
_YEAR = re.compile(r"\b(?:1[6-9]|20)\d\d\b")
_MONTH = re.compile(rf"\b(?:{'|'.join(m for m in _MONTHS if m != 'May')})\b")
_ISO = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_NAME = re.compile(r"(?<=[a-z,;:] )(?:[A-Z][\w]+|\w+_\w+|[a-z]+[A-Z]\w+)(?: [A-Z]\w+)*\b|\b\w+_\w+\b")
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|can|could|will|would|should|must|may|might|has been|have been|does|do|did)\b"
)
_NOT = re.compile(
    r"(?:\b(is|are|was|were|can|could|will|would|should|must|may|might|does|do|did|has|have) not\b|\bcannot\b)"
)
_SWAPS: dict[str, tuple[str, ...]] = {
    "all": ("some", "none"),
    "every": ("no",),
    "each": ("no",),
    "some": ("all", "no"),
    "most": ("few",),
    "many": ("few",),
    "few": ("many",),
    "always": ("never", "sometimes"),
    "never": ("always",),
    "often": ("rarely",),
    "usually": ("rarely",),
    "sometimes": ("always",),
    "must": ("may", "need not"),
    "may": ("must",),
    "might": ("must",),
    "can": ("must",),
    "should": ("need not",),
    "only": ("also",),
    "both": ("neither",),
    "no": ("every",),
    "none": ("all",),
    "any": ("no",),
    "more": ("less",),
    "less": ("more",),
    "larger": ("smaller",),
    "smaller": ("larger",),
    "greater": ("smaller",),
    "higher": ("lower",),
    "lower": ("higher",),
    "before": ("after",),
    "after": ("before",),
    "first": ("last",),
    "last": ("first",),
    "minimum": ("maximum",),
    "maximum": ("minimum",),
    "increases": ("decreases",),
    "decreases": ("increases",),
    "least": ("most",),
    "better": ("worse",),
    "faster": ("slower",),
    "with": ("without",),
    "without": ("with",),
    "above": ("below",),
    "below": ("above",),
    "same": ("different",),
    "different": ("same",),
    "large": ("small",),
    "small": ("large",),
    "exactly": ("about",),
}
_SWAP = re.compile(rf"\b(?:{'|'.join(_SWAPS)})\b")
_PREDICATE = re.compile(
    r" (?:is|are|was|were|has|have|can|must|will|should|may|does|returns|uses|holds|takes|gives|means) "
)
_POINTING = re.compile(r"(?:This|That|These|Those|It|They|He|She|There|If|When|While|Note|For|In|As|The following)\b")
_LEAST_SUBJECT = 3  # letters


def number_changed(sentence: str, passage: Sequence[str], random: Random) -> str | None:
    """Another number that the passage does not have."""
    found = [*_NUMBER.finditer(sentence), *_NUMBER_WORD.finditer(sentence)]
    found = [match for match in found if not _YEAR.fullmatch(match[0])]
    if not found:
        return None
    match = random.choice(found)
    new = _other_number(match[0], " ".join(passage), random)
    return None if new is None else _put(sentence, match, new)


def unit_changed(sentence: str, passage: Sequence[str], random: Random) -> str | None:
    """The unit behind a number, for another of its kind."""
    del passage
    found = [
        (match, family)
        for family in _UNITS
        for match in re.finditer(rf"(?<=\d[ -])(?:{'|'.join(family)})\b|(?<=\d)(?:{'|'.join(family)})\b", sentence)
    ]
    if not found:
        return None
    match, family = random.choice(found)
    return _put(sentence, match, random.choice([unit for unit in family if unit != match[0]]))


def date_shifted(sentence: str, passage: Sequence[str], random: Random) -> str | None:
    """Another year, month or day."""
    text = " ".join(passage)
    if match := _ISO.search(sentence):
        day = int(match[3]) % 28 + 1
        return _put(sentence, match, f"{match[1]}-{match[2]}-{day:02}")
    if found := list(_MONTH.finditer(sentence)):
        match = random.choice(found)
        return _put(sentence, match, random.choice([m for m in _MONTHS if m not in text]))
    if found := list(_YEAR.finditer(sentence)):
        match = random.choice(found)
        years = [str(int(match[0]) + shift) for shift in (-11, -7, -3, -2, -1, 1, 2, 4, 9)]
        left = [year for year in years if year not in text]
        return _put(sentence, match, random.choice(left)) if left else None
    return None


def name_swapped(sentence: str, passage: Sequence[str], random: Random) -> str | None:
    """A name for another one: of the same passage where it has any."""
    found = list(_NAME.finditer(sentence))
    others = [name[0] for text in passage for name in _NAME.finditer(text) if name[0] not in sentence]
    others = [name for name in others if not any(part in sentence for part in name.split())]
    if not found or not others:
        return None
    match = random.choice(found)
    return _put(sentence, match, random.choice(others))


def negated(sentence: str, passage: Sequence[str], random: Random) -> str | None:
    """A "not" more, or one less."""
    del passage
    if match := _NOT.search(sentence):
        return _put(sentence, match, match[1] or "can")
    found = list(_AUXILIARY.finditer(sentence))
    if not found:
        return None
    match = random.choice(found[:2])
    head, _, tail = match[0].partition(" ")
    return _put(sentence, match, f"{head} not {tail}".strip())


def quantifier_changed(sentence: str, passage: Sequence[str], random: Random) -> str | None:
    """All for some, must for may, more for less."""
    del passage
    found = list(_SWAP.finditer(sentence))
    if not found:
        return None
    match = random.choice(found)
    return _put(sentence, match, random.choice(_SWAPS[match[0]]))


def crossed(sentence: str, passage: Sequence[str], random: Random) -> str | None:
    """Of this sentence what it is about, of another one of the passage what is said."""
    mine = _parted(sentence)
    others = [parts for text in passage if text != sentence and (parts := _parted(text)) is not None]
    others = [parts for parts in others if mine and parts[0].casefold() != mine[0].casefold() and parts[1] != mine[1]]
    if mine is None or not others:
        return None
    return mine[0] + random.choice(others)[1]


PERTURBATIONS: dict[str, Perturbation] = {
    "number": number_changed,
    "unit": unit_changed,
    "date": date_shifted,
    "name": name_swapped,
    "negation": negated,
    "quantifier": quantifier_changed,
    "crossed": crossed,
}


def _parted(sentence: str) -> tuple[str, str] | None:
    """Subject and predicate, where a plain verb parts them."""
    match = _PREDICATE.search(sentence)
    if match is None or _POINTING.match(sentence) or "," in sentence[: match.start()]:
        return None
    subject, predicate = sentence[: match.start()], sentence[match.start() :]
    return (subject, predicate) if len(subject) >= _LEAST_SUBJECT and len(predicate.split()) > 2 else None


def _other_number(number: str, text: str, random: Random) -> str | None:
    if number in _NUMBER_WORDS:
        left = [word for word in _NUMBER_WORDS if word not in text.split()]
    else:
        plain = number.replace(",", "")
        value = float(plain) if plain.count(".") < 2 else None
        if value is None:
            return None
        decimals = len(plain.partition(".")[2])
        made = [value * 2, value + 1, value * 10, value + 3, abs(value - 2), value * 5 + 1]
        left = [f"{new:,.{decimals}f}" if "," in number else f"{new:.{decimals}f}" for new in made]
        left = [new for new in left if new not in text and new != number]
    return random.choice(left) if left else None


def _put(sentence: str, match: re.Match[str], new: str) -> str:
    return sentence[: match.start()] + new + sentence[match.end() :]
