"""The process that readers run in. It reads requests from its standard input and answers on its standard output.

A request is a line of JSON (`name`, `size`, `seconds`) and then the bytes of the file; an answer is a line with the
length of the JSON that follows. JSON and not pickle: a file that takes this process over must not get at the one that
asks, and what else it could do stands in `ingest.readers.confine`.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

import orjson

from ingest.errors import Broken, EmptyText, FileError, ResourceLimit, TooLarge
from ingest.model import Parsed
from ingest.readers.answer import refused, written
from ingest.readers.confine import allow_seconds, confine

READY = b"ready\n"
_GIVES_WAY = 5  # of 19: of a core that a question wants too, a file gets a quarter


def main(settings: str) -> None:
    """Serve until the input ends. `settings` is the JSON of `ingest.readers.pool.ReaderLimits` and the reader's name."""
    limits = orjson.loads(settings)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not pass for an answer
    module, function = limits["reader"].split(":")
    read = getattr(import_module(module), function)
    if hasattr(os, "nice"):
        os.nice(_GIVES_WAY)
    confine(limits["memory_bytes"])
    answers.write(READY)
    answers.flush()
    while line := sys.stdin.buffer.readline():
        _serve(orjson.loads(line), read, limits, answers)


def _serve(request: dict[str, Any], read: Callable[..., Parsed], limits: dict[str, Any], answers: BinaryIO) -> None:
    data = sys.stdin.buffer.read(request["size"])
    allow_seconds(request["seconds"])
    answer = _answer(read, request["name"], data, limits)
    answers.write(b"%d\n" % len(answer))
    answers.write(answer)
    answers.flush()


def _answer(read: Callable[..., Parsed], name: str, data: bytes, limits: dict[str, Any]) -> bytes:
    """Anything but a FileError is a reader's surprise at this file: its kind is told, its text is not."""
    try:
        parsed = read(name, data, limits["max_pages"])
        return written(_checked(name, parsed, limits["max_text_chars"]))
    except Exception as error:  # noqa: BLE001 - the neighbours of a bad file must not suffer
        return refused(_said(name, error))


def _said(name: str, error: Exception) -> FileError:
    if MemoryError in (type(error), type(error.__cause__)):
        return ResourceLimit(f"{name} needs more memory to read than a reader may use.")
    return error if isinstance(error, FileError) else Broken(f"{name} cannot be read ({type(error).__name__}).")


def _checked(name: str, parsed: Parsed, most: int) -> Parsed:
    if len(parsed.text) > most:
        raise TooLarge(f"{name} holds {len(parsed.text):,} characters; the limit is {most:,}.")
    if not parsed.text.strip():
        raise EmptyText(f"{name} holds no text.")
    return parsed
