"""Work in a process of its own: forked from one that has everything imported and nothing open, so it is there at once.

What the child tells goes through a pipe, whose contents outlive it.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Told = Callable[[dict[str, Any]], None]
_LONG = 1e6  # seconds: as long as it takes
_HANGS = 900.0  # seconds of a child that takes some on a machine with nothing else to do


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended: what it told, its exit status, the signal that ended it, seconds from fork to end."""

    told: tuple[dict[str, Any], ...]
    status: int | None
    signal: int | None
    seconds: float

    def all(self, key: str) -> list[Any]:
        """Values under this key, in the order they were told."""
        return [line[key] for line in self.told if key in line]

    def last(self, key: str) -> Any:
        """The last value under this key, or None."""
        found = self.all(key)
        return found[-1] if found else None


class Child:
    """A running child."""

    def __init__(self, work: Callable[[Told], None]) -> None:
        self._start = time.perf_counter()
        self._read, write = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            _run(work, write)
        os.close(write)
        self._data = bytearray()

    def poll(self, seconds: float) -> bool:
        """Take in what the child has told for so long; False once it has ended."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        if not ready:
            return True
        data = os.read(self._read, 1 << 16)
        self._data += data
        return bool(data)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def ended(self, timeout: float = _HANGS) -> Outcome:
        """Wait for the end; a child that hangs is killed and counts as ended by SIGALRM."""
        until = self._start + timeout
        hung = False
        while self.poll(max(0.0, until - time.perf_counter())):
            if time.perf_counter() >= until:
                hung = True
                self.kill()
        os.close(self._read)
        _, status = os.waitpid(self.pid, 0)
        told = tuple(json.loads(line) for line in self._data.split(b"\n")[:-1])
        ended_by = signal.SIGALRM if hung else os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        return Outcome(told, code, ended_by, time.perf_counter() - self._start)


def _run(work: Callable[[Told], None], pipe: int) -> None:
    """The child's whole life. It leaves without the parent's clean-up, whatever happens."""

    def tell(line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(pipe, data) :]

    code = 1
    try:
        work(tell)
        code = 0
    except BaseException:  # noqa: BLE001 - told, not lost
        tell({"raised": traceback.format_exc()})
    finally:
        os._exit(code)


def spread(work: Callable[[int, int, Told], None], workers: int = 2) -> Outcome:
    """Do the k-th part of `of` parts in a child each, all at the same time; what they told, together. Raises when one dies."""
    children = [Child(lambda tell, k=k: work(k, workers, tell)) for k in range(workers)]  # type: ignore[misc]
    outcomes = _all_ended(children)
    for outcome in outcomes:
        if outcome.status != 0:
            raise RuntimeError(outcome.last("raised") or f"a part was ended by signal {outcome.signal}")
    return Outcome(tuple(line for o in outcomes for line in o.told), 0, None, max(o.seconds for o in outcomes))


def _all_ended(children: Sequence[Child]) -> list[Outcome]:
    """Take in what all tell in turn: a pipe that nobody reads would stop its writer."""
    running = set(children)
    while running:
        running = {child for child in running if child.poll(0.05)}
    return [child.ended(_LONG) for child in children]


def in_child(work: Callable[[Told], None], timeout: float = _HANGS) -> Outcome:
    """Run to the end."""
    return Child(work).ended(timeout)
