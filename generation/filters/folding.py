"""Text as a reader could still read it, whatever was done to its letters: small Latin letters and digits. Pure."""

import unicodedata
from functools import lru_cache
from typing import Final

# Letters of other alphabets that look like Latin ones (from Unicode's confusables): what a reader takes them for.
_LOOKS: Final = dict(
    zip(
        "аәбвгԁеёжзіїјкқӏԉмнопрԛсѕтуүхһѵԝьαβγδεζηικνορστυχωϲϳգհոսցօքɑɡıɩʟɴʀꜱȷ",
        "aebbrdeexeiijkklhmhonpqcstyyxhvwbabyoeznikvopotuxwcjqhnugofagiilnrsj",
        strict=True,
    )
)
_NO_LETTERS: Final = dict.fromkeys(code for code in range(128) if not chr(code).isalnum())


@lru_cache(maxsize=4096)
def folded_char(char: str) -> str:
    """None, one or more letters and digits."""
    if char.isascii():
        return char.lower() if char.isalnum() else ""
    plain = unicodedata.normalize("NFKD", char).casefold()
    return "".join(_LOOKS.get(letter, letter) for letter in plain if letter.isalnum())


def folded(text: str) -> str:
    """The letters of a text."""
    if text.isascii():  # nearly always, and in a tenth of the time
        return text.lower().translate(_NO_LETTERS)
    return "".join(map(folded_char, text))


def placed(text: str, start: int) -> list[tuple[str, int]]:
    """The letters of `text[start:]`, each with its place in the text."""
    return [(letter, at) for at in range(start, len(text)) for letter in folded_char(text[at])]
