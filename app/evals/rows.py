"""Files of questions and of rows: JSON lines, read with a word about what is wrong with them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.errors import CommandError


class BadEvalData(CommandError):
    """An evaluation file is missing or cannot be read."""

    code = "bad_eval_data"
    next_step = "Check the folder; the manual's page on numbers tells which files it must hold."
    status = 422


def read_rows(file: Path, **fields: type) -> list[dict[str, Any]]:
    """JSON lines, each an object with these fields of these types. Raises BadEvalData, also for a file without rows."""
    try:
        rows: list[Any] = list(_rows(file))
    except (OSError, ValueError) as error:
        raise BadEvalData(f"{file.name} cannot be read: {error}.") from error
    if not rows:
        raise BadEvalData(f"{file.name} holds no rows.")
    for number, row in enumerate(rows, start=1):
        for name, kind in fields.items():
            if not isinstance(row, dict) or not isinstance(row.get(name), kind):
                raise BadEvalData(f"{file.name}, row {number}: {name!r} is missing or no {kind.__name__}.")
    return rows


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
