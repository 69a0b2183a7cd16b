"""What is told again to every part of a block that had to be cut: a table's header row, a function's signature."""

import re
from collections.abc import Iterator

from ingest.model import Block
from ingest.ports import TokenCounter
from ingest.strategies.plans import Lead, fit_end

_LONGEST_HEADER = 8  # lines of a table's header
_LONGEST_SIGNATURE = 12  # lines, decorators and comments in front included
_NOT_YET = ("@", "#", "//", "/*", "*", "--")  # lines in front of a definition
_GAP = re.compile(r"[ \t]{2,}")


def fitted(row: tuple[str, int], block: Block, window: int, counter: TokenCounter) -> Lead | None:
    """The lead of a block, from its text and the offset in the block behind which it is missed; an eighth of the window
    at most."""
    text = fit_end(row[0], window // 8, counter)
    return Lead(block.start + row[1], block.end, text) if text else None


def header_row(table: str) -> tuple[str, int] | None:
    """The names of the columns as one line, and where the header ends. None for a table that does not mark its header:
    one whose rows name their columns themselves, or have none."""
    lines = table.split("\n", _LONGEST_HEADER + 1)[: _LONGEST_HEADER + 1]
    for number, line in enumerate(lines[1:], start=1):
        rows = [row for row in lines[:number] if not _is_rule(row)]
        if rows and _is_rule(line) and (number == 1 or _is_double(line)):
            names = " | ".join(_cells(rows))
            return (names, sum(len(row) + 1 for row in lines[: number + 1])) if names else None
    return None


def signature(definition: str) -> tuple[str, int] | None:
    """The line or lines that say what is defined, as one, and where they end."""
    said: list[str] = []
    end = 0
    for line in definition.split("\n", _LONGEST_SIGNATURE)[:_LONGEST_SIGNATURE]:
        end += len(line) + 1
        words = line.strip()
        if not words or (not said and words.startswith(_NOT_YET)):
            continue
        said.append(words)
        if words.endswith((":", "{", ";")):
            return " ".join(said).rstrip(" {"), end
    return None


def _is_rule(line: str) -> bool:
    """`|---|:--:|`, `+----+---+`, `====  ===`: set, not pattern, since lines are long and strange."""
    marks = set(line.strip())
    return bool(marks & {"-", "="}) and marks <= set("|+-=: \t")


def _is_double(line: str) -> bool:
    """What closes a header in reStructuredText; its other rules stand between any two rows."""
    return "=" in line


def _cells(rows: list[str]) -> Iterator[str]:
    """Names by column; those of several lines are put together where the lines divide alike."""
    divided = [[" ".join(cell.split()) for cell in _divided(row)] for row in rows]
    if len({len(cells) for cells in divided}) > 1:
        divided = [[" ".join(" ".join(cells) for cells in divided)]]
    return (" ".join(filter(None, column)) for column in zip(*divided, strict=True))


def _divided(row: str) -> list[str]:
    row = row.strip()
    return row.strip("|").split("|") if "|" in row else _GAP.split(row)
