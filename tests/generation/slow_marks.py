"""The parser of model text as it was first written: it looks at the whole sentence again with every piece. Slow and plain,
so that the fast one can be compared with it."""

import re

from generation.citations import asserts
from generation.marks import Mark, MarkScanner, Text
from generation.model import DraftSentence, DraftText
from ingest.sentences import sentence_spans

# A stop of which only what follows can tell whether it ends a sentence, and how much of that tells: see ingest.sentences.
_STOP = re.compile(r"[.!?…]++[\"'”’»)\]*_`]*+(?=\s|\Z)|[।॥؟۔。！？｡]++[」』”’）)]*+\s*+\Z")
_MAY_END = re.compile(r"[.!?…।॥؟۔。！？｡\n]")
_AHEAD = 40
_OPENING = frozenset("\"'“‘«([{*_`<¿¡")
_BEHIND = 128  # characters of the finished text that its rules may look back at, and some more
_LIST_ITEM_BEGUN = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]?)?")


class SlowMarks:
    """A streaming parser of model text. What it yields does not depend on where the pieces were cut, but for the cuts
    between neighbouring DraftTexts; half a mark is never released."""

    def __init__(self, passages: int) -> None:
        """`passages`: how many the context has; marks with other numbers are removed and counted in `unknown`."""
        self._scanner = MarkScanner(passages)
        self.unknown = 0
        self._before = ""  # the shadow of the last finished sentences
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
        spans, done = self._spans(), 0
        for start, end in spans:
            if (start, end) == spans[-1]:
                self._marks = [(min(at, start - done), numbers) for at, numbers in self._marks]
            out += self._finish(start - done, end - done)
            done = end
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
        if _MAY_END.search(self._shadow, self._released):
            certain, done = self._certain(), 0
            for start, end in self._spans()[:-1]:
                if end <= certain:
                    out += self._finish(start - done, end - done)
                    done = end
        return out + self._release()

    def _anchor(self) -> int:
        """The character a mark belongs to: the one before it on the line, else the next to come."""
        head = self._text.rstrip()
        behind = head and "\n" not in self._text[len(head) :]
        return len(head) - 1 if behind else len(self._text)

    def _spans(self) -> list[tuple[int, int]]:
        """Of the sentences since the last finished one, as things stand. The shadow hides the white space of code, so an
        end is looked for in the text."""
        skip = len(self._before)
        spans = [(max(start - skip, 0), end - skip) for start, end in sentence_spans(self._before + self._shadow)]
        trimmed = [(start, start + len(self._text[start:end].rstrip())) for start, end in spans if end > 0]
        return [(start, end) for start, end in trimmed if start < end]

    def _certain(self) -> int:
        """Up to where no later text can change what is a sentence."""
        for stop in _STOP.finditer(self._shadow, self._released):
            if not _is_decided(self._shadow, stop):
                return stop.start()
        return len(self._shadow)

    def _finish(self, start: int, end: int) -> list[DraftText | DraftSentence]:
        out: list[DraftText | DraftSentence] = []
        if self._released < end:
            out.append(DraftText(self._text[self._released : end]))
        text = self._text[start:end]
        cited = tuple(dict.fromkeys(n for at, named in self._marks if at < end for n in named))
        out.append(DraftSentence(text, cited, check_required=bool(cited) or asserts(text)))
        self._marks = [(at - end, named) for at, named in self._marks if at >= end]
        self._before = (self._before + self._shadow[:end])[-_BEHIND:]
        self._text, self._shadow, self._released = self._text[end:], self._shadow[end:], 0
        return out

    def _release(self) -> list[DraftText | DraftSentence]:
        """Text that certainly belongs to the sentence we are in."""
        end = self._certain()
        line = self._shadow.rfind("\n", self._released)
        if line >= 0 and _LIST_ITEM_BEGUN.fullmatch(self._shadow, line + 1):
            end = min(end, line)
        end = self._released + len(self._text[self._released : end].rstrip())
        text, self._released = self._text[self._released : end], end
        return [DraftText(text)] if text else []


def _is_decided(text: str, stop: re.Match[str]) -> bool:
    """Whether enough has come behind the stop: the first letter, and behind a full stop the whole first word."""
    rest = text[stop.end() : stop.end() + _AHEAD]
    if len(rest) == _AHEAD:
        return True
    if all(char.isspace() or char in _OPENING for char in rest):
        return False
    return stop.group() != "." or len(rest.split(maxsplit=1)) > 1 or rest[-1].isspace()
