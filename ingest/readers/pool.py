"""Readers in processes that can be killed: a file that hangs, crashes or eats memory costs itself and no other.

A child is started with the first file and stays, so six hundred small files cost one start. It has an empty
environment, and its answers are JSON that is checked here, as it may have been taken over by what it read.
"""

import asyncio
import contextlib
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import orjson

from ingest import errors
from ingest.errors import FileError, ReaderCrashed, TooLarge
from ingest.model import Block, Parsed, Source

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from ingest.readers.child import main; main(sys.argv[2])"
)
_START_SECONDS = 30.0
_ANSWER_BYTES_PER_CHAR = 12  # JSON of text and of the blocks that point into it


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What one file may cost. Sizes in bytes, time in seconds of the clock, text in characters."""

    max_file_bytes: int = 50 << 20
    max_text_chars: int = 20_000_000
    max_pages: int = 2000
    timeout_s: float = 60.0
    memory_bytes: int = 2 << 30


class ReaderPool:
    """`ports.Reader` by child processes, at most `children` of them. Made and used within one event loop."""

    def __init__(
        self, limits: ReaderLimits | None = None, *, children: int = 1, reader: str = "ingest.readers.registry:read"
    ) -> None:
        """`reader` names the function that the children run, `package.module:function`; tests name hostile ones."""
        self._limits = limits or ReaderLimits()
        self._settings = orjson.dumps(asdict(self._limits) | {"reader": reader}).decode()
        self._turns = asyncio.Semaphore(children)
        self._threads = ThreadPoolExecutor(children, thread_name_prefix="reader")
        self._idle: list[_Child] = []

    async def read(self, source: Source, data: bytes) -> Parsed:
        """The parsed file. Raises the reader's FileError, TooLarge for the limits, ReaderCrashed for time and death."""
        if len(data) > self._limits.max_file_bytes:
            limit = self._limits.max_file_bytes
            raise TooLarge(f"{source.name} has {len(data) / 2**20:.1f} MB; the limit is {limit / 2**20:.1f} MB.")
        async with self._turns:
            child = self._idle.pop() if self._idle else _Child(self._settings)
            try:
                answer = await self._ask(child, source.name, data)
            except BaseException:
                child.kill()
                raise
            self._idle.append(child)
        return _parsed(source.name, answer)

    async def close(self) -> None:
        """End the children. The pool can be used again afterwards: the next file starts a fresh one."""
        while self._idle:
            self._idle.pop().kill()

    async def _ask(self, child: "_Child", name: str, data: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        most = self._limits.max_text_chars * _ANSWER_BYTES_PER_CHAR + 65536
        try:
            if not child.ready:
                await asyncio.wait_for(loop.run_in_executor(self._threads, child.start), _START_SECONDS)
            asking = loop.run_in_executor(self._threads, child.ask, name, data, most)
            return await asyncio.wait_for(asking, self._limits.timeout_s)
        except TimeoutError:
            raise ReaderCrashed(f"{name} took longer than {self._limits.timeout_s:g} s to read.") from None
        except (OSError, EOFError, ValueError):
            raise ReaderCrashed(f"The reader died on {name}.") from None


class _Child:
    """One process and the pipe to it. Its methods block; `kill` ends them from another thread."""

    def __init__(self, settings: str) -> None:
        path = orjson.dumps([entry or str(Path.cwd()) for entry in sys.path]).decode()
        command = [sys.executable, "-I", "-X", "utf8", "-c", _START, path, settings]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, start_new_session=True)  # noqa: S603
        self.ready = False

    def start(self) -> None:
        """Wait until it is ready for files."""
        if not self._out.readline():
            raise EOFError
        self.ready = True

    def ask(self, name: str, data: bytes, most: int) -> bytes:
        """Its answer to one file. Raises EOFError or OSError when it dies, ValueError for what is no answer."""
        self._in.write(orjson.dumps({"name": name, "size": len(data)}) + b"\n")
        self._in.write(data)
        self._in.flush()
        size = int(self._out.readline(20) or b"x")
        if not 0 <= size <= most:
            raise ValueError(size)
        answer: bytes = self._out.read(size)
        if len(answer) < size:
            raise EOFError
        return answer

    def kill(self) -> None:
        """End it at once and leave nothing behind."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):  # what it was not sent any more cannot be flushed
                pipe.close()

    @property
    def _in(self) -> Any:
        return self._process.stdin

    @property
    def _out(self) -> Any:
        return self._process.stdout


def _parsed(name: str, answer: bytes) -> Parsed:
    """The answer as ours. Raises the error it carries, and ReaderCrashed when it is not what a reader says."""
    try:
        told = orjson.loads(answer)
        if "error" in told:
            raise _error(told)
        fields = told["parsed"]
        fields["blocks"] = tuple(
            Block(kind, start, end, tuple(path), *place) for kind, start, end, path, *place in fields["blocks"]
        )
        return Parsed(**fields)
    except (ValueError, TypeError, KeyError):
        raise ReaderCrashed(f"The reader gave no sensible answer on {name}.") from None


def _error(told: dict[str, str]) -> FileError:
    leaf = getattr(errors, told["error"], None)
    if not isinstance(leaf, type) or not issubclass(leaf, FileError):
        raise TypeError(leaf)
    return leaf(told["message"], told["next_step"])
