"""Who begins a request and does not go on loses the connection, and nobody else does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
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
async def connected(head_s: float) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, set[Any]]]:
    """A connection to a server of that patience, and the server's connections."""
    config = uvicorn.Config(well, log_config=None, access_log=False, timeout_keep_alive=600)
    config.load()
    state, kind = ServerState(), patient(H11Protocol, head_s)
    server = await asyncio.get_running_loop().create_server(
        lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer, state.connections
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


async def waits(connections: set[Any], *, wanted: bool) -> None:
    """Until the server waits for the rest of a head, or does not."""
    while [one._late is not None for one in connections] != [wanted]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nx-slow: "])
def test_a_head_that_does_not_end_is_not_waited_for(said: bytes) -> None:
    async def main() -> None:
        async with connected(0.05) as (reader, writer, _):
            with contextlib.suppress(ConnectionError):  # the end may come before the word
                writer.write(said)
                assert await reader.read() == b""

    run(main())


def test_of_each_request_only_the_head_is_waited_for() -> None:
    async def main() -> None:
        async with connected(600) as (reader, writer, connections):
            await waits(connections, wanted=True)
            for _ in range(2):
                writer.write(WHOLE[:10])
                await waits(connections, wanted=True)
                writer.write(WHOLE[10:])
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
                await waits(connections, wanted=False)  # the connection is kept between two requests

    run(main())
