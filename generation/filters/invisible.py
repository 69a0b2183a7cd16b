"""Characters that people cannot see: they could cut a card number in two, or carry a message. Pure.

The same that ingest takes out of documents; see `ingest.readers.text.clean`.
"""

import re
from typing import Final

from generation.filters.hold_back import Edit, Scanned

# Controls, soft hyphen, zero width, bidi marks and overrides, invisible operators, interlinear annotation, byte order mark,
# surrogates, noncharacters, tag characters and the variation selectors that can carry hidden bytes.
_RANGES: Final = (
    (0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160),
    (0x17B4, 0x17B5), (0x180E, 0x180E), (0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0xFFFE, 0xFFFF), (0xD800, 0xDFFF), (0xE0000, 0xE01EF),
)  # fmt: skip
_INVISIBLE: Final = frozenset(chr(code) for first, last in _RANGES for code in range(first, last + 1))
# They belong to the spelling of Persian, Indic scripts and emoji: kept between two such characters only.
_LINE_ENDS: Final = frozenset("\r\x0b\x0c\x85\u2028\u2029")
_JOINERS: Final = frozenset("\u200c\u200d")
# Whole documents are looked at when they are ingested, and next to none of their characters are of these.
_SIGNS: Final = "\u200c\u200d" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _RANGES)
_PERHAPS: Final = re.compile("[" + _SIGNS + "]")
_PERHAPS_OF_PROSE: Final = re.compile("[" + "".join(sorted(_LINE_ENDS)) + _SIGNS + "]")


class InvisibleScanner:
    """Takes invisible characters away, and of prose every way to end a line but one: renderers do not agree on the others."""

    def __init__(self, *, prose: bool = True) -> None:
        self._prose = prose
        self._perhaps = _PERHAPS_OF_PROSE if prose else _PERHAPS

    def scan(self, text: str, start: int, *, final: bool) -> Scanned:
        end = len(text)
        while not final and end > start and (text[end - 1] in _JOINERS or (self._prose and text[end - 1] == "\r")):
            end -= 1
        found = (match.start() for match in self._perhaps.finditer(text, start, end))
        edits = [edit for at in found if (edit := self._edit(text, at)) is not None]
        return Scanned(tuple(edits), end)

    def _edit(self, text: str, at: int) -> Edit | None:
        if self._prose and text[at] in _LINE_ENDS:
            return Edit(at, at + 1, "" if text[at : at + 2] == "\r\n" else "\n")
        return Edit(at, at + 1, "") if is_hidden(text, at) else None


def is_hidden(text: str, at: int) -> bool:
    """Whether nobody sees this character of the text."""
    char = text[at]
    if char in _JOINERS:
        return not (_joined(text[at - 1 : at]) and _joined(text[at + 1 : at + 2]))
    return char in _INVISIBLE


def hidden_in(text: str) -> int:
    """How many characters of the text nobody sees."""
    return sum(is_hidden(text, found.start()) for found in _PERHAPS.finditer(text))


def without_invisible(text: str) -> str:
    """The text as people see it."""
    return _PERHAPS.sub(lambda found: "" if is_hidden(text, found.start()) else found[0], text)


def _joined(char: str) -> bool:
    return bool(char) and not char.isascii() and char not in _JOINERS and char not in _INVISIBLE
