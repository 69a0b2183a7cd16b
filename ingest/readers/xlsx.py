"""XLSX: the values of each visible sheet, row by row, as lines that say what their columns are.

A sheet may hold several tables: rows without anything in them divide it, and each part looks for its own header.
"""

import datetime as dt
import io
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # openpyxl loads numpy, which would reserve memory for every core
import openpyxl

from ingest.errors import TooLarge
from ingest.model import Parsed
from ingest.readers.archive import Archive, local
from ingest.readers.drawing import add_chart, drawing_text
from ingest.readers.properties import office
from ingest.readers.tables import Row, add_rows, is_header, one_cell, row_line
from ingest.readers.text import Outline, TextBuilder, not_empty, one_line

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MOST_CELLS = 5_000_000
_EMPTY_PER_CELL = 64  # cells without a value cost this much less
_HEADER_WITHIN = 10  # rows; a header further down belongs to another table
_THREADED = re.compile(r"^\[Threaded comment\].{0,400}?Comment: ?")  # what Excel says to older programs
_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, KeyError, IndexError, OSError, SyntaxError, TypeError),
    ValueError,
)


@dataclass(frozen=True, slots=True)
class _Line:
    """A row that has something in it. `marked`: its words are bold, as headers are."""

    number: int
    cells: Row
    marked: bool


def read(name: str, data: bytes) -> Parsed:
    """All visible sheets, values and not formulas. Raises Broken, Encrypted, TooLarge and EmptyText."""
    package = Archive(name, data, "XLSX")
    builder = TextBuilder()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(package.usual()), read_only=True, data_only=True, keep_links=False)
            title, metadata = office(package)
            counter = _Counter(name)
            for sheet in book.worksheets:
                if sheet.sheet_state == "visible":
                    sheet.reset_dimensions()  # what a file says of its size need not be so
                    _add_sheet(builder, sheet.title, _lines(sheet.iter_rows(), counter))
                    _add_drawn(builder, package, sheet._worksheet_path.lstrip("/"))  # noqa: SLF001 - nothing else says it
    except _DAMAGE as error:
        raise package.broken() from error
    text = not_empty(name, builder.text)
    return Parsed(title, text, tuple(builder.blocks), MEDIA_TYPE, metadata=metadata)


class _Counter:
    """Ends a workbook that costs more than any real one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen = 0

    def add(self, empty: int, filled: int) -> None:
        self._seen += filled + empty // _EMPTY_PER_CELL + 1
        if self._seen > MOST_CELLS:
            raise TooLarge(f"{self._name} has more than {MOST_CELLS:,} cells.", "Split the workbook.")


def _lines(rows: Iterable[Sequence[Any]], counter: _Counter) -> Iterator[_Line]:
    for number, row in enumerate(rows, start=1):
        filled = [place for place, cell in enumerate(row) if cell.value is not None]
        counter.add(len(row) - len(filled), len(filled))
        if filled:
            cells = [_said(row[place]) if row[place].value is not None else "" for place in range(filled[-1] + 1)]
            if any(cells):
                words = all(isinstance(row[place].value, str) for place in filled)
                yield _Line(number, cells, words and all(bool(row[place].font.b) for place in filled))


def _said(cell: Any) -> str:
    """A value as the sheet shows it, near enough: dates as dates, shares in percent, no digits of rounding."""
    value = cell.value
    if isinstance(value, str):
        return one_cell(value)
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "auto").removesuffix(" 00:00:00")
    if isinstance(value, int | float):
        if "%" in (cell.number_format or ""):
            return f"{value * 100:.10g}%"
        return f"{value:.15g}" if isinstance(value, float) else str(value)
    return str(value)


def _add_sheet(builder: TextBuilder, title: str, lines: Iterable[_Line]) -> None:
    """The name of the sheet as a heading, then its parts; a part without a header is read by the one above it."""
    builder.outline = Outline()
    heading, header = one_line(title), None
    for part in _parts(lines):
        if heading:
            builder.add("heading", heading, level=1)
            heading = ""
        above, found, below = _by_header(part)
        if found is not None:
            header = found.cells
        elif header is None or not _fits(below, header):
            header = None
        add_rows(builder, _numbered(above), None)
        if found is not None:
            builder.add("table", row_line(found.cells), cell=str(found.number), gap="\n")
        add_rows(builder, _numbered(below), header)


def _add_drawn(builder: TextBuilder, package: Archive, sheet: str) -> None:
    """What lies on the sheet: text boxes, charts and comments."""
    for kind, member in package.related(sheet).values():
        if kind == "drawing":
            for paragraph in drawing_text(package.xml(member)):
                builder.add("paragraph", paragraph)
            for part, chart in package.related(member).values():
                if part == "chart":
                    add_chart(builder, package.xml(chart))
        elif kind == "comments":
            for comment in (found for found in package.xml(member).iter() if local(found) == "comment"):
                text = one_cell("".join(part.text or "" for part in comment.iter() if local(part) == "t"))
                text = _THREADED.sub("", text)
                builder.add("paragraph", text and f"Comment on {comment.get('ref', '')}: {text}")


def _parts(lines: Iterable[_Line]) -> Iterator[list[_Line]]:
    part: list[_Line] = []
    for line in lines:
        if part and line.number > part[-1].number + 1:
            yield part
            part = []
        part.append(line)
    if part:
        yield part


def _by_header(part: list[_Line]) -> tuple[list[_Line], _Line | None, list[_Line]]:
    for place, (line, following) in enumerate(pairwise(part[:_HEADER_WITHIN])):
        if is_header(line.cells, following.cells, marked=line.marked):
            return part[:place], line, part[place + 1 :]
    return [], None, part


def _fits(part: list[_Line], header: Row) -> bool:
    """Whether every row has at least two cells, and all of them in columns that the header names."""
    named = {place for place, cell in enumerate(header) if cell}
    filled = [{place for place, cell in enumerate(line.cells) if cell} for line in part]
    return all(len(places) > 1 and places <= named for places in filled)


def _numbered(part: Iterable[_Line]) -> Iterator[tuple[str, Row]]:
    return ((str(line.number), line.cells) for line in part)
