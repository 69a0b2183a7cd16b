"""From model text that arrives in pieces to sentences and the passages they cite. Pure: no clock, no I/O.

White space: what stands between two sentences leads the later one; what stands in front of a mark goes with the mark;
what ends the answer is dropped. Every other character comes out as it came in.
"""

import re
from collections import deque

from generation.marks import Mark, MarkScanner, Text
from generation.model import DraftSentence, DraftText
from ingest.sentences import sentence_spans

# A stop of which only what follows can tell whether it ends a sentence, and how much of that tells: see ingest.sentences.
_STOP = re.compile(r"[.!?…]++[\"'”’»)\]*_`]*+(?=\s|\Z)|[।॥؟۔。！？｡]++[」』”’）)]*+\s*+\Z")
_MAY_END = re.compile(r"[.!?…।॥؟۔。！？｡\n]")
_AHEAD = 40
_OPENING = frozenset("\"'“‘«([{*_`<¿¡")
# Behind so much undecided text more of this is only collected: no sentence is told by it, but by what follows.
_LONG = 256
_UNDECIDING = re.compile(r"[\s.!?…।॥؟۔。！？｡\"'”’»)\]*_`」』）“‘«(\[{<¿¡]*")
_BEHIND_STOP = frozenset(".!?…।॥؟۔。！？｡\"'”’»)]*_`」』）")
_BEHIND = 128  # characters of the finished text that its rules may look back at, and some more
_LIST_ITEM_BEGUN = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]?)?")
_HEADING = re.compile(r"#{1,6}[ \t][^\n]*")
_CLOSERS = " \t\n\"'”’)]*_`"


def asserts(text: str) -> bool:
    """Whether a sentence says something that a passage could carry. Not so, and never to be checked: questions,
    sentences that end in a colon and so only introduce, headings, code fences, and what holds no letter or digit."""
    text = text.strip()
    if text.startswith(("```", "~~~")) or _HEADING.fullmatch(text):
        return False
    if text.rstrip(_CLOSERS).endswith(("?", "？", ":", "：")):
        return False
    return any(char.isalnum() for char in text)


