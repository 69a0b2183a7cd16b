"""Sends webhooks, to addresses of the public internet alone. Of a reply nothing but its status is read."""

import asyncio
import ssl

import httpx2

from app.adapters.named_address import Resolve, looked_up, sent
from app.addresses import Target, is_loopback, is_public
from app.errors import WebhookFailed, WebhookTargetInside
from ingest.errors import GroundedError

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
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # it reads every authority there is
        async with sent("POST", target, address, headers=headers, content=body, tls=self._tls) as reply:
            return reply.status_code
