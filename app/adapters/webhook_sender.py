"""Sends webhooks. A name is looked up once, every address that it stands for is checked, and one of those is connected to:
a second look-up, which could say something else, never happens. Redirects are not followed, proxies not used, and of a reply
nothing but its status is read."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

import httpx2

from app.addresses import Target, is_loopback, is_public
from app.errors import WebhookFailed, WebhookTargetInside
from ingest.errors import GroundedError

Resolve = Callable[[str, int], Awaitable[list[str]]]
_MOST_TRIED = 2  # addresses of one name; the next attempt may try others


class WebhookSender:
    """Sender over HTTP."""

    def __init__(
        self,
        timeout_s: float,
        *,
        loopback: bool = False,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`loopback` lets this machine itself be a receiver, also without TLS; `tls` is for certificates of one's own."""
        self._timeout_s = timeout_s
        self._loopback = loopback
        self._resolve = resolve or looked_up
        self._tls = tls

    async def post(self, target: Target, body: bytes, headers: dict[str, str]) -> int:
        """See app.webhooks.Sender."""
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._checked(target)
                return await self._sent(target, addresses, body, headers)
        except TimeoutError:
            raise WebhookFailed("The receiver did not answer in time.") from None

    async def _checked(self, target: Target) -> list[str]:
        """Addresses of the target. One that leads inside spoils all: whoever gave it meant harm, or does not know."""
        try:
            addresses = await self._resolve(target.host, target.port)
        except OSError:
            raise WebhookFailed("The receiver's name cannot be looked up.") from None
        if not addresses:
            raise WebhookFailed("The receiver's name stands for no address.")
        mine = self._loopback and all(map(is_loopback, addresses))
        if not mine and (target.scheme != "https" or not all(map(is_public, addresses))):
            raise WebhookTargetInside("The receiver's address does not lead to the public internet by https.")
        return addresses[:_MOST_TRIED]

    async def _sent(self, target: Target, addresses: list[str], body: bytes, headers: dict[str, str]) -> int:
        failure: GroundedError = WebhookFailed("The receiver cannot be reached.")
        for address in addresses:
            try:
                return await self._posted(target, address, body, headers)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = WebhookFailed(f"The receiver cannot be reached ({type(error).__name__}).")
            except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:  # it was reached, and may have understood
                raise WebhookFailed(f"The receiver did not answer ({type(error).__name__}).") from None
        raise failure

    async def _posted(self, target: Target, address: str, body: bytes, headers: dict[str, str]) -> int:
        """The address stands in place of the name; the name is what the certificate is compared with, and the Host."""
        place = f"[{address}]" if ":" in address else address
        url = f"{target.scheme}://{place}:{target.port}{target.path}"
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # it reads every authority there is
        async with httpx2.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False) as http:
            request = http.build_request("POST", url, content=body, headers={**headers, "host": target.authority})
            request.extensions = {**request.extensions, "sni_hostname": target.host}
            reply = await http.send(request, stream=True)
            await reply.aclose()
            return reply.status_code


async def looked_up(host: str, port: int) -> list[str]:
    """All addresses of a host, each once. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
