"""Tables of a PDF, which knows of none: lines of figures that stand below one another, and the heads above them.

Heads of several lines become one, `Three Months Ended June 25, 2022 | ...`, which is told again every few rows, so that
no part of a table is without it. Rows stay short, `Net sales | $ 82,959 | $ 81,434`: with the names of the columns in
each of them a chunk held so few that search found fewer of the figures that people ask for.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ingest.readers.pdf_page import UNITS, Box, Cell, Line, around
from ingest.readers.tables import is_value

_ENDS = ("%", ")", ")%", "%)")
_NOTHING = ("n/a", "N/A", "NM")
_FIGURE = re.compile(r"[$€£¥()%+\-–—.,\d ]{1,40}$")
_REMARK = re.compile(r"\(.*\)$")  # `(In millions)` is no name
_MOST_HEAD_LINES = 40  # each cell of a head may be a line of its own
_MOST_LABELS = 3  # lines such as `Cost of sales:` between a head and its first row
_LONGEST_LABEL = 120  # characters
_AGAIN = 10  # rows after which the heads are told again: about what a chunk holds
_CENTRED = 0.2  # of the width of its columns that a head may stand aside
_SLACK = 4.0  # points by which a head may stand out over its columns


Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: its text as it is stored, and where it stands."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class _Heads:
    """Where the columns of figures stand, and the line that says what they are, where it is known."""

    spans: tuple[Span, ...] = ()
    line: Row | None = None

    def are_over(self, spans: Sequence[Span]) -> bool:
        """Whether these are the same columns, as in a table that a line of text interrupts."""
        return len(spans) == len(self.spans) and all(
            own[0] - _SLACK < right and left < own[1] + _SLACK
            for own, (left, right) in zip(self.spans, spans, strict=True)
        )


def parts(lines: Sequence[Line]) -> Iterator[Line | list[Row]]:
    """The lines of a page, with those that are tables as tables."""
    joined = [Line(tuple(_with_units(line.cells))) for line in lines]
    at = 0
    heads = _Heads()
    for first, last in _regions(joined):
        columns = _columns(joined[first:last])
        start = _head_start(joined, at, first, _left(columns))
        yield from lines[at:start]
        levels, labels = _head(joined[start:first], _left(columns), joined[first].box)
        if levels or not heads.are_over(columns):
            heads = _Heads(columns, _named(levels, columns))
        above = [heads.line] if heads.line is not None else list(map(_row, levels))
        yield [*above, *map(_row, labels), *_rows(joined[first:last], heads.line)]
        at = last
    yield from lines[at:]


def _rows(lines: Sequence[Line], heads: Row | None) -> Iterator[Row]:
    """The heads are told again behind a row, not within a label of two lines."""
    told = 0
    for number, line in enumerate(lines):
        if heads is not None and number - told >= _AGAIN and _is_row(lines[number - 1]):
            yield heads
            told = number
        yield _row(line)


def _row(line: Line) -> Row:
    return Row(" | ".join(cell.text for cell in line.cells), line.box)


def _with_units(cells: Sequence[Cell]) -> Iterator[Cell]:
    """A currency is one with its amount, and a sign with what it stands behind, however far apart they are set."""
    waiting: Cell | None = None
    for cell in cells:
        if waiting is not None and (waiting.text in UNITS or cell.text in _ENDS):
            gap = " " if waiting.text in UNITS else ""
            waiting = Cell(f"{waiting.text}{gap}{cell.text}", around((waiting.box, cell.box)))
        else:
            if waiting is not None:
                yield waiting
            waiting = cell
    if waiting is not None:
        yield waiting


def _is_figure(cell: Cell) -> bool:
    return bool(_FIGURE.match(cell.text)) or is_value(cell.text) or cell.text in _NOTHING


def _figures(line: Line) -> list[Cell]:
    """The figures of a row; a line of prose has none, since it is one cell."""
    return [cell for cell in line.cells if _is_figure(cell)] if len(line.cells) > 1 else []


def _is_year(cell: Cell) -> bool:
    return len(cell.text) == 4 and cell.text.isdecimal() and cell.text[:2] in ("19", "20")


def _is_row(line: Line) -> bool:
    """Figures behind a label, or several of them; prose that is set wide ends with a word."""
    figures = _figures(line)
    return (len(figures) > 1 or line.cells[-1] in figures) and not all(map(_is_year, figures))


def _regions(lines: Sequence[Line]) -> Iterator[tuple[int, int]]:
    """First line and line behind the last of each run of rows; one line in between may be a label or half of one."""
    at = 0
    while at < len(lines):
        last = at
        rows = 0
        for number in range(at, len(lines)):
            if _is_row(lines[number]):
                rows, last = rows + 1, number + 1
            elif number > last + _gap_allowed(lines, number):
                break
        if rows > 1:
            yield at, last
        at = max(last, at + 1)
        while at < len(lines) and not _is_row(lines[at]):
            at += 1


def _gap_allowed(lines: Sequence[Line], number: int) -> int:
    """How many lines that are no rows may stand between rows: labels are short, prose is not, heads begin another."""
    line = lines[number]
    return 1 if len(line.cells) == 1 and len(line.text) < _LONGEST_LABEL else -1


def _columns(rows: Sequence[Line]) -> tuple[Span, ...]:
    """Left and right of each column of figures."""
    found: list[Span] = []
    for box in sorted(cell.box for row in rows for cell in _figures(row)):
        if found and box[0] < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], box[2]))
        else:
            found.append((box[0], box[2]))
    return tuple(found)


def _head_start(lines: Sequence[Line], floor: int, first: int, left: float) -> int:
    """The line at which the head of the rows from `first` on begins; `first` where there is none."""
    start, labels = first, 0
    for number in range(first - 1, max(floor, first - _MOST_HEAD_LINES) - 1, -1):
        if _is_head(lines[number], left, lines[first].box):
            start, labels = number, 0
        else:
            labels += 1
            if labels > _MOST_LABELS or start < first:
                break
    return start


def _left(columns: Sequence[Span]) -> float:
    """Where the heads of columns may begin: they are often wider than their figures."""
    return columns[0][0] - _SLACK - (columns[0][1] - columns[0][0])


def _is_head(line: Line, left: float, row: Box) -> bool:
    """Whether a line stands above the row and its cells over the columns; the first may head the labels."""
    over = [cell for cell in line.cells if cell.box[0] >= left]
    return bool(over) and len(over) >= len(line.cells) - 1 and line.box[1] >= row[1]


def _head(head: Sequence[Line], left: float, row: Box) -> tuple[list[Line], list[Line]]:
    """The levels of the heads, and the lines between them and the first row that are labels."""
    heads = [line for line in head if _is_head(line, left, row)]
    return list(_levels(heads)), [line for line in head if line not in heads]


def _levels(lines: Sequence[Line]) -> Iterator[Line]:
    """Cells of a head that stand at the same height as one line, from the top down."""
    cells = sorted((cell for line in lines for cell in line.cells), key=lambda cell: -_middle(cell))
    height = min((cell.box[3] - cell.box[1] for cell in cells), default=0.0)
    level = 0
    marked: list[tuple[int, Cell]] = []
    for number, cell in enumerate(cells):
        level += number > 0 and _middle(cells[number - 1]) - _middle(cell) > height / 2
        marked.append((level, cell))
    for _, same in groupby(marked, key=lambda entry: entry[0]):
        yield Line(tuple(sorted((cell for _, cell in same), key=lambda cell: cell.box[0])))


def _middle(cell: Cell) -> float:
    return (cell.box[1] + cell.box[3]) / 2


def _named(levels: Sequence[Line], columns: Sequence[Span]) -> Row | None:
    """The heads as one line: what stands over the labels, then the name of each column. None where they are unclear."""
    left = _left(columns)
    names = _names([_over(line, left) for line in levels], columns)
    if not all(names):
        return None
    beside = [cell.text for line in levels for cell in line.cells if _beside(cell, line, left)]
    return Row(" | ".join(filter(None, (" ".join(beside), *names))), around(line.box for line in levels))


def _over(line: Line, left: float) -> list[Cell]:
    """The cells of a head over the columns, without remarks; what stands in front of years is of their names."""
    over = [cell for cell in line.cells if cell.box[0] >= left and not _REMARK.match(cell.text)]
    period = _period(line, left)
    return [Cell(f"{period} {cell.text}", cell.box) for cell in over] if period else over


def _period(line: Line, left: float) -> str:
    """`Year ended June 30,` in front of nothing but years; else empty."""
    before = [cell.text for cell in line.cells if cell.box[0] < left and not _REMARK.match(cell.text)]
    over = [cell for cell in line.cells if cell.box[0] >= left]
    return " ".join(before) if over and all(map(_is_year, over)) else ""


def _beside(cell: Cell, line: Line, left: float) -> bool:
    """Whether a cell of a head is no part of a column's name: a remark such as `(In millions)`, or over the labels."""
    return bool(_REMARK.match(cell.text)) or (cell.box[0] < left and not _period(line, left))


