"""The text of one page of a PDF as lines that know where they stand, and what of them is no text of the document."""

import ctypes
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

Box = tuple[float, float, float, float]  # left, bottom, right, top

UNITS = ("$", "€", "£", "¥")
_NOWHERE = (0.0, 0.0, 0.0, 0.0)
_LINE = re.compile(r"[^\r\n]+")
_WORDS = re.compile(r"[^\s]+")
_HYPHEN = re.compile("([^\\W\\d_]+)[\ufffe\x02]\\s*([^\\W\\d_]+)")  # how pdfium marks a hyphen at the end of a line
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_DIGITS = re.compile(r"\d+")
_WIDE = 0.85  # heights of a line; words of one sentence are hardly ever set so far apart
_SAME = 0.2  # heights by which two halves of a line may stand apart


@dataclass(frozen=True, slots=True)
class Cell:
    """A run of words with no wide gap in it."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands on the page. More than one cell: something is set in columns."""

    cells: tuple[Cell, ...]

    @property
    def text(self) -> str:
        return " ".join(cell.text for cell in self.cells)

    @property
    def box(self) -> Box:
        return around(cell.box for cell in self.cells)


def around(boxes: Iterable[Box]) -> Box:
    """The smallest box around these, of which there is at least one."""
    left, bottom, right, top = zip(*boxes, strict=True)
    return min(left), min(bottom), max(right), max(top)


def lines_of(page: pdfium.PdfPage) -> list[Line]:
    """Lines that have something on them, in the order in which pdfium reads them."""
    textpage = page.get_textpage()
    try:
        text: str = textpage.get_text_range()
        places = _Places(textpage, text)
        found = (places.line(text, *found.span()) for found in _LINE.finditer(text))
        return list(_whole(line for line in found if line is not None))
    finally:
        textpage.close()


def _whole(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines that pdfium tells as two where a wide gap is in them."""
    last: Line | None = None
    for line in lines:
        if last is not None and _goes_on(last.cells[-1].box, line.cells[0].box):
            last = Line((*last.cells, *line.cells))
            continue
        if last is not None:
            yield last
        last = line
    if last is not None:
        yield last


def _goes_on(before: Box, box: Box) -> bool:
    """Whether a box stands to the right of another, at the same height."""
    height = min(before[3] - before[1], box[3] - box[1])
    same = abs(before[1] + before[3] - box[1] - box[3]) / 2 < _SAME * height
    return same and box[0] >= before[2]


class _Places:
    """Where each character of a page's text stands."""

    def __init__(self, textpage: pdfium.PdfTextPage, text: str) -> None:
        self._raw = textpage.raw
        self._shifted = textpage.count_chars() != len(text)  # pdfium leaves some characters out of the text
        self._rect = pdfium_c.FS_RECTF()
        self._reference = ctypes.byref(self._rect)

    def line(self, text: str, start: int, end: int) -> Line | None:
        """The words from start to end, cut where a wide gap is, and in front of a currency that stands alone."""
        cells: list[Cell] = []
        words: list[str] = []
        boxes: list[Box] = []
        for found in _WORDS.finditer(text, start, end):
            box = self._box(found.start(), found.end())
            if words and (found[0] in UNITS or _apart(boxes[-1], box)):
                cells.append(Cell(" ".join(words), around(boxes)))
                words, boxes = [], []
            words.append(found[0])
            boxes.append(box)
        if words:
            cells.append(Cell(" ".join(words), around(boxes)))
        return Line(tuple(cells)) if cells else None

    def _box(self, start: int, end: int) -> Box:
        """Around the first and the last character of a word."""
        left, bottom, right, top = self._character(start)
        if end - start > 1:
            other = self._character(end - 1)
            return min(left, other[0]), min(bottom, other[1]), max(right, other[2]), max(top, other[3])
        return left, bottom, right, top

    def _character(self, at: int) -> Box:
        index = pdfium_c.FPDFText_GetCharIndexFromTextIndex(self._raw, at) if self._shifted else at
        if index < 0 or not pdfium_c.FPDFText_GetLooseCharBox(self._raw, index, self._reference):
            return _NOWHERE
        rect = self._rect
        return rect.left, rect.bottom, rect.right, rect.top


def _apart(before: Box, box: Box) -> bool:
    """Whether so much room lies between two characters that they belong to different columns. A word that goes on in
    the next line, which pdfium tells as one, does not."""
    if min(before[3], box[3]) <= max(before[1], box[1]):
        return False
    return max(box[0] - before[2], before[0] - box[2]) > _WIDE * min(before[3] - before[1], box[3] - box[1])


def without_running_lines(pages: Sequence[list[Line]]) -> list[list[Line]]:
    """Page numbers and running titles are no text: a first or last line that most pages share, digits apart."""
    seen: Counter[str] = Counter()
    for lines in pages:
        seen.update({_shape(line) for line in (*lines[:1], *lines[-1:])})
    often = {shape for shape, times in seen.items() if times >= 4 and times * 2 > len(pages)}
    return [_without_edges(lines, often) for lines in pages]


def _shape(line: Line) -> str:
    return _DIGITS.sub("0", line.text)[:120]


def _without_edges(lines: list[Line], often: set[str]) -> list[Line]:
    edges = {0, len(lines) - 1}
    return [line for number, line in enumerate(lines) if number not in edges or _shape(line) not in often]


class Joiner:
    """Puts words back together that a line break divided, but only where the document itself says it is one word."""

    def __init__(self, pages: Sequence[list[Line]]) -> None:
        self._words = {word.lower() for lines in pages for line in lines for word in _WORD.findall(line.text)}

    def line(self, line: Line) -> Line:
        """The line with its words whole."""
        return Line(tuple(replace(cell, text=self.text(cell.text)) for cell in line.cells))

    def text(self, text: str) -> str:
        """The text with its words whole and its hyphens as such."""
        joined = _HYPHEN.sub(lambda found: self._joined(found.group(1), found.group(2)), text)
        return joined.replace("\ufffe", "-").replace("\x02", "-")

    def _joined(self, left: str, right: str) -> str:
        """The whole word stands elsewhere; or the left half never stands alone, nor does the word with its hyphen."""
        whole, hyphened = (left + right).lower(), f"{left}-{right}".lower()
        if whole in self._words and hyphened not in self._words:
            return left + right
        return f"{left}-{right}"
