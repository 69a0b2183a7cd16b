"""Text in pieces goes in, safe text comes out. Pure.

A scanner says what of the text at hand is to be replaced, and up to where that is certain whatever comes next. What is not
certain is held back; what comes out does not depend on where the pieces were cut.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Protocol

BEHIND = 64  # code points of the text already let go that a scanner may look back at


@dataclass(frozen=True, slots=True)
class Edit:
    """`text[start:end]` becomes `replacement`. `category` says for what, and is empty where that is nobody's business;
    `stop` ends the answer in front of it."""

    start: int
    end: int
    replacement: str
    category: str = ""
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found, in order and without overlap, and up to where it is certain. No edit goes beyond that."""

    edits: tuple[Edit, ...]
    certain: int


class Scanner(Protocol):
    """Finds what is to be replaced."""

    def scan(self, text: str, start: int, *, final: bool) -> Scanned:
        """Looks at `text[start:]`; what stands before it, at most BEHIND of what was let go, may be looked back at. The next
        call begins where this one was certain. With `final` nothing comes behind the text, and all of it is certain."""
        ...


class HoldBack:
    """One scanner on one stream."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._text = ""  # what is held, and in front of it what may be looked back at
        self._start = 0  # of what is held, in `_text`
        self._taken = self._given = 0  # code points let go, as they came and as they left
        self._starts = [0]  # of pieces that were not shifted alike, as they came
        self._shifts = [0]
        self._insides: list[tuple[int, int]] = []  # edits, as they came
        self.categories: list[str] = []  # of all edits, in order
        self.stopped: str | None = None  # the category of what ended the stream

    @property
    def held(self) -> int:
        """How many code points are held back."""
        return len(self._text) - self._start

    @property
    def taken(self) -> int:
        """How many code points that came have been let go."""
        return self._taken

    def feed(self, piece: str, *, final: bool = False, pause: bool = False) -> str:
        """What may be let go now. With `final` that is all there is; `pause` promises that a blank comes next, or nothing."""
        if self.stopped is not None:
            return ""
        self._text += piece
        scanned = self._scan(final=final, pause=pause)
        out, at = [], self._start
        for edit in scanned.edits:
            out.append(self._text[at : edit.start])
            self._pass(edit.start - at, edit.start - at)
            at = edit.start
            if edit.category:
                self.categories.append(edit.category)
            if edit.stop:
                self.stopped = edit.category
                return "".join(out)
            out.append(edit.replacement)
            self._edited(edit)
            at = edit.end
        out.append(self._text[at : scanned.certain])
        self._pass(scanned.certain - at, scanned.certain - at)
        keep = max(scanned.certain - BEHIND, 0)
        self._text, self._start = self._text[keep:], scanned.certain - keep
        return "".join(out)

    def _scan(self, *, final: bool, pause: bool) -> Scanned:
        if not pause or final:
            return self._scanner.scan(self._text, self._start, final=final)
        scanned = self._scanner.scan(self._text + " ", self._start, final=False)
        end = len(self._text)
        edits = tuple(replace(edit, end=min(edit.end, end)) for edit in scanned.edits if edit.start <= end)
        return Scanned(edits, min(scanned.certain, end))

    def place(self, at: int) -> int:
        """Where what came at this offset has left; within what was replaced, behind the replacement. Only for what was let
        go."""
        nth = bisect_right(self._starts, at) - 1
        start = self._starts[nth]
        inside = bisect_right(self._insides, (at, -1)) - 1
        if inside >= 0 and self._insides[inside][0] < at < self._insides[inside][1]:
            at = self._insides[inside][1]
            nth = bisect_right(self._starts, at) - 1
        return min(max(at, start) + self._shifts[nth], self._given)

    def _pass(self, taken: int, given: int) -> None:
        self._taken += taken
        self._given += given

    def _edited(self, edit: Edit) -> None:
        length = edit.end - edit.start
        self._insides.append((self._taken, self._taken + length))
        self._pass(length, len(edit.replacement))
        self._starts.append(self._taken)
        self._shifts.append(self._given - self._taken)
