"""A served process of `tests.streams.server`, and raw clients of it."""

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.commands.descriptors import raise_limit
from tests.patience import PATIENCE_S, UNHURRIED_ENVIRONMENT

ROOT = Path(__file__).parents[2]
_READY = re.compile(r"Grounded is ready: http://127\.0\.0\.1:(\d+)")
_MEMORY = re.compile(r"RssAnon:\s+(\d+) kB")


class Running:
    """One process. `words` are further arguments of the server."""

    def __init__(self, state: Path, log: Path, *words: str, **settings: str) -> None:
        self._log = log
        own = {"GROUNDED_INGEST__MIN_FREE_MB": "0", "GROUNDED_EMBEDDER__THREADS": "1"}
        env = {**os.environ, **UNHURRIED_ENVIRONMENT, **own, **settings}
        with log.open("wb") as err:
            command = [sys.executable, "-m", "tests.streams.server", str(state), *words]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=err, env=env, text=True)
        self.port = 0

    def wait_ready(self) -> None:
        self.port = int(until(self._ready)[1])

    def _ready(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.log
        return _READY.search(self.log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"content-type": "application/json", **headers})
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()

    def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        status, _, content = self.request(method, path, body)
        assert status < 300, content
        found: dict[str, Any] = json.loads(content)
        return found

    def dial(self, question: str, **more: Any) -> socket.socket:
        """A connection on which a stream was asked for."""
        line = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        line.sendall(asking(question, **more))
        return line

    def memory_mb(self) -> float:
        """Of its own, without files that are mapped."""
        found = _MEMORY.search(Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1]) / 1024

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def held(self) -> dict[str, int]:
        """Tasks and objects that the collector knows."""
        assert self.process.stdout
        self.process.send_signal(signal.SIGUSR1)
        found: dict[str, int] = json.loads(self.process.stdout.readline())
        return found

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()  # which does nothing to one that has ended
            self.process.wait()
            assert self.process.stdout
            self.process.stdout.close()


@contextlib.contextmanager
def running(state: Path, log: Path, *words: str, **settings: str) -> Iterator[Running]:
    served = Running(state, log, *words, **settings)
    try:
        served.wait_ready()
        yield served
    finally:
        served.stop(signal.SIGKILL)


def asking(question: str, **more: Any) -> bytes:
    """The bytes of a request for a stream."""
    content = json.dumps({"question": question, "stream": True, **more}).encode()
    head = "POST /ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def until(wanted: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := wanted():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def with_documents(served: Running, files: dict[str, str]) -> None:
    """Upload texts and wait until they can be asked for."""
    documents = [{"filename": name, "text": text} for name, text in files.items()]
    job = served.json("POST", "/v1/documents", {"documents": documents})["id"]
    ended = until(lambda: (found := served.json("GET", f"/v1/jobs/{job}"))["finished_at"] and found)
    assert ended["status"] == "succeeded", ended


def many_descriptors() -> int:
    """As many as this process may have."""
    raise_limit()
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
