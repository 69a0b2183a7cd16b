"""The numbers that Word shows in front of headings and items: they stand in no text, but people refer to them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree  # type: ignore[import-untyped]  # its stubs are a package of their own

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_PLACE = re.compile(r"%([1-9])")
_ROMAN: tuple[tuple[int, str], ...] = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_LEVELS = 9
_LONGEST = 60  # characters of a pattern
_HIGHEST = 9999  # beyond it letters and Roman numbers are no help


@dataclass(frozen=True, slots=True)
class _Level:
    """How one level is shown: its alphabet, its pattern with `%1` for the number of the outermost level, its first."""

    alphabet: str = "decimal"
    pattern: str = ""
    first: int = 1


@dataclass(slots=True)
class _Scheme:
    """The levels of a list and how far each has been counted; lists that share a scheme go on counting."""

    levels: dict[int, _Level] = field(default_factory=dict)
    counted: dict[int, int] = field(default_factory=dict)

    def mark(self, level: int) -> str:
        """Count one more of this level; its mark, `-` for a bullet, empty where nothing is shown."""
        shown = self.levels.get(level, _Level())
        self.counted[level] = self.counted.get(level, shown.first - 1) + 1
        for deeper in [known for known in self.counted if known > level]:
            del self.counted[deeper]
        if shown.alphabet == "bullet":
            return "-"
        return "" if shown.alphabet == "none" else _PLACE.sub(self._number, shown.pattern).strip()

    def _number(self, place: re.Match[str]) -> str:
        level = int(place.group(1)) - 1
        shown = self.levels.get(level, _Level())
        return _spelled(self.counted.get(level, shown.first), shown.alphabet)


class Numbering:
    """The schemes of a document, by the id that its paragraphs use."""

    def __init__(self, root: etree._Element | None) -> None:
        self._schemes: dict[str, _Scheme] = {}
        self._overrides: dict[str, dict[int, int]] = {}
        abstract = {_value(found, "abstractNumId"): _scheme(found) for found in _all(root, "abstractNum")}
        for number in _all(root, "num"):
            key, base = _value(number, "numId"), number.find(f"{_W}abstractNumId")
            scheme = abstract.get(_value(base, "val"))
            if scheme is not None:
                self._schemes[key] = scheme
                self._overrides[key] = dict(_starts(number))

    def mark(self, number: str, level: int) -> str:
        """What stands in front of the next paragraph of this list and level; `-` for a list that is not known."""
        scheme = self._schemes.get(number)
        if scheme is None or not 0 <= level < _LEVELS:
            return "-"
        for restarted, first in self._overrides.pop(number, {}).items():
            scheme.counted[restarted] = first - 1
        return scheme.mark(level)


def _all(root: etree._Element | None, kind: str) -> Iterator[etree._Element]:
    return iter(()) if root is None else root.iterchildren(f"{_W}{kind}")


def _value(element: etree._Element | None, attribute: str) -> str:
    return "" if element is None else str(element.get(f"{_W}{attribute}", ""))


def _whole(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else otherwise


def _scheme(abstract: etree._Element) -> _Scheme:
    scheme = _Scheme()
    for level in _all(abstract, "lvl"):
        said = {kind: _value(level.find(f"{_W}{kind}"), "val") for kind in ("numFmt", "lvlText", "start")}
        shown = _Level(said["numFmt"] or "decimal", said["lvlText"][:_LONGEST], _whole(said["start"], 1))
        scheme.levels[_whole(_value(level, "ilvl"), 0)] = shown
    return scheme


def _starts(number: etree._Element) -> Iterator[tuple[int, int]]:
    for override in _all(number, "lvlOverride"):
        start = override.find(f"{_W}startOverride")
        if start is not None:
            yield _whole(_value(override, "ilvl"), 0), _whole(_value(start, "val"), 1)


def _spelled(number: int, alphabet: str) -> str:
    if not 0 < number <= _HIGHEST:
        return str(number)
    match alphabet:
        case "lowerLetter" | "upperLetter":
            spelled = _lettered(number)
        case "lowerRoman" | "upperRoman":
            spelled = _roman(number)
        case "decimalZero":
            spelled = f"{number:02}"
        case _:
            spelled = str(number)
    return spelled.upper() if alphabet.startswith("upper") else spelled


def _lettered(number: int) -> str:
    """As Word counts: from a to z, then from aa to zz."""
    times, letter = divmod(number - 1, 26)
    return chr(ord("a") + letter) * min(times + 1, 8)


def _roman(number: int) -> str:
    parts = []
    for value, letters in _ROMAN:
        times, number = divmod(number, value)
        parts.append(letters * times)
    return "".join(parts)
