"""Clients that ask and then take nothing: each is dropped, and until then what waits for it is bounded."""

import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tests.streams.running import Running, asking, many_descriptors, running, with_documents

_STALLED_S = 2.0
_MOST_KB = 256  # of memory for each: its stream, and what waits
_TALKS = ("--every", "0.01", "--more", "4000")
_TAKES = 4096  # bytes that a client's system takes for it
_DOCUMENTS = {"harbour.md": "# Harbour\n\nThe lighthouse of the harbour was built in 1887.\n"}


def slow(n: int, _seed: int) -> dict[str, Any]:
    """`n` of them, every second one with a stream that can be taken up."""
    many_descriptors()
    found = dropped(n)
    much = [f"{found['kb_each']} kB each"] if found["kb_each"] > _MOST_KB else []
    return found | {"wrong": [*found.pop("left"), *much]}


def dropped(n: int) -> dict[str, Any]:
    """What is left of them on the server while they themselves stay, and what they took at most."""
    settings = {"GROUNDED_STALLED_S": str(_STALLED_S), "GROUNDED_MAX_RUNNING": str(n), "GROUNDED_RESUME_MB": "8"}
    settings |= {"GROUNDED_RESUME_GRACE_S": "1", "GROUNDED_LOG_LEVEL": "warning"}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as lines:
        served = lines.enter_context(running(Path(folder) / "state", Path(folder) / "log", *_TALKS, **settings))
        with_documents(served, _DOCUMENTS)
        lines.enter_context(_asked(served, resumable=False)).close()
        tasks, descriptors, idle = served.held()["tasks"], served.descriptors(), served.memory_mb()
        begun = time.monotonic()
        for number in range(n):
            lines.enter_context(_asked(served, resumable=bool(number % 2)))
        most, left = idle, ["they are never dropped"]
        while left and time.monotonic() < begun + PATIENCE_S:
            time.sleep(0.1)
            most = max(most, served.memory_mb())
            left = _left(served, tasks, descriptors)
        whole = served.request("GET", "/health/live")[0]
    kb = round((most - idle) * 1024 / n)
    return {"clients": n, "dropped_s": round(time.monotonic() - begun, 1), "kb_each": kb, "alive": whole, "left": left}


def _left(served: Running, tasks: int, descriptors: int) -> list[str]:
    now = {"tasks": (served.held()["tasks"], tasks), "descriptors": (served.descriptors(), descriptors)}
    return [f"{after} {what} instead of {before}" for what, (after, before) in now.items() if after > before + 5]


def _asked(served: Running, *, resumable: bool) -> socket.socket:
    """A client that has seen its stream begin, and takes no more of it."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TAKES)
    line.settimeout(PATIENCE_S)
    line.connect(("127.0.0.1", served.port))
    line.sendall(asking("When was the lighthouse built?", release="token", cache="bypass", resumable=resumable))
    assert line.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
    return line
