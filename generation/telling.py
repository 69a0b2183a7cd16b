"""The words of a question that no paraphrase replaces: names and numbers. Passages that have none of them tell of something
else, however alike they sound: Python 3.8 is not Python 2.7, and Redis is not Memcached. Pure.

Told by form, not by a list: a capital inside the sentence, an underscore, a digit. So a name in lower case goes unnoticed,
and in a language that writes every noun with a capital, nouns count as names.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

_TERM = re.compile(r"\d{1,3}(?:,\d{3})+\b|\w+(?:[.'’+#/]\w+|-\w*\d\w*)*")
_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"(?<=[^\W\d])['’]s?$")
_VERSION = re.compile(r"^[vV](?=\d)")
_ROMAN = dict(enumerate(["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"], start=1))
_COUNT = 12  # up to here people write numbers out, as a text may have done
_LOOKED_AT = 48  # terms; what comes later in a question is its story
_LONG = 4  # letters; headlines leave shorter words small
_PREFIX = 0.75  # of a name's letters, five at least, which its relatives share: "Normandy" and "Norman"
_TYPO = range(4, 40)  # letters; shorter words are one letter away from too many others
_ACRONYM = range(2, 7)  # letters


@dataclass(frozen=True, slots=True)
class Lost:
    """The names and the numbers of a question that its passages lack."""

    names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Term:
    """`opens`: it begins a sentence, where a capital tells nothing. `follows`: a mere space parts it from the one before."""

    text: str
    opens: bool
    follows: bool

    @property
    def is_number(self) -> bool:
        return self.text[0].isdigit() and not self.text[-1].isalpha()

    @property
    def is_acronym(self) -> bool:
        return len(self.text) > 1 and self.text.isupper()

    @property
    def is_name(self) -> bool:
        if self.text[0].isdigit() or len(self.text) == 1:
            return False
        if "_" in self.text.strip("_") or any(c.isupper() for c in self.text[1:]):
            return True
        return self.text[0].isupper() and not self.opens


@dataclass(frozen=True, slots=True)
class _Said:
    """What the texts say, folded once."""

    texts: tuple[str, ...]
    words: frozenset[str]

    def has_name(self, name: str) -> bool:
        """Also in another form, with a letter wrong, or spelt out where it is an acronym."""
        folded = _fold(name)
        if any(c.isdigit() for c in folded):
            return any(_bare(folded) in _bare(text) for text in self.texts)
        stems = [part[: max(5, math.ceil(_PREFIX * len(part)))] for part in _WORD.findall(folded)]
        if any(all(stem in text for stem in stems) for text in self.texts):
            return True
        return any(_is_form(folded, word) for word in self.words) or self._spells_out(name)

    def _spells_out(self, acronym: str) -> bool:
        if len(acronym) not in _ACRONYM or not (acronym.isalpha() and acronym.isupper()):
            return False
        return any(acronym.casefold() in "".join(word[0] for word in _WORD.findall(text)) for text in self.texts)

    def holding(self, number: str) -> "_Said":
        """The texts that have this number, as digits or as a Roman numeral."""
        plain = _fold(number)
        forms = [plain, *([_ROMAN[int(plain)]] if _is_count(plain) and int(plain) else [])]
        pattern = re.compile(rf"(?<!\w)(?<!\d\.)v?(?:{'|'.join(map(re.escape, forms))})(?:['’]?s)?(?!\w)")
        return _said_folded(text for text in self.texts if pattern.search(text))


def lost(question: str, texts: Sequence[str]) -> Lost:
    """The names and numbers of the question that the texts lack. Texts are best no longer than a sentence.

    Of a name of several words one is enough: a text may tell of Raymond Smullyan as Smullyan. A number behind a name
    belongs to it and has to stand in one text with it. Of other numbers one is enough, since a text may tell of 1980 to
    1990 as the years from 1980 on.
    """
    terms = _terms(unicodedata.normalize("NFKC", question))
    said = _said_folded(map(_fold, texts))
    names = [] if _is_headline(terms) else _names(terms, texts)
    missing = tuple(" ".join(name) for name in names if not any(said.has_name(part) for part in name))
    return Lost(missing, (*_lost_loose(terms, said), *_lost_owned(terms, said)))


def _said_folded(texts: Iterable[str]) -> _Said:
    held = tuple(texts)
    return _Said(held, frozenset(word for text in held for word in _WORD.findall(text)))


def _terms(question: str) -> list[_Term]:
    terms: list[_Term] = []
    end = 0
    for match in islice(_TERM.finditer(question), _LOOKED_AT):
        gap = question[end : match.start()]
        text = _VERSION.sub("", _POSSESSIVE.sub("", match.group()))
        terms.append(_Term(text, opens=not end or bool(re.search(r"[.?!:\n]", gap)), follows=gap == " "))
        end = match.end()
    return terms


def _is_headline(terms: Sequence[_Term]) -> bool:
    """Whether this is written Like a Headline, or IN CAPITALS, where a capital tells nothing."""
    long = [term.text for term in terms if len(term.text) >= _LONG and not term.is_number]
    if all(word.isupper() for word in long):
        return len(long) > 1
    return len(long) > 2 and all(word[0].isupper() for word in long)


def _names(terms: Sequence[_Term], texts: Sequence[str]) -> list[list[str]]:
    """Names, each as the words it is made of. Acronyms stand for themselves."""
    names: list[list[str]] = []
    for before, term in pairwise([None, *terms]):
        if term is None or not term.is_name:
            continue
        joined = before is not None and term.follows and not term.is_acronym and not before.is_acronym
        if joined and before is not None and before.is_name:
            names[-1].append(term.text)
        elif joined and before is not None and before.opens and _is_always_capital(before.text, texts):
            names.append([before.text, term.text])
        else:
            names.append([term.text])
    return names


def _is_always_capital(word: str, texts: Sequence[str]) -> bool:
    """For the word that opens a question, whose own capital tells nothing."""
    return word[0].isupper() and any(word in text for text in texts) and not any(word.lower() in text for text in texts)


def _is_form(name: str, word: str) -> bool:
    """Whether one is the other with a letter too many, too few, changed or swapped."""
    if len(name) not in _TYPO or len(word) not in _TYPO or abs(len(name) - len(word)) > 1:
        return False
    return not _shortened(name).isdisjoint(_shortened(word))


def _shortened(word: str) -> set[str]:
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


def _lost_loose(terms: Sequence[_Term], said: _Said) -> list[str]:
    loose = [
        term.text
        for before, term in pairwise([None, *terms])
        if term and term.is_number and not _owns(before, term) and not _is_count(term.text)
    ]
    return [] if any(said.holding(number).texts for number in loose) else loose


def _lost_owned(terms: Sequence[_Term], said: _Said) -> list[str]:
    return [
        f"{before.text} {term.text}"
        for before, term in pairwise(terms)
        if term.is_number and _owns(before, term) and not said.holding(term.text).has_name(before.text)
    ]


def _owns(before: _Term | None, number: _Term) -> bool:
    return before is not None and before.is_name and number.follows


def _is_count(number: str) -> bool:
    return number.isdecimal() and len(number) < 3 and int(number) <= _COUNT


def _fold(text: str) -> str:
    """Without case, accents, and commas inside numbers."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"(?<=\d),(?=\d{3})", "", text.casefold())


def _bare(text: str) -> str:
    return "".join(_WORD.findall(text))
