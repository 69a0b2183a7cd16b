"""Phrases that the operator does not want said. Pure.

A phrase is found as whole words, in any case and with anything but letters between its words.
"""

from collections.abc import Iterable
from typing import Literal

from generation.filters.folding import folded, placed
from generation.filters.hold_back import Edit, Scanned

POLICY = "policy"


class PhraseScanner:
    """Finds phrases on a stream."""

    def __init__(self, phrases: Iterable[str], action: Literal["mask", "block"] = "mask") -> None:
        """Phrases without a letter are left out."""
        self._phrases = sorted({letters for phrase in phrases if (letters := folded(phrase))}, key=len, reverse=True)
        self._stop = action == "block"

    def scan(self, text: str, start: int, *, final: bool) -> Scanned:
        if not self._phrases:
            return Scanned((), len(text))
        letters = placed(text, start)
        row = "".join(letter for letter, _ in letters)
        places = [at for _, at in letters]
        edits: list[Edit] = []
        at = 0
        while at < len(row):
            here = places[at]
            if not self._begins(text, here, at and places[at - 1]):
                at += 1
                continue
            found = self._found(text, row, places, at, final=final)
            if found is None:
                return Scanned(tuple(edits), here)
            if found:
                edits.append(Edit(here, places[at + found - 1] + 1, "…", POLICY, stop=self._stop))
                if self._stop:
                    return Scanned(tuple(edits), edits[-1].end)
            at += found or 1
        return Scanned(tuple(edits), len(text))

    def _begins(self, text: str, here: int, before: int) -> bool:
        """Whether a word begins here: no letter stands in front, and it is not the second letter of one character."""
        return before != here and (not here or not text[here - 1].isalnum())

    def _found(self, text: str, row: str, places: list[int], at: int, *, final: bool) -> int | None:
        """How many letters of the longest phrase begin here, 0 for none; None where more text may make one."""
        open_ = False
        for phrase in self._phrases:
            if row.startswith(phrase, at):
                end = places[at + len(phrase) - 1] + 1
                if end < len(text) or final:
                    if end == len(text) or not text[end].isalnum():
                        return None if open_ else len(phrase)
                else:
                    open_ = True
            elif not final and phrase.startswith(row[at:]):
                open_ = True
        return None if open_ else 0
