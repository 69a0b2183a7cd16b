"""Readers in processes that can be killed: a file that hangs, crashes or eats memory costs itself and no other.

A child is started with the first file and stays, so six hundred small files cost one start. It has an empty
environment and fences around it, and its answers are checked, as it may have been taken over by what it read.
"""

import asyncio
import contextlib
import os
import select
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import orjson

from ingest.errors import FileError, ReaderCrashed, ReaderTimeout, ResourceLimit, TooLarge, Unreadable
from ingest.model import Parsed, Source
from ingest.readers.answer import no_answer, understood

_LOOK_SECONDS = 0.05  # how often a reader that takes its time is asked for its size
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from ingest.readers.child import main; main(sys.argv[2])"
)
_START_SECONDS = 30.0
_ANSWER_BYTES_PER_CHAR = 12  # JSON of text and of the blocks that point into it
_LEAST_SECONDS = 8.0  # many times what small files take, on a machine that is busy with others
_SECONDS_PER_MB = 10.0  # the slowest formats, workbooks and mail, take a fifth of it


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What one file may cost. Sizes in bytes, time in seconds of the clock, text in characters."""

    max_file_bytes: int = 50 << 20
    max_text_chars: int = 20_000_000
    max_pages: int = 2000
    timeout_s: float = 60.0
    memory_bytes: int = 512 << 20

    def seconds(self, size: int) -> float:
        """The time that a file of this size gets: a small file that takes long is no large document."""
        return min(self.timeout_s, max(_LEAST_SECONDS, _SECONDS_PER_MB * size / 2**20))


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
        """The parsed file. Raises the reader's FileError, TooLarge, ReaderTimeout and ResourceLimit for the limits,
        ReaderCrashed where it dies, and Unreadable where the system starts no process."""
        if len(data) > self._limits.max_file_bytes:
            limit = self._limits.max_file_bytes
            raise TooLarge(f"{source.name} has {len(data) / 2**20:.1f} MB; the limit is {limit / 2**20:.1f} MB.")
        async with self._turns:
            if self._idle:
                with contextlib.suppress(ReaderCrashed, ResourceLimit):  # perhaps the fault of a file before this one
                    return await self._read(self._idle.pop(), source.name, data)
            return await self._read(self._fresh(source.name), source.name, data)

    async def _read(self, child: "_Child", name: str, data: bytes) -> Parsed:
        """What the child makes of it. One that could not serve another file as well as a fresh one is ended."""
        try:
            parsed = await self._ask(child, name, data)
        except FileError as error:
            if error.quarantine:
                child.kill()
            else:
                self._idle.append(child)
            raise
        except BaseException:
            child.kill()
            raise
        self._idle.append(child)
        return parsed

    def _fresh(self, name: str) -> "_Child":
        try:
            return _Child(self._settings)
        except OSError as error:
            raise Unreadable(
                f"{name} was not read: the system would start no process for it ({error.strerror}).",
                "Close other programs or raise the limits of memory, processes and open files, then run ingest again.",
            ) from error

    async def close(self) -> None:
        """End the children. The pool can be used again afterwards: the next file starts a fresh one."""
        while self._idle:
            self._idle.pop().kill()

    async def _ask(self, child: "_Child", name: str, data: bytes) -> Parsed:
        loop = asyncio.get_running_loop()
        most = self._limits.max_text_chars * _ANSWER_BYTES_PER_CHAR + 65536
        seconds = self._limits.seconds(len(data))
        try:
            if not child.ready:
                await asyncio.wait_for(loop.run_in_executor(self._threads, child.start), _START_SECONDS)
            asking = loop.run_in_executor(self._threads, child.ask, name, data, seconds, most)
            return await asyncio.wait_for(asking, seconds)
        except TimeoutError:
            raise ReaderTimeout(f"{name} took longer than {seconds:g} s to read.") from None
        except (OSError, EOFError):
            raise child.death(name, self._limits.memory_bytes) from None


def _peak_bytes(pid: int) -> int:
    """The most memory that a process ever had, 0 where the system does not tell. What `wait4` says is no help: it counts
    what the process held before it became another, and that is what we hold."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        status = Path(f"/proc/{pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmPeak"))
    return 0


class _Child:
    """One process and the pipe to it. Its methods block; `kill` ends them from another thread."""

    def __init__(self, settings: str) -> None:
        path = orjson.dumps([entry or str(Path.cwd()) for entry in sys.path]).decode()
        command = [sys.executable, "-I", "-X", "utf8", "-c", _START, path, settings]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, start_new_session=True)  # noqa: S603
        self._peak_bytes = 0
        self.ready = False

    def start(self) -> None:
        """Wait until it is ready for files."""
        if not self._out.readline():
            raise EOFError
        self.ready = True

    def ask(self, name: str, data: bytes, seconds: float, most: int) -> Parsed:
        """Its answer to one file. Raises EOFError or OSError when it dies, ReaderCrashed for what is no answer."""
        self._in.write(orjson.dumps({"name": name, "size": len(data), "seconds": seconds}) + b"\n")
        self._in.write(data)
        self._in.flush()
        while not select.select([self._out], [], [], _LOOK_SECONDS)[0]:
            self._peak_bytes = max(self._peak_bytes, _peak_bytes(self._process.pid))
        head = self._out.readline(20)
        if not head:
            raise EOFError
        size = int(head) if head.strip().isdigit() else -1
        if not 0 <= size <= most:
            raise no_answer(name)
        answer: bytes = self._out.read(size)
        if len(answer) < size:
            raise EOFError
        return understood(name, answer)

    def death(self, name: str, memory_bytes: int) -> FileError:
        """Why it is dead. The system kills for memory and time with signals of their own; a library that gets no memory
        dies of something else, and then its size tells."""
        self.kill()
        ended = -(self._process.returncode or 0)
        if ended in (signal.SIGKILL, signal.SIGXCPU) or self._peak_bytes > memory_bytes // 2:
            return ResourceLimit(f"{name} needs more memory or time to read than a reader may use.")
        return ReaderCrashed(f"The reader died on {name}.")

    def kill(self) -> None:
        """End it at once and leave nothing behind."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # a group of the dead
                os.killpg(self._process.pid, signal.SIGKILL)
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
