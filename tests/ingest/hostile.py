"""Readers that misbehave, for the tests of the pool. The child process imports this, so it must stay light."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ingest.model import Block, Parsed

_KEPT: list[bytearray] = []
_LIBC = ctypes.CDLL(None)
_LIBC.malloc.restype = ctypes.c_void_p
_LIBC.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)


def read(name: str, data: bytes, max_pages: int | None = None) -> Parsed:  # noqa: C901, PLR0911, PLR0912 - a list of evils
    match name:
        case "hang":
            time.sleep(600)
        case "spin":
            while True:
                pass
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            bytearray(8 << 30)
        case "memory in a library":
            while block := _LIBC.malloc(1 << 22):
                _LIBC.memset(block, 1, 1 << 22)
            os.abort()
        case "leak":
            _KEPT.append(bytearray(100 << 20))
        case "memory of this file":
            bytearray(130 << 20)
        case "crash of the one after":
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        case "slow":
            time.sleep(0.3)
        case "processor":
            signal.raise_signal(signal.SIGXCPU)
        case "killed":
            signal.raise_signal(signal.SIGKILL)
        case "not an answer":
            os.write(3, b"x\n")
        case "wide":
            return Parsed("t", "x", (Block("paragraph", 0, 9),), "text/plain")
        case "numbers":
            return Parsed("t", "x", (), "text/plain", metadata={"k": 1})  # type: ignore[dict-item]
        case "fences":
            return _said(" ".join(evil for evil, attempt in ATTEMPTS.items() if _done(attempt)) or "none")
        case "thread":
            thread = threading.Thread(target=print)
            thread.start()
            thread.join()
        case "surprise":
            raise RuntimeError("secret text of the document")
        case "prints":
            print("999999\nnot an answer")  # noqa: T201
            os.write(1, b"12\nnot an answer")
        case "writes":
            Path("/tmp/written_by_a_reader").write_bytes(b"x" * 9999)
        case "environment":
            return _said(" ".join(os.environ) or "none")
        case "modules":
            return _said(" ".join(sys.modules))
        case "huge":
            return _said("x" * 2_000_000)
        case "blank":
            return _said(" ")
    return _said(data.decode() or "nothing")


def _done(attempt: Callable[[], object]) -> bool:
    """Whether it could be done. What C functions return for failure is -1."""
    try:
        return attempt() != -1
    except OSError:
        return False


ATTEMPTS: dict[str, Callable[[], object]] = {
    "socket": socket.socket,
    "socket of C": lambda: _LIBC.socket(2, 1, 0),
    "datagram of C": lambda: _LIBC.socket(2, 2, 0),
    "pair of C": lambda: _LIBC.socketpair(1, 1, 0, (ctypes.c_int * 2)()),
    "resolve": lambda: socket.getaddrinfo("localhost", 80),
    "program": lambda: subprocess.run(["/bin/true"]),
    "program of C": lambda: _LIBC.execv(b"/bin/true", None),
    "fork": os.fork,
    "fork of C": _LIBC.fork,
    "passwords": lambda: Path("/etc/passwd").read_text(),
    "neighbours": lambda: list(Path(__file__).parents[2].iterdir()),
    "open of C": lambda: _LIBC.open(b"/etc/passwd", 0),
    "write": lambda: Path("/tmp/written_by_a_reader").write_bytes(b"x"),
    "signal": lambda: os.kill(os.getppid(), 0),
}


def _said(text: str) -> Parsed:
    block = Block("paragraph", 0, len(text), ("h",), 1, 2, "3", (1.0, 2.5, 3.0, 4.0), "top")
    return Parsed("t", text, (block,), "text/plain", 4, {"k": "v"})
