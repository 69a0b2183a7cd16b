"""Finds citation marks in model text that arrives in pieces, and tells prose from code.

A mark is a bracket that holds nothing but passage numbers: `[1]`, `[1, 2]`, `[1-3]`, `【1】`. Four digits are a year, a
bracket directly before `(` is a Markdown link, and inside code nothing is a mark. The spaces in front of a mark go with
it, unless a word follows directly. An inline code span ends at the end of its line at the latest, since a stray backtick
must not hide the marks of all that follows.
"""

import re
from dataclasses import dataclass
from typing import Literal

# Stands for code in `shadow`: no letter, no space, no stop, so that no sentence ends inside it.
_CODE = "\ue000"
_BLANK = " \t\u00a0\u202f"  # what may stand in front of a mark and goes with it
_LONGEST = 60  # characters inside a bracket; a longer list is no mark, and bounds what is held back
_INNER = r"[0-9 ,;，、–—‑-]"
_SHAPE = rf"[\[【]{_INNER}{{1,{_LONGEST}}}[\]】]"
_NUMBERS = r"\s*\d{1,3}(?:\s*[-–—‑,;，、]\s*\d{1,3})*\s*"
_MARK = re.compile(rf"[\[【]{_NUMBERS}[\]】](?!\()")
_RUN = re.compile(rf"([{_BLANK}]*)((?:(?={_SHAPE})[\[【]{_NUMBERS}[\]】](?!\())+)")
_HALF = re.compile(rf"[{_BLANK}]*(?:[\[【]{_INNER}{{0,{_LONGEST}}})?")
_PART = re.compile(r"(\d+)(?:\s*[-–—‑]\s*(\d+))?")
_BLANKS = re.compile(rf"[{_BLANK}]*")
_MOST_BLANKS = 64  # in front of a mark, that go with it; more are text, which bounds what is held back
_PROSE = re.compile(r"[^\s\[【`~]+")
_TICKS = re.compile(r"`+|~+")
_CODE_TEXT = re.compile(r"[^`\n]+")
_FENCE_END = re.compile(r"[ \t]*(`+|~+)[ \t]*(?=\n|\Z)")
_FENCE_END_HALF = re.compile(r"[ \t]*(?:`*|~*)[ \t]*")
_LONG = 256
_RUNS_ON = re.compile(r"[`~ \t]*")
_LINE = re.compile(r"[^\n]*\n?")


