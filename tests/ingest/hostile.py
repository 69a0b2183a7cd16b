"""Readers that misbehave, for the tests of the pool. The child process imports this, so it must stay light."""

import ctypes
import os
import sys
import time
from pathlib import Path

from ingest.model import Block, Parsed


def read(name: str, data: bytes, max_pages: int | None = None) -> Parsed:  # noqa: C901, PLR0912 - a list of evils
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


def _said(text: str) -> Parsed:
    return Parsed("t", text, (Block("paragraph", 0, len(text), ("h",), 1, 2, "3"),), "text/plain", 4, {"k": "v"})
