"""A provider's batch API on a real socket: files go in, batches are made, and they end when the test says so."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Provider:
    """What it holds, and what it was asked. `refuse` and `say` are by the path behind /v1; `write` answers a batch as soon
    as it is made."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    purposes: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)
    say: dict[str, bytes] = field(default_factory=dict)
    write: Callable[[list[dict[str, Any]]], Sequence[bytes]] | None = None
    wait_s: float = 0.0
    number: int = 0

    def next_id(self, kind: str) -> str:
        self.number += 1
        return f"{kind}-{self.number}"

    def keep(self, content: bytes) -> str:
        id_ = self.next_id("file")
        self.files[id_] = content
        return id_

    def orders(self, batch_id: str) -> list[dict[str, Any]]:
        """The requests of a batch."""
        return [json.loads(row) for row in self.files[self.batches[batch_id]["input_file_id"]].splitlines()]

    def end(
        self, batch_id: str, lines: Sequence[bytes], errors: Sequence[bytes] = (), status: str = "completed"
    ) -> None:
        """It has ended so, with these replies."""
        batch = self.batches[batch_id]
        batch["status"] = status
        batch["output_file_id"] = self.keep(b"\n".join(lines) + b"\n") if lines else None
        batch["error_file_id"] = self.keep(b"\n".join(errors) + b"\n") if errors else None


def line(
    id_: str, text: str | None, *, status: int = 200, finish: str = "stop", usage: tuple[int, int] = (100, 9)
) -> bytes:
    """A reply in the file of replies."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    body = {"id": "c1", "object": "chat.completion", "choices": [choice], "usage": counts}
    return json.dumps({"id": "r1", "custom_id": id_, "response": {"status_code": status, "body": body}}).encode()


@contextmanager
def provider() -> Iterator[Provider]:
    """Serve the API."""
    known = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("GET", b"")

        def do_DELETE(self) -> None:
            self._serve("DELETE", b"")

        def do_POST(self) -> None:
            self._serve("POST", self.rfile.read(int(self.headers.get("content-length") or 0)))

        def _serve(self, method: str, body: bytes) -> None:
            known.paths.append(self.path)
            known.keys.append(self.headers.get("authorization", ""))
            time.sleep(known.wait_s)
            path = self.path.removeprefix("/v1").partition("?")[0]
            refused = next((status for place, status in known.refuse.items() if path.startswith(place)), None)
            if refused is not None:
                self._send(refused, b'{"error": {"message": "no, key-1"}}')
            elif path in known.say:
                self._send(200, known.say[path])
            else:
                self._send(*_answer(known, method, path, body))

        def _send(self, status: int, content: bytes) -> None:
            with suppress(OSError):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(known: Provider, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    _, kind, *rest = path.split("/")
    found = {"files": _files, "batches": _batches}.get(kind, _nothing)(known, method, rest, body)
    if found is None:
        return 404, b'{"error": {"message": "no such thing"}}'
    return 200, found if isinstance(found, bytes) else json.dumps(found).encode()


def _nothing(*_: Any) -> None:
    """There is no such address."""


def _files(known: Provider, method: str, rest: list[str], body: bytes) -> Any:
    match method, rest:
        case "POST", []:
            known.purposes += re.findall(rb'name="purpose"\r\n\r\n(\w+)', body)[0].decode().split()
            found = re.search(rb'name="file".*?\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
            assert found is not None
            return {"id": known.keep(found.group(1)), "object": "file", "purpose": "batch"}
        case "GET", [id_, "content"]:
            return known.files.get(id_)
        case "DELETE", [id_] if known.files.pop(id_, None) is not None:
            return {"id": id_, "object": "file", "deleted": True}
    return None


def _batches(known: Provider, method: str, rest: list[str], body: bytes) -> Any:
    match method, rest:
        case "POST", []:
            id_ = known.next_id("batch")
            made = {"id": id_, "object": "batch", "status": "validating", "created_at": 1, **json.loads(body)}
            known.batches[id_] = made | {"output_file_id": None, "error_file_id": None}
            if known.write is not None:
                known.end(id_, known.write(known.orders(id_)))
            return known.batches[id_]
        case "GET", []:
            return {"object": "list", "data": list(reversed(known.batches.values())), "has_more": False}
        case "POST", [id_, "cancel"] if id_ in known.batches:
            known.batches[id_]["status"] = "cancelling"
            return known.batches[id_]
    return known.batches.get(rest[0])
