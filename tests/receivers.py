"""A receiver of webhooks on a real socket, in a thread of its own: it answers as it is told, and keeps what it got."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Got:
    """Where the receiver is, and every request that it got: path, headers in lower case, body."""

    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    names: list[str] = field(default_factory=list)  # that TLS clients asked for

    def url(self, path: str = "/hook", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


Answer = Callable[[int], tuple[int, dict[str, str], bytes]]


@contextmanager
def receiver(
    answer: Answer = lambda _: (204, {}, b""), host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[Got]:
    """`answer` makes status, headers and body from the number of the request, from 0."""
    got = Got()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            number = len(got.requests)
            got.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers, content = answer(number)
            with suppress(OSError):
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        def do_GET(self) -> None:
            got.requests.append((self.path, {}, b""))
            self.send_error(405)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> Any:
            connection = super().get_request()
            got.connections += 1
            return connection

        def handle_error(self, *_: Any) -> None:
            """A client that went away is none of ours."""

    server = Server((host, 0), Handler)
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: got.names.append(name or "")  # type: ignore[assignment]
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    got.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
