"""Personal data replaced by placeholders before a text is sent away, and put back where they come again. Pure.

A placeholder is a word such as EMAIL_1, which models copy as they do a name. One value has one placeholder for as long as
the same `Placeholders` are used; a word that looks like one and stood in the texts already is never given out.
"""

import json
from collections.abc import Iterable
from typing import Final

from generation.filters.hold_back import Edit, HoldBack, Scanned
from generation.filters.pii import KINDS, PiiKind, whole_items
from generation.filters.shadow import compiled, shadow

_WORDS: Final[dict[PiiKind, str]] = {
    "credit_card": "CARD",
    "iban": "IBAN",
    "us_ssn": "SSN",
    "email": "EMAIL",
    "phone": "PHONE",
    "ip_address": "ADDRESS",
    "secret": "SECRET",
    "url_credentials": "LOGIN",
}
_ANY: Final = "|".join(_WORDS.values())
_PLACEHOLDER = compiled(rf"(?:{_ANY})_[0-9]{{1,6}}")
_OPEN = compiled(r"[A-Z]{1,7}(?:_[0-9]{0,6})?$")
_LONGEST = 16


class Placeholders:
    """What stands for what, for one request."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        """`taken`: all texts of the request, whose own words are not to be mistaken for placeholders."""
        self._used = {word for text in taken for word in _words(text)}
        self._by_value: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether anything was hidden."""
        return bool(self._values)

    def hide(self, text: str) -> str:
        """The text with a placeholder for every value. Raises nothing; linear in the text."""
        out, at = [], 0
        for item in whole_items(text, KINDS):
            out += [text[at : item.start], self._word(item.kind, text[item.start : item.end])]
            at = item.end
        return "".join([*out, text[at:]])

    def restoring(self, *, data: bool = False) -> HoldBack:
        """Puts the values back into a text that comes in pieces; in `data`, which is JSON, as JSON writes them."""
        written = {word: json.dumps(value)[1:-1] if data else value for word, value in self._values.items()}
        return HoldBack(_Restoring(written))

    def restored(self, text: str) -> str:
        """The whole text with its values."""
        return self.restoring().feed(text, final=True)

    def _word(self, kind: str, value: str) -> str:
        known = self._by_value.get((kind, value))
        return known if known is not None else self._new(kind, value)

    def _new(self, kind: str, value: str) -> str:
        label = _WORDS[kind]  # type: ignore[index]
        number = self._counts.get(label, 0) + 1
        while f"{label}_{number}" in self._used:
            number += 1
        self._counts[label] = number
        word = self._by_value[kind, value] = f"{label}_{number}"
        self._values[word] = value
        return word


class _Restoring:
    """Finds placeholders on a stream."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def scan(self, text: str, start: int, *, final: bool) -> Scanned:
        if not self._values:
            return Scanned((), len(text))
        seen = shadow(text)
        tail = None if final else _OPEN.search(seen, max(start, len(seen) - _LONGEST))
        certain = int(tail.start()) if tail else len(text)
        edits = []
        for match in _PLACEHOLDER.finditer(seen, start):
            value = self._values.get(match.group().decode())
            if value is not None and match.end() <= certain:
                edits.append(Edit(match.start(), match.end(), value))
        return Scanned(tuple(edits), certain)


def _words(text: str) -> list[str]:
    """What looks like a placeholder."""
    return [match.group().decode() for match in _PLACEHOLDER.finditer(shadow(text))]
