"""Data to stdout, all else to stderr; errors as one line with the cause and one with the next step; exit codes."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import IO, Any

import orjson
from rich.console import Console

from app.error_table import row
from app.settings import ConfigurationError
from ingest.errors import GroundedError

INTERRUPTED = 130
_WIDE = 160  # columns


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command to its exit code. What is said on purpose never comes as a traceback."""
    try:
        return asyncio.run(work)
    except GroundedError as error:
        return report(error)
    except KeyboardInterrupt:
        say("Interrupted. What was committed is kept; run the same command again to go on.")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return 0


def report(error: GroundedError) -> int:
    """Say what is wrong and what to do; the exit code of its kind."""
    say(f"error[{error.code}]: {error.message}")
    say(f"  next: {error.next_step}")
    return exit_code(error)


def exit_code(error: GroundedError) -> int:
    """2 where the caller has to ask differently, 3 where something that is needed is not there."""
    status = getattr(error, "status", None) or row(error).status
    return 2 if isinstance(error, ConfigurationError) or status < 500 else 3


def say(line: str) -> None:
    """A line for people."""
    print(line, file=sys.stderr, flush=True)


def console_for(stream: IO[str]) -> Console:
    """For tables. What is no terminal has room for all columns; a terminal has as many as it has."""
    return Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDE)


def emit(text: str) -> None:
    """A line of data."""
    print(text, flush=True)


def emit_json(content: Any, *, indent: bool = False) -> None:
    """One JSON document."""
    emit(orjson.dumps(content, option=orjson.OPT_INDENT_2 if indent else 0).decode())