def _names(levels: Sequence[Sequence[Cell]], columns: Sequence[Span]) -> list[str]:
    """The name of each column, from the top down; none where no level has a cell for every column, as then the heads
    are not what they seem, and a figure under a wrong name is worse than one without."""
    names: list[list[str]] = [[] for _ in columns]
    if not any(len(cells) == len(columns) for cells in levels):
        return [""] * len(columns)
    for cells in levels:
        share, rest = divmod(len(columns), len(cells) or 1)
        for number, cell in enumerate(cells):
            group = range(number * share, (number + 1) * share)
            if rest or not _centred(cell.box, [columns[column] for column in group]):
                group = range(nearest := _column(cell.box, columns), nearest + 1)
            for column in group:
                names[column].append(cell.text)
    return [" ".join(parts) for parts in names]


def _centred(box: Box, group: Sequence[Span]) -> bool:
    """Whether a head stands in the middle over a group of columns, as one for all of them does."""
    left, right = group[0][0], group[-1][1]
    return abs(box[0] + box[2] - left - right) / 2 < max(_CENTRED * (right - left), box[2] - box[0])


def _column(box: Box, columns: Sequence[Span]) -> int:
    """The column whose middle is nearest."""
    middle = (box[0] + box[2]) / 2
    return min(range(len(columns)), key=lambda number: abs(sum(columns[number]) / 2 - middle))
