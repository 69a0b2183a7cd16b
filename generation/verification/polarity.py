"""What turns a sentence's meaning round: negation, direction ("increases", "reduces"), quantifiers, duty and hedges."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from generation.verification.words import Word, listed

# Beginnings of words, in two opposite senses. A short one counts only as the whole word or with a common ending.
_UP = listed(
    "increas rais enhanc promot activat upregulat elevat higher high more greater improv stimulat induc gain grow expand "
    "strengthen facilitat accelerat rise rising rose augment positiv longer larger faster above most best enabl allow trigger "
    "contribut lead cause boost amplif exacerbat benefi superior better effectiv requir essential necessary sufficient "
    "associat correlat link early earlier maxim always includ accept permit open start before first all every both many "
    "common frequent"
)
_DOWN = listed(
    "decreas reduc lower low inhibit suppress downregulat attenuat diminish impair prevent block less fewer loss lose lost "
    "declin fall fell drop shrink weaken imped slow delay negativ shorter smaller below least worst disabl forbid prohibit "
    "deni limit hinder abrogat abolish protect ameliorat mitigat alleviat detriment inferior worse ineffectiv dispens "
    "unnecessary insufficient independent unrelated late later minim never exclud reject refus close stop after last none few "
    "rare seldom depriv deplet deficien resist avoid lack absen without repress antagon restrict silenc interfer counteract"
)
_ENDINGS = frozenset(("", "s", "d", "ed", "ing", "es", "er"))
_SHORT = 4
_NEGATORS = frozenset(
    listed(
        "not no never without neither nor none cannot fail fails failed unlikely unable lack lacks lacking absence absent "
        "unaffected little hardly"
    )
)
_CLASSES: dict[str, str] = {
    word: name
    for name, members in {
        "all": "all every each both any",
        "some": "some several certain",
        "none": "no none neither nobody nothing",
        "most": "most many mostly",
        "few": "few fewer",
        "must": "must shall required has have needs mandatory",
        "may": "may might can could possibly perhaps optional",
        "only": "only solely exclusively",
        "always": "always constantly",
        "often": "often usually generally typically frequently",
        "rarely": "rarely seldom sometimes occasionally",
    }.items()
    for word in members.split()
}


@dataclass(frozen=True, slots=True)
class Directed:
    """A word that says in which direction: 1 up, -1 down."""

    word: Word
    sign: int


def is_negated(found: Iterable[Word]) -> bool:
    """Whether a word of negation stands among these."""
    return any(_negates(word.text.casefold()) for word in found)


def directed(found: Iterable[Word]) -> list[Directed]:
    """The words of direction, in order."""
    return [Directed(word, sign) for word in found if (sign := _sign(word.text.casefold()))]


def classes(found: Sequence[Word]) -> set[str]:
    """Which quantifiers, words of duty and hedges there are, by what they mean."""
    return {_CLASSES[text] for word in found if (text := word.text.casefold()) in _CLASSES}


def _negates(text: str) -> bool:
    return text in _NEGATORS or text.endswith(("n't", "n’t"))


@lru_cache(maxsize=1 << 14)  # every sentence of an answer is held against the same passages, and words come again
def _sign(text: str) -> int:
    if any(_begins(text, start) for start in _DOWN):
        return -1
    return 1 if any(_begins(text, start) for start in _UP) else 0


def _begins(text: str, start: str) -> bool:
    return text.startswith(start) and (len(start) > _SHORT or text[len(start) :] in _ENDINGS)
