"""CSV and TSV: each row a line that says what its columns are, and a block known by its number."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

from ingest.model import Parsed
from ingest.readers.tables import Row, add_rows, is_header, one_cell, row_line
from ingest.readers.text import TextBuilder, decode, not_empty

MEDIA_TYPE = "text/csv"
_DELIMITERS = ",;\t|"
_SAMPLE = 1 << 15  # characters that the delimiter is judged by


def read(name: str, data: bytes) -> Parsed:
    """Rows by the delimiter that divides them most evenly. Raises NotText and EmptyText."""
    text = decode(name, data)
    rows = ((str(number), row) for number, row in _rows(text, _delimiter(text)) if any(row))
    first = list(islice(rows, 2))
    builder = TextBuilder()
    header = _header([row for _, row in first])
    if header is not None:
        builder.add("table", row_line(header), cell=first.pop(0)[0])
    add_rows(builder, chain(first, rows), header)
    return Parsed("", not_empty(name, builder.text), tuple(builder.blocks), MEDIA_TYPE)


def _header(first: list[Row]) -> Row | None:
    """The first row, unless it holds values: a header there is what the format is used with."""
    return first[0] if len(first) > 1 and is_header(*first, marked=True) else None


def _delimiter(text: str) -> str:
    """The one that cuts the first rows into the same number of cells, and into the most."""
    sample = text if len(text) <= _SAMPLE else text[: text.rfind("\n", 0, _SAMPLE) + 1 or _SAMPLE]
    return max(_DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    widths = Counter(len(row) for _, row in _rows(sample, delimiter) if any(row))
    width, rows = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(1, 0))
    return (rows / widths.total(), width) if width > 1 else (0.0, 1)


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, Row]]:
    """Rows and their numbers from 1; where a quote is never closed, lines are rows and quotes are text."""
    try:
        for _ in _read(text, delimiter):
            pass  # a fault may come late, and rows that were told cannot be taken back
        found: Iterator[list[str]] = _read(text, delimiter)
    except csv.Error:
        found = (line.split(delimiter) for line in text.split("\n"))
    for number, row in enumerate(found, start=1):
        yield number, [one_cell(cell) for cell in row]


def _read(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
