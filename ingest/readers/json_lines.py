"""JSON and JSON Lines as lines that are read without the braces around them: `owner.address.city: Paris`.

An element of a list is a block of its own, known by its number; so is what stands under each key of an object.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

import orjson

from ingest.model import Parsed
from ingest.readers import code
from ingest.readers.text import TextBuilder, clean, decode, not_empty, one_line

MEDIA_TYPE = "application/json"
_DEEPEST = 32  # steps of a path that are told
_LONGEST_KEY = 120
_LONGEST_LIST = 400  # characters of plain values that share a line
_PROSE = 300  # a value this long is text for people and is cut by sentences

Path = tuple[str | int, ...]


def read(name: str, data: bytes) -> Parsed:
    """Readable lines; a file that is not JSON after all, such as one with comments, is read as source code.
    Raises NotText and EmptyText."""
    text = decode(name, data)
    builder = TextBuilder()
    if PurePosixPath(name).suffix.lower() in (".jsonl", ".ndjson"):
        root: Any = None
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                _add(builder, _line(line), str(number))
    else:
        try:
            root = parse(text)
        except (ValueError, RecursionError):
            return code.read(name, data)
        _add_all(builder, root)
    title = root.get("title") if isinstance(root, dict) else None
    own = one_line(clean(title)) if isinstance(title, str) else ""
    return Parsed(own, not_empty(name, builder.text), tuple(builder.blocks), MEDIA_TYPE)


def parse(text: str) -> Any:
    """The value of JSON text; NaN and the like are let pass. Raises ValueError and RecursionError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _line(line: str) -> Any:
    """The value of a line, or the line itself where it is none."""
    try:
        return parse(line)
    except (ValueError, RecursionError):
        return line


def _add_all(builder: TextBuilder, root: Any) -> None:
    if isinstance(root, list) and any(isinstance(value, dict | list) for value in root):
        for number, value in enumerate(root, start=1):
            _add(builder, value, str(number))
        return
    for _, lines in groupby(_lines(root), key=lambda found: _part(found[0])):
        _add_lines(builder, list(lines), None)


def _part(path: Path) -> Path:
    """A key of the outermost object, or an element of the list under it."""
    return path[:2] if len(path) > 1 and isinstance(path[1], int) else path[:1]


def _add(builder: TextBuilder, value: Any, cell: str) -> None:
    _add_lines(builder, list(_lines(value)), cell)


def _add_lines(builder: TextBuilder, lines: list[tuple[Path, str]], cell: str | None) -> None:
    prose = any(len(text) > _PROSE for _, text in lines)
    text = "\n".join(f"{_said(path)}: {value}" if path else value for path, value in lines)
    builder.add("paragraph" if prose else "code", text, cell=cell)


def _lines(root: Any) -> Iterator[tuple[Path, str]]:
    """Path and text of every plain value, in order; plain values of one list share a line."""
    waiting: list[tuple[Path, Any]] = [((), root)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting.extend((_deeper(path, key[:_LONGEST_KEY]), value[key]) for key in reversed(value))
        elif isinstance(value, list) and value:
            shared = _shared(value)
            if shared is not None:
                yield path, shared
            else:
                waiting.extend((_deeper(path, place), value[place]) for place in reversed(range(len(value))))
        else:
            yield path, value if isinstance(value, str) else json.dumps(value)


def _deeper(path: Path, step: str | int) -> Path:
    return (*path, step) if len(path) < _DEEPEST else path


def _shared(values: list[Any]) -> str | None:
    if len(values) > _LONGEST_LIST or any(isinstance(value, dict | list) for value in values):
        return None
    text = ", ".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    return text if len(text) <= _LONGEST_LIST and "\n" not in text else None


def _said(path: Path) -> str:
    """`owner.names[1]`; elements count from 1, as people do."""
    parts = (f"[{step + 1}]" if isinstance(step, int) else f".{' '.join(step.split())}" for step in path)
    return "".join(parts).removeprefix(".")
