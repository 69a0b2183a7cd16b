"""Rows as lines that say what their columns are, so that a chunk of later rows is understood alone.

With a header a row reads `Name: Ada | Born: 1815`; without one, `Ada | 1815`.
"""

import re
from collections.abc import Iterable, Sequence

from ingest.readers.text import TextBuilder

_LONGEST_HEADER = 120  # characters of a column's name
_LONGEST_VALUE = 40
_WHOLE = 800  # characters; a table this short fits into one chunk with its header
_VALUE = re.compile(
    r"[-+(]?[$€£¥]?[-+]?[\d.,'\s]*\d[\d.,'\s]*[%)]?$|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ][\d:.+Z-]+)?$"
)
_YEAR = re.compile(r"(?:FY\s?)?(?:19|20)\d\d$")

Row = Sequence[str]


def one_cell(text: str) -> str:
    """A cell on one line."""
    return " ".join(text.split())


def is_header(row: Row, following: Row | None, *, marked: bool = False) -> bool:
    """Whether a row names the columns: words, a different one in each, above rows of values. Two columns of words are as
    likely names and their values, so there the row must be `marked` as a header or stand above figures."""
    names = [cell for cell in row if cell]
    if following is None or len(names) < min(2, len(row)) or len(set(names)) < len(names):
        return False
    if any(len(name) > _LONGEST_HEADER or (is_value(name) and not _YEAR.match(name)) for name in names):
        return False
    if not any(name for name in names if not _YEAR.match(name)):
        return False
    width = max((number for number, cell in enumerate(following) if cell), default=-1) + 1
    if 2 * len(names) <= width:
        return False
    return marked or len(names) > 2 or any(map(is_value, following))


def is_value(cell: str) -> bool:
    """A number, an amount, a share or a date."""
    return len(cell) <= _LONGEST_VALUE and _VALUE.match(cell) is not None


def row_line(row: Row, header: Row | None = None) -> str:
    """A row as a line, without its empty cells."""
    if header is None:
        return " | ".join(filter(None, row))
    named = ((header[number] if number < len(header) else "", cell) for number, cell in enumerate(row) if cell)
    return " | ".join(f"{name.rstrip(':')}: {cell}" if name and name != cell else cell for name, cell in named)


def add_rows(
    builder: TextBuilder,
    rows: Iterable[tuple[str | None, Row]],
    header: Row | None,
    *,
    page: int | None = None,
    anchor: str | None = None,
) -> None:
    """Each row a block behind the one before, known by its number."""
    for cell, row in rows:
        builder.add("table", row_line(row, header), page=page, cell=cell, gap="\n", anchor=anchor)


def add_table(builder: TextBuilder, rows: Sequence[Row], *, marked: bool = False, anchor: str | None = None) -> None:
    """A short table as it stands, in one block; each row of a long one behind the names of its columns, so that no cut
    takes them away."""
    rows = [row for row in rows if any(row)]
    whole = "\n".join(" | ".join(row) for row in rows)
    if len(whole) > _WHOLE and is_header(rows[0], rows[1] if len(rows) > 1 else None, marked=marked):
        builder.add("table", row_line(rows[0]), anchor=anchor)
        add_rows(builder, ((None, row) for row in rows[1:]), rows[0], anchor=anchor)
    else:
        builder.add("table", whole, anchor=anchor)
