"""Who begins a request and does not go on loses the connection, and nobody else does."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from app.commands.patient import patient
from tests.patience import PATIENCE_S

WHOLE = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def well(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def connected(head_s: float) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(well, log_config=None, access_log=False, timeout_keep_alive=600)
    config.load()
    state, kind = ServerState(), patient(H11Protocol, head_s)
    server = await asyncio.get_running_loop().create_server(
        lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()
        for protocol in list(state.connections):
            protocol.transport.close()  # type: ignore[union-attr]
        await server.wait_closed()


def run(work: Coroutine[Any, Any, None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await work

    asyncio.run(main())


def test_a_head_that_does_not_end_is_not_waited_for() -> None:
    async def main(said: bytes) -> None:
        async with connected(0.05) as (reader, writer):
            writer.write(said)
            assert await reader.read() == b""

    for said in (b"", b"GET / HTTP/1.1\r\nx-slow: "):
        run(main(said))


def test_nor_is_the_head_of_a_second_request() -> None:
    async def main() -> None:
        async with connected(0.2) as (reader, writer):
            writer.write(WHOLE)
            await reader.readuntil(b"ok")
            writer.write(WHOLE[:10])
            assert await reader.read() == b""

    run(main())


def test_a_connection_that_is_kept_between_two_requests_stays_open() -> None:
    async def main() -> None:
        async with connected(0.1) as (reader, writer):
            for _ in range(2):
                writer.write(WHOLE)
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
                await asyncio.sleep(0.3)  # longer than a head may take

    run(main())