@dataclass(frozen=True, slots=True)
class Text:
    """Text without marks. `shadow` is as long, with code blotted out so that sentence rules do not see into it."""

    text: str
    shadow: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One or more marks in a row: the passages they name, and how many of their parts named none."""

    numbers: tuple[int, ...]
    unknown: int


class MarkScanner:
    """Turns pieces of model text into Texts and Marks. What it yields does not depend on where the pieces were cut."""

    def __init__(self, passages: int) -> None:
        """`passages`: how many there are; a number above it is unknown."""
        self._passages = passages
        self._raw = ""
        self._held: list[str] = []  # behind it, of a run that goes on
        self._mode: Literal["prose", "inline", "info", "fence"] = "prose"
        self._fence = ""  # the run of ticks that opened the code we are in
        self._line_start = True
        self._out: list[Text | Mark] = []

    def feed(self, piece: str, *, final: bool = False) -> list[Text | Mark]:
        """What has become certain with this piece; with `final`, everything."""
        if len(self._raw) > _LONG and not final and _RUNS_ON.fullmatch(piece):
            self._held.append(piece)  # to look at all of it again would take time that grows with its square
            return []
        self._raw = "".join([self._raw, *self._held, piece])
        self._held.clear()
        at = 0
        while at < len(self._raw):
            step = {"prose": self._prose, "inline": self._inline, "info": self._info, "fence": self._body}[self._mode]
            moved = step(at, final)
            if moved is None:
                break
            at = moved
        self._raw = self._raw[at:]
        out, self._out = self._out, []
        return out

    def _emit(self, text: str, shadow: str) -> None:
        self._out.append(Text(text, shadow))
        self._line_start = text.endswith("\n") or (self._line_start and not text.strip(" \t"))

    def _prose(self, at: int, final: bool) -> int | None:
        if match := _PROSE.match(self._raw, at):
            self._emit(match.group(), match.group())
            return match.end()
        if match := _TICKS.match(self._raw, at):
            return self._ticks(match, final)
        if self._raw[at] in _BLANK + "[【":
            return self._bracket(at, final)
        self._emit(self._raw[at], self._raw[at])
        return at + 1

    def _bracket(self, at: int, final: bool) -> int | None:
        blanks = _BLANKS.match(self._raw, at)
        assert blanks is not None
        if (more := blanks.end() - _MOST_BLANKS) > at:
            self._emit(self._raw[at:more], self._raw[at:more])
            return more
        run = _RUN.match(self._raw, at)
        end = run.end() if run else at
        if not final and _HALF.fullmatch(self._raw, end):
            return None  # it may still become a mark, one more mark, or a link
        if run is None:
            return self._literal(at, blanks.end())
        lead, marks = run.groups()
        if lead and self._raw[end : end + 1].isalnum():
            self._emit(lead, lead)
        self._out.append(self._mark(marks))
        return end

    def _literal(self, at: int, end: int) -> int:
        end += self._raw[end : end + 1] in ("[", "【")
        self._emit(self._raw[at:end], self._raw[at:end])
        return end

    def _mark(self, marks: str) -> Mark:
        numbers: list[int] = []
        unknown = 0
        for part in (part for mark in _MARK.findall(marks) for part in _PART.findall(mark)):
            first, last = int(part[0]), int(part[1] or part[0])
            numbers += range(max(first, 1), min(last, self._passages) + 1)
            unknown += not 1 <= first <= last <= self._passages
        return Mark(tuple(dict.fromkeys(numbers)), unknown)

    def _ticks(self, match: re.Match[str], final: bool) -> int | None:
        if match.end() == len(self._raw) and not final:
            return None
        ticks = match.group()
        if self._line_start and len(ticks) >= 3:
            # The shadow begins like a list item: the sentence before a fence ends there.
            self._open("info", ticks, "- " + _CODE * (len(ticks) - 2))
        elif ticks[0] == "`":
            self._open("inline", ticks, "`" + _CODE * (len(ticks) - 1))
        else:
            self._emit(ticks, ticks)
        return match.end()

    def _open(self, mode: Literal["inline", "info"], ticks: str, shadow: str) -> None:
        self._mode, self._fence = mode, ticks
        self._emit(ticks, shadow)

    def _inline(self, at: int, final: bool) -> int | None:
        if self._raw[at] == "\n":
            self._mode = "prose"
            return at
        if match := _CODE_TEXT.match(self._raw, at):
            return self._blot(match)
        match = _TICKS.match(self._raw, at)
        assert match is not None
        if match.end() == len(self._raw) and not final:
            return None
        if match.group() == self._fence:
            self._mode = "prose"
        return self._blot(match)

    def _info(self, at: int, final: bool) -> int | None:
        """The rest of the line that opens a fence. A backtick in it means that this was an inline span after all."""
        del final
        if match := _CODE_TEXT.match(self._raw, at):
            return self._blot(match)
        if self._raw[at] == "`" and self._fence[0] == "`":
            self._mode = "inline"
            return at
        if self._raw[at] == "\n":
            self._mode = "fence"
        self._emit(self._raw[at], _CODE)
        return at + 1

    def _body(self, at: int, final: bool) -> int | None:
        if self._line_start:
            if not final and _FENCE_END_HALF.fullmatch(self._raw, at):
                return None
            match = _FENCE_END.match(self._raw, at)
            if match and match.group(1)[0] == self._fence[0] and len(match.group(1)) >= len(self._fence):
                # The shadow ends like a CJK sentence: whatever follows a fence is a new one.
                self._emit(match.group(), _CODE * (len(match.group()) - 1) + "。")
                self._mode = "prose"
                return match.end()
        line = _LINE.match(self._raw, at)
        assert line is not None
        return self._blot(line)

    def _blot(self, match: re.Match[str]) -> int:
        self._emit(match.group(), _CODE * len(match.group()))
        return match.end()
