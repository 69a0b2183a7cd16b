"""Bytes that no HTTP client would send, against the server as it is served."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from app.commands.serve import Server, _bound
from app.state import StateFolder
from app.wiring import opened
from tests.app.serving import fake_embedder, settings_for
from tests.patience import PATIENCE_S

Send = Callable[[bytes], Coroutine[Any, Any, bytes]]


async def _send(port: int, data: bytes) -> bytes:
    """What comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            await writer.drain()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def served(tmp_path: Path, case: Callable[[Send], Coroutine[Any, Any, None]]) -> None:
    settings = settings_for(tmp_path / "state")

    async def run() -> None:
        state = StateFolder(settings.state)
        with socket.create_server(("127.0.0.1", 0)) as listener, state.owned():
            async with opened(settings, state) as grounded:
                server = Server(settings)
                server.app.state.grounded = grounded
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
                    await asyncio.sleep(0.01)
                try:
                    await case(lambda data: _send(listener.getsockname()[1], data))
                finally:
                    server.should_exit = True
                    await serving

    with fake_embedder():
        asyncio.run(run())


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


def test_a_header_has_a_largest_size(tmp_path: Path) -> None:
    async def case(send: Send) -> None:
        fits = await send(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: " + b"a" * 8_000 + b"\r\n\r\n"
        )
        assert status(fits) == 200
        too_large = await send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2**20)
        assert not too_large or status(too_large) == 400

    served(tmp_path, case)


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 403),
        (b"\x16\x03\x01 this is no HTTP\r\n\r\n", 400),
    ],
)
def test_requests_that_are_refused(tmp_path: Path, request_: bytes, wanted: int) -> None:
    async def case(send: Send) -> None:
        assert status(await send(request_)) == wanted

    served(tmp_path, case)


def test_a_body_without_a_length_is_counted(tmp_path: Path) -> None:
    async def case(send: Send) -> None:
        chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
        head = b"POST /ask HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        reply = await send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 6 + b"0\r\n\r\n")
        assert status(reply) == 413

    served(tmp_path, case)


def test_the_body_of_an_answer_does_not_wait_for_its_head_to_be_acknowledged(tmp_path: Path) -> None:
    """Nagle's algorithm is off on every connection that the service accepts."""

    async def main(listener: socket.socket) -> int:
        found: asyncio.Queue[int] = asyncio.Queue()

        def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.put_nowait(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(accepted, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            async with asyncio.timeout(PATIENCE_S):
                nodelay = await found.get()
            writer.close()
        return nodelay

    with _bound(settings_for(tmp_path, port=0)) as listener:
        assert asyncio.run(main(listener))
