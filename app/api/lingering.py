"""A reply to a request that is still being sent. Some clients read nothing before they have sent it all, and a connection that is
closed under them takes the reply along with it (RFC 9112, 9.6): they would be told of a reset, and not of what is wrong.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 64 * 2**20  # bytes that are taken and thrown away
_WAIT_S = 5.0


class Lingering:
    """Around the application as it is served: who calls it in the same program holds no connection that could be closed."""

    def __init__(self, app: "ASGIApp", most: int = MOST, wait_s: float = _WAIT_S) -> None:
        """`most` in bytes, `wait_s` in seconds: what is beyond them is not waited for."""
        self._app = app
        self._most = most
        self._wait_s = wait_s

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on; the end of the reply comes behind the end of the request."""
        if scope["type"] == "http":
            exchange = _Exchange(scope, receive, send, self._most, self._wait_s)
            receive, send = exchange.receive, exchange.send
        await self._app(scope, receive, send)


class _Exchange:
    """One request and its reply."""

    def __init__(self, scope: "Scope", receive: "Receive", send: "Send", most: int, wait_s: float) -> None:
        names = {name for name, _ in scope["headers"]}
        self._receive = receive
        self._send = send
        self._most = most
        self._wait_s = wait_s
        self._awaited = b"expect" in names  # by a client that sends nothing until it is told to
        self._whole = not names & {b"content-length", b"transfer-encoding"}

    async def receive(self) -> "Message":
        """The next part of the request."""
        message = await self._receive()
        self._awaited = False
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: "Message") -> None:
        """The last part of the reply goes out at once; only its end waits."""
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not last or self._whole or self._awaited:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wait_s):
                await self._drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        taken = 0
        while not self._whole and taken <= self._most:
            taken += len((await self.receive()).get("body", b""))
