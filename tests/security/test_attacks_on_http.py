"""Requests that two parsers would read in two ways, over a real socket: each is refused in our envelope with our headers, and
nothing behind it on the same connection is answered."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.api.middleware import SECURITY_HEADERS
from tests.api_fuzz.served import Running, on_a_port
from tests.patience import PATIENCE_S

BODY = b'{"question": "What colour is the gate?"}'
LAST = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
HIDDEN = b"GET /v1/collections HTTP/1.1\r\nhost: localhost\r\n\r\n"  # what an attacker wants to have answered


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with structlog.testing.capture_logs(), on_a_port(tmp_path_factory.mktemp("raw"), max_body_kb=16) as running:
        yield running


def told(service: Running, sent: bytes) -> bytes:
    """All that comes back until the service ends the connection. It may do that while we still send."""
    found = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as line, suppress(OSError):
        line.sendall(sent)
        while piece := line.recv(65_536):
            found += piece
    return found


def replies(raw: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of each reply on a connection; bodies have a length."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        found.append((int(first.split()[1]), headers, rest[:length]))
        raw = rest[length:]
    return found


def head(*lines: bytes, first: bytes = b"POST /ask HTTP/1.1", host: bytes = b"host: localhost") -> bytes:
    return b"\r\n".join([first, *([host] if host else []), *lines]) + b"\r\n\r\n"


CLOSE = b"connection: close"
JSON = b"content-type: application/json"
LENGTH = b"content-length: %d" % len(BODY)
CHUNKED = b"transfer-encoding: chunked"
AS_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

UNCLEAR: dict[str, bytes] = {
    "two hosts": head(b"host: evil.example", JSON, LENGTH) + BODY,
    "two kinds of body, the last one that may be large": head(
        JSON, b"content-type: multipart/form-data; boundary=x", LENGTH
    )
    + BODY,
    "a length and chunks": head(JSON, LENGTH, CHUNKED) + AS_CHUNK,
    "chunks and a length": head(JSON, CHUNKED, b"content-length: 3") + AS_CHUNK,
    "two lengths": head(JSON, LENGTH, b"content-length: 3") + BODY,
    "a list of lengths": head(JSON, b"content-length: 3, %d" % len(BODY)) + BODY,
    "chunks twice": head(JSON, CHUNKED, CHUNKED) + AS_CHUNK,
    "chunks in disguise": head(JSON, b"transfer-encoding: xchunked") + AS_CHUNK,
    "chunks with a tab": head(JSON, b"transfer-encoding:\x0bchunked") + AS_CHUNK,
    "chunks and something else": head(JSON, b"transfer-encoding: identity, chunked") + AS_CHUNK,
    "a signed length": head(JSON, b"content-length: +%d" % len(BODY)) + BODY,
    "a length in hex": head(JSON, b"content-length: 0x28") + BODY,
    "an endless length": head(JSON, b"content-length: " + b"9" * 5000) + BODY,
    "a blank in front of the colon": head(JSON, b"content-length : %d" % len(BODY)) + BODY,
    "a header without a name": head(JSON, b": x", LENGTH) + BODY,
    "a NUL in a header": head(JSON, b"x-a: a\0b", LENGTH) + BODY,
    "a line end alone in a header": head(JSON, b"x-a: a\rhost: evil.example", LENGTH) + BODY,
    "two origins": head(JSON, b"origin: http://localhost", b"origin: https://evil.example", LENGTH) + BODY,
    "two sites": head(JSON, b"sec-fetch-site: cross-site", b"sec-fetch-site: same-origin", LENGTH) + BODY,
    "two idempotency keys": head(JSON, b"idempotency-key: a", b"idempotency-key: b", LENGTH) + BODY,
    "a NUL in the address": head(first=b"GET /v1/jobs/a%00b HTTP/1.1"),
    "a NUL in the query": head(first=b"GET /v1/jobs?after=%00 HTTP/1.1"),
    "a head that is too large": head(JSON, b"x-a: " + b"a" * 70_000, LENGTH) + BODY,
    "a thousand headers too large": head(JSON, *[b"x-%d: %s" % (n, b"a" * 60) for n in range(1000)], LENGTH) + BODY,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "another version": head(first=b"POST /ask HTTP/3.0") + BODY,
    "blanks in the address": head(first=b"GET /health/live x HTTP/1.1"),
    "letters of no address": head(first="GET /häfen HTTP/1.1".encode()),
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(service: Running, what: str) -> None:
    found = replies(told(service, UNCLEAR[what] + HIDDEN))
    if not found and "too large" in what:
        return  # the connection ended while it was being sent, and took the reply with it
    ((status, headers, body),) = found  # and nothing of what was hidden behind it
    assert status == (404 if what == "a NUL in the address" else 400), body
    error = json.loads(body)["error"]
    assert error["request_id"] == headers["x-request-id"]
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


REFUSED: dict[str, tuple[int, bytes]] = {
    "another host": (403, head(JSON, b"content-length: %d" % len(HIDDEN), host=b"host: evil.example")),
    "no host": (400, head(JSON, LENGTH, host=b"")),
    "a page of another site": (403, head(b"origin: null", b"content-length: %d" % len(HIDDEN))),
    "no such address": (404, head(JSON, b"content-length: %d" % len(HIDDEN), first=b"POST /nowhere HTTP/1.1")),
    "no such method": (405, head(JSON, b"content-length: %d" % len(HIDDEN), first=b"DELETE /ask HTTP/1.1")),
    "another kind of body": (415, head(b"content-length: %d" % len(HIDDEN))),
    "a body that is no JSON": (400, head(JSON, b"content-length: %d" % len(HIDDEN))),
    "an absolute address": (
        404,
        head(first=b"GET http://evil.example/v1/collections HTTP/1.1", host=b"host: localhost"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_body_that_is_not_read_is_never_taken_for_a_request(service: Running, what: str) -> None:
    status, sent = REFUSED[what]
    body = HIDDEN if b"content-length: %d" % len(HIDDEN) in sent else b""
    first, *others = replies(told(service, sent + body + LAST))
    assert first[0] == status, first
    assert {name: first[1][name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert [content for _, _, content in others] in ([], [b'{"status":"ok"}'])


def test_requests_in_a_row_are_each_answered(service: Running) -> None:
    """So the tests above would see a second reply."""
    found = replies(told(service, HIDDEN * 2 + LAST))
    assert [status for status, _, _ in found] == [200, 200, 200]


def test_a_form_that_is_named_json_is_not_held_in_memory(service: Running) -> None:
    """A body whose kind two headers disagree about would be let in by the limit of files and read as a text."""
    large = b'{"documents": [{"filename": "a.md", "text": "' + b"a" * 30_000 + b'"}]}'
    kinds = (JSON, b"content-type: multipart/form-data; boundary=x")
    sent = head(*kinds, b"content-length: %d" % len(large), first=b"POST /v1/documents HTTP/1.1") + large
    ((status, _, body),) = replies(told(service, sent))
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/docs", "/metrics", "/redoc", "/openapi.json/", "/web/../app.js"])
def test_addresses_that_there_are_not(service: Running, path: str) -> None:
    ((status, _, body),) = replies(told(service, head(CLOSE, first=b"GET %s HTTP/1.1" % path.encode())))
    assert status in (404, 307), body


def test_ranges_of_a_file_are_not_multiplied(service: Running) -> None:
    many = b"range: bytes=" + b",".join(b"%d-" % n for n in range(2000))
    raw = told(service, head(many, CLOSE, first=b"GET /web/app.js HTTP/1.1"))
    assert raw.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206", b"HTTP/1.1 400", b"HTTP/1.1 416"))
    assert len(raw) < 500_000


def test_a_socket_of_another_protocol_is_refused(service: Running) -> None:
    upgrade = (
        b"connection: upgrade, close",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: eA==",
    )
    ((status, _, _),) = replies(told(service, head(*upgrade, first=b"GET /ask HTTP/1.1")))
    assert status == 422  # an ordinary request without a question


def test_the_service_goes_on(service: Running) -> None:
    ((status, _, body),) = replies(told(service, head(JSON, LENGTH, CLOSE) + BODY))
    assert status == 200
    answer: dict[str, Any] = json.loads(body)
    assert "green" in answer["answer"]


def test_a_socket_that_is_no_request_is_closed() -> None:
    import asyncio

    from app.api.middleware import Boundary

    sent: list[Any] = []

    async def never(*_: Any) -> None:
        raise AssertionError("passed on")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Boundary(never, ("localhost",), 1, 1, "")({"type": "websocket", "headers": []}, never, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_what_is_served_lies_where_it_should(tmp_path: Path) -> None:
    from app.api.page import WEB, _files

    assert all(path.is_relative_to(WEB) and path.is_file() for path in _files().values())
    assert not any(".." in name for name in _files())
    assert tmp_path not in _files().values()