class Marks:
    """A streaming parser of model text. What it yields does not depend on where the pieces were cut, but for the cuts
    between neighbouring DraftTexts; half a mark is never released. Linear in the length of the text: what was released is
    not looked at again, and what cannot decide anything is not looked at twice."""

    def __init__(self, passages: int) -> None:
        """`passages`: how many the context has; marks with other numbers are removed and counted in `unknown`."""
        self._scanner = MarkScanner(passages)
        self.unknown = 0
        # Places are characters since the beginning of the answer.
        self._given: list[str] = []  # of the sentence we are in
        self._from = 0  # where the text begins that was not given
        self._text = ""
        self._shadow = ""
        self._before = ""  # the last of the shadow in front of it
        self._waiting: list[Text] = []  # behind it, with nothing in it that decides
        self._length = 0
        self._solid = _Solid()
        self._marks: deque[tuple[int, tuple[int, ...]]] = deque()  # the place that each belongs to, and what it names

    def feed(self, piece: str) -> list[DraftText | DraftSentence]:
        """What has become certain with this piece, in order."""
        self._note(self._scanner.feed(piece))
        if len(self._text) > _LONG and all(_UNDECIDING.fullmatch(text.shadow) for text in self._waiting[-1:]):
            return []
        self._gather()
        out: list[DraftText | DraftSentence] = []
        # What was given may have ended with a stop and nothing but white space behind it so far.
        if self._before[-1:] in _BEHIND_STOP or _MAY_END.search(self._shadow):
            certain = self._certain()
            out = self._finish([end for end in self._ends()[:-1] if end <= certain])
        return out + self._release()

    def close(self) -> list[DraftText | DraftSentence]:
        """The rest. Text that no sentence end closed becomes a sentence."""
        self._note(self._scanner.feed("", final=True))
        self._gather()
        ends = self._ends()
        if ends:  # marks behind the last character belong to the last sentence
            last = self._from + ends[-1] - 1
            self._marks = deque((min(at, last), numbers) for at, numbers in self._marks)
        return self._finish(ends)

    def _note(self, pieces: list[Text | Mark]) -> None:
        texts: list[Text] = []
        for piece in pieces:
            if isinstance(piece, Mark):
                self.unknown += piece.unknown
                self._marks.append((self._solid.anchor(self._length), piece.numbers))
            else:
                texts.append(piece)
                self._solid.note(piece.text, self._length)
                self._length += len(piece.text)
        if texts:
            self._waiting.append(Text("".join(t.text for t in texts), "".join(t.shadow for t in texts)))

    def _gather(self) -> None:
        self._text += "".join(text.text for text in self._waiting)
        self._shadow += "".join(text.shadow for text in self._waiting)
        self._waiting.clear()

    def _ends(self) -> list[int]:
        """Where sentences end in the text that was not given, as things stand; 0 is its beginning. The shadow hides the
        white space of code, so an end is looked for in the text."""
        skip, ends = len(self._before), list[int]()
        for start, end in sentence_spans(self._before + self._shadow):
            if end < skip:
                continue
            begin = max(start - skip, 0)
            length = len(self._text[begin : end - skip].rstrip())
            if length or (start < skip and self._given):
                ends.append(begin + length)
        return ends

    def _certain(self) -> int:
        """Up to where no later text can change what is a sentence."""
        for stop in _STOP.finditer(self._shadow):
            if not _is_decided(self._shadow, stop):
                return stop.start()
        return len(self._shadow)

    def _finish(self, ends: list[int]) -> list[DraftText | DraftSentence]:
        """The sentences that end there."""
        out: list[DraftText | DraftSentence] = []
        done = 0
        for end in ends:
            rest = self._text[done:end]
            if rest:
                out.append(DraftText(rest))
            text = "".join([*self._given, rest]).lstrip()
            cited = self._cited(self._from + end)
            out.append(DraftSentence(text, cited, check_required=bool(cited) or asserts(text)))
            self._given, done = [], end
            self._solid.forget(self._from + end)
        self._pass(done)
        return out

    def _cited(self, end: int) -> tuple[int, ...]:
        """What the marks name that belong to characters in front of the end; they are used up."""
        named: list[int] = []
        while self._marks and self._marks[0][0] < end:
            named += self._marks.popleft()[1]
        return tuple(dict.fromkeys(named))

    def _release(self) -> list[DraftText | DraftSentence]:
        """Text that certainly belongs to the sentence we are in."""
        end = self._certain()
        line = self._shadow.rfind("\n")
        if line >= 0 and _LIST_ITEM_BEGUN.fullmatch(self._shadow, line + 1):
            end = min(end, line)
        text = self._text[:end].rstrip()
        self._pass(len(text))
        if not text:
            return []
        self._given.append(text)
        return [DraftText(text)]

    def _pass(self, end: int) -> None:
        self._from += end
        self._before = (self._before + self._shadow[:end])[-_BEHIND:]
        self._text, self._shadow = self._text[end:], self._shadow[end:]


class _Solid:
    """The last character that is no white space of the sentence we are in, and whether a line ended behind it."""

    def __init__(self) -> None:
        self._at = -1
        self._begun = 0
        self._line_ended = False

    def note(self, text: str, at: int) -> None:
        """Text came, at a place."""
        head = text.rstrip()
        if head:
            self._at, self._line_ended = at + len(head) - 1, False
        self._line_ended = self._line_ended or "\n" in text[len(head) :]

    def forget(self, end: int) -> None:
        """A sentence has ended there."""
        self._begun = end

    def anchor(self, length: int) -> int:
        """The place that a mark belongs to: the character before it on the line, else the next to come."""
        return self._at if self._at >= self._begun and not self._line_ended else length


def _is_decided(text: str, stop: re.Match[str]) -> bool:
    """Whether enough has come behind the stop: the first letter, and behind a full stop the whole first word."""
    rest = text[stop.end() : stop.end() + _AHEAD]
    if len(rest) == _AHEAD:
        return True
    if all(char.isspace() or char in _OPENING for char in rest):
        return False
    return stop.group() != "." or len(rest.split(maxsplit=1)) > 1 or rest[-1].isspace()
