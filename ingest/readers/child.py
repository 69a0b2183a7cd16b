"""The process that readers run in. It reads requests from its standard input and answers on its standard output.

A request is a line of JSON (`name`, `size`) and then the bytes of the file; an answer is a line with the length of the
JSON that follows. JSON and not pickle: a file that takes this process over must not get at the one that asks.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any, BinaryIO

import orjson

from ingest.errors import Broken, EmptyText, FileError, TooLarge
from ingest.model import Parsed

READY = b"ready\n"


def main(settings: str) -> None:
    """Serve until the input ends. `settings` is the JSON of `ingest.readers.pool.ReaderLimits` and the reader's name."""
    limits = orjson.loads(settings)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not pass for an answer
    module, function = limits["reader"].split(":")
    read = getattr(import_module(module), function)
    _confine(limits["memory_bytes"])
    answers.write(READY)
    answers.flush()
    while line := sys.stdin.buffer.readline():
        _serve(orjson.loads(line), read, limits, answers)


def _serve(request: dict[str, Any], read: Callable[..., Parsed], limits: dict[str, Any], answers: BinaryIO) -> None:
    data = sys.stdin.buffer.read(request["size"])
    _allow_seconds(limits["timeout_s"])
    answer = orjson.dumps(_answer(read, request["name"], data, limits))
    answers.write(b"%d\n" % len(answer))
    answers.write(answer)
    answers.flush()


def _answer(read: Callable[..., Parsed], name: str, data: bytes, limits: dict[str, Any]) -> dict[str, Any]:
    """Anything but a FileError is a reader's surprise at this file: its kind is told, its text is not."""
    try:
        return {"parsed": _checked(name, read(name, data, limits["max_pages"]), limits["max_text_chars"])}
    except FileError as error:
        return {"error": type(error).__name__, "message": error.message, "next_step": error.next_step}
    except MemoryError:
        return _refusal(TooLarge(f"{name} needs more memory to read than a reader may use."))
    except Exception as error:  # noqa: BLE001 - the neighbours of a bad file must not suffer
        return _refusal(Broken(f"{name} cannot be read ({type(error).__name__})."))


def _checked(name: str, parsed: Parsed, most: int) -> dict[str, Any]:
    if len(parsed.text) > most:
        raise TooLarge(f"{name} holds {len(parsed.text):,} characters; the limit is {most:,}.")
    if not parsed.text.strip():
        raise EmptyText(f"{name} holds no text.")
    blocks = [(b.kind, b.start, b.end, b.heading_path, b.page, b.line, b.cell) for b in parsed.blocks]
    return asdict(replace(parsed, blocks=())) | {"blocks": blocks}


def _refusal(error: FileError) -> dict[str, str]:
    return {"error": type(error).__name__, "message": error.message, "next_step": error.next_step}


def _confine(memory_bytes: int) -> None:
    """No more memory than this, no core dump, no file written. Where the system has no such limits, none."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - not on every system

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _allow_seconds(seconds: float) -> None:
    """Processor time for one file. The parent keeps the clock; this ends a reader whose parent is gone."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - not on every system

        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(used.ru_utime + used.ru_stime + seconds) + 5
        resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.getrlimit(resource.RLIMIT_CPU)[1]))
