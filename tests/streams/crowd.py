"""Many clients of one server, on raw sockets that one thread reads."""

import re
import selectors
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests.patience import PATIENCE_S
from tests.streams.running import asking

_AT_ONCE = 64  # questions on their way at a time, while streams are opened
_BEGUN = b'"stage":"generating"'
_DUE = re.compile(rb'"type":"delta","text":"([0-9.]+)"')
_QUESTION = "When was the lighthouse of the harbour built?"


@dataclass(slots=True)
class Line:
    """One client. `talks`: an event has come that was due at a time."""

    socket: socket.socket
    rest: bytes = b""
    begun: bool = False
    talks: bool = False

    def take(self, got: bytes) -> list[float]:
        """When the events were due that have come whole."""
        whole, _, self.rest = (self.rest + got).rpartition(b"\n\n")
        self.begun = self.begun or _BEGUN in whole
        due = [float(found[1]) for found in _DUE.finditer(whole)]
        self.talks = self.talks or bool(due)
        return due


@dataclass
class Crowd:
    """`late` are the delays, in s, of the events that came since somebody emptied it; `lost` counts streams that ended."""

    port: int
    n: int
    late: list[float] = field(default_factory=list)
    lost: int = 0

    def __post_init__(self) -> None:
        self._eyes = selectors.DefaultSelector()
        self._lines: list[Line] = []
        self._begun = self._talking = 0

    def open(self) -> None:
        """Until every stream has said something. Only some are on their way at a time."""
        end = time.monotonic() + PATIENCE_S + self.n * 0.1
        while self._talking < self.n:
            assert time.monotonic() < end, f"{self._talking} of {self.n} streams have said something"
            while len(self._lines) < self.n and len(self._lines) - self._begun < _AT_ONCE:
                self._dial()
            self.look(0.05)

    def listen(self, seconds: float) -> None:
        """Read what comes in so long a time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.look(left)

    def look(self, wait_s: float) -> None:
        """Read what has come."""
        for key, _ in self._eyes.select(wait_s):
            line: Line = key.data
            with suppress(BlockingIOError):
                if got := line.socket.recv(1 << 16):
                    self._take(line, got)
                else:
                    self._eyes.unregister(line.socket)
                    self.lost += 1

    def leave(self) -> None:
        """Half of them hang up, half tear their line."""
        self._eyes.close()
        for number, line in enumerate(self._lines):
            if number % 2:
                line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.socket.close()

    def _dial(self) -> None:
        line = Line(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S))
        line.socket.sendall(asking(_QUESTION, release="token", cache="bypass"))
        line.socket.setblocking(False)
        self._eyes.register(line.socket, selectors.EVENT_READ, line)
        self._lines.append(line)

    def _take(self, line: Line, got: bytes) -> None:
        now, begun, talks = time.monotonic(), line.begun, line.talks
        self.late += [now - due for due in line.take(got)]
        self._begun += line.begun and not begun
        self._talking += line.talks and not talks
