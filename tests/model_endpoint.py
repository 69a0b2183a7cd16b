"""A model's HTTP endpoint on a real socket, in a thread of its own: it answers as it is told to, also wrongly."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """`body` is sent as JSON unless it is bytes; `drip_s` is the pause after each of its bytes, `wait_s` before all."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0
    wait_s: float = 0.0

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Seen:
    """Where the endpoint is, and what it was sent."""

    url: str = ""
    bodies: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def endpoint(reply: Callable[[Any], Reply]) -> Iterator[Seen]:
    """`reply` makes the answer to each parsed request. Connections are closed after each answer, so that a client may be
    used from one event loop after another."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.paths.append(self.path)
            seen.headers.append({name.lower(): value for name, value in self.headers.items()})
            seen.bodies.append(body)
            with suppress(ConnectionError):
                self._send(reply(body))

        def _send(self, told: Reply) -> None:
            time.sleep(told.wait_s)
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not told.drip_s:
                self.wfile.write(told.data)
                return
            for byte in told.data:
                self.wfile.write(bytes([byte]))
                time.sleep(told.drip_s)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
