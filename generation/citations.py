"""From model text that arrives in pieces to sentences and the passages they cite. Pure: no clock, no I/O.

White space: what stands between two sentences leads the later one; what stands in front of a mark goes with the mark;
what ends the answer is dropped. Every other character comes out as it came in.
"""

import re

from generation.marks import Mark, MarkScanner, Text
from generation.model import DraftSentence, DraftText
from ingest.sentences import sentence_spans

# Text that may turn out to stand behind a sentence's end is made of these and white space: what can open a sentence, and
# what can be the beginning of a list item. It is held back until the next character decides.
_UNDECIDED = "\"'“‘([-*+•0123456789.)"
_STOPPERS = re.compile(r"[.!?…。！？\n]")
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
    between neighbouring DraftTexts; half a mark is never released."""

    def __init__(self, passages: int) -> None:
        """`passages`: how many the context has; marks with other numbers are removed and counted in `unknown`."""
        self._scanner = MarkScanner(passages)
        self.unknown = 0
        self._text = ""  # since the end of the last sentence
        self._shadow = ""
        self._released = 0
        self._marks: list[tuple[int, tuple[int, ...]]] = []  # where in _text, and what they name

    def feed(self, piece: str) -> list[DraftText | DraftSentence]:
        """What has become certain with this piece, in order."""
        return self._take(self._scanner.feed(piece))

    def close(self) -> list[DraftText | DraftSentence]:
        """The rest. Text that no sentence end closed becomes a sentence."""
        out = self._take(self._scanner.feed("", final=True))
        for start, end in sentence_spans(self._shadow)[:1]:
            self._marks = [(start, numbers) for _, numbers in self._marks]
            out += self._finish(start, end)
        return out

    def _take(self, pieces: list[Text | Mark]) -> list[DraftText | DraftSentence]:
        out: list[DraftText | DraftSentence] = []
        for piece in pieces:
            if isinstance(piece, Mark):
                self.unknown += piece.unknown
                self._marks.append((self._anchor(), piece.numbers))
            else:
                self._text += piece.text
                self._shadow += piece.shadow
                out += self._sentences()
        return out + self._release()

    def _anchor(self) -> int:
        """The character a mark belongs to: the one before it on the line, else the next to come."""
        head = self._text.rstrip()
        behind = head and "\n" not in self._text[len(head) :]
        return len(head) - 1 if behind else len(self._text)

    def _sentences(self) -> list[DraftText | DraftSentence]:
        """Those that are certain: a first sentence is, once the second has begun."""
        out: list[DraftText | DraftSentence] = []
        while _STOPPERS.search(self._shadow):
            spans = sentence_spans(self._shadow)
            if len(spans) < 2:
                break
            out += self._finish(*spans[0])
        return out

    def _finish(self, start: int, end: int) -> list[DraftText | DraftSentence]:
        out: list[DraftText | DraftSentence] = []
        if self._released < end:
            out.append(DraftText(self._text[self._released : end]))
        text = self._text[start:end]
        numbers = (n for at, named in self._marks if at < end for n in named)
        cited = tuple(dict.fromkeys(numbers))
        out.append(DraftSentence(text, cited, check_required=bool(cited) or asserts(text)))
        self._marks = [(at - end, named) for at, named in self._marks if at >= end]
        self._text, self._shadow, self._released = self._text[end:], self._shadow[end:], 0
        return out

    def _release(self) -> list[DraftText | DraftSentence]:
        end = len(self._text)
        while end > self._released and (self._shadow[end - 1].isspace() or self._shadow[end - 1] in _UNDECIDED):
            end -= 1
        if end == self._released:
            return []
        text, self._released = self._text[self._released : end], end
        return [DraftText(text)]
