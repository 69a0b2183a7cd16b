"""Around every route, as pure ASGI: how often somebody may come, and how long a request may take to arrive.

`Arrivals` stands before keys are looked at, so that guessing them is counted too; `KeyRates` stands behind.
"""

import asyncio
import ipaddress
from typing import TYPE_CHECKING

from app.api.authentication import from_here
from app.api.replies import error_response
from app.errors import InvalidRequest, RateLimited, RequestTooSlow
from app.limit_settings import LimitSettings
from app.limits.window import Rate
from ingest.errors import GroundedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.keys.model import Principal
    from app.wiring import Grounded

_FREE = ("/health/live", "/health/ready")  # asked by those who watch over the service
_SLOWEST = 16_384  # bytes of a body in a second, behind the first `body_s`
_SITE_BITS = 64  # of an IPv6 address: one household or machine has all addresses below them
USED = b"x-budget-used"


class Arrivals:
    """Counts requests by address, and waits for no body for ever."""

    def __init__(self, app: "ASGIApp", limits: LimitSettings) -> None:
        self._app = app
        self._limits = limits
        self._rate = Rate("address", limits.address_per_minute)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on what is not too much."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = await self._refusal(scope)
        app = self._app if refusal is None else error_response(refusal, scope["state"]["request_id"])
        await app(scope, _hurried(receive, self._limits.body_s), send)

    async def _refusal(self, scope: "Scope") -> GroundedError | None:
        if len(scope["headers"]) > self._limits.max_headers:
            return InvalidRequest(f"The request has more than {self._limits.max_headers} headers.")
        if not self._rate.most or scope["path"] in _FREE or from_here(scope):
            return None
        return await _over(_product(scope), self._rate, site_of(scope), "this address")


class KeyRates:
    """Counts requests by key, and tells how much of a budget is gone."""

    def __init__(self, app: "ASGIApp", limits: LimitSettings) -> None:
        self._app = app
        self._rate = Rate("key", limits.key_per_minute)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on what is not too much."""
        who: Principal | None = scope.get("state", {}).get("principal")
        if who is None:
            await self._app(scope, receive, send)
            return
        product = _product(scope)
        if self._rate.most and who.key_id is not None:
            refusal = await _over(product, self._rate, who.key_id, "this key")
            if refusal is not None:
                await error_response(refusal, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, _marked(send, product, who))


def site_of(scope: "Scope") -> str:
    """Where a request comes from, as far as one may have many addresses."""
    text = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address) >> _SITE_BITS << _SITE_BITS, _SITE_BITS)))
    return text


def _product(scope: "Scope") -> "Grounded":
    found: Grounded = scope["app"].state.grounded
    return found


async def _over(product: "Grounded", rate: Rate, who: str, whose: str) -> RateLimited | None:
    wait_s = await product.rates.take(rate, who)
    if wait_s is None:
        return None
    details = {"limit": rate.most, "period_s": int(rate.period_s), "remaining": 0, "of": rate.name}
    message = f"More than {rate.most} requests of {whose} in a minute."
    return RateLimited(message, details=details, retry_after=max(1, int(wait_s) + 1))


def _hurried(receive: "Receive", body_s: float) -> "Receive":
    """Until the body is there, each piece has to come in time; behind it, nobody is hurried."""
    loop = asyncio.get_running_loop()
    begun, seen, whole = loop.time(), 0, False

    async def hurried() -> "Message":
        nonlocal seen, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(begun + body_s + seen / _SLOWEST):
                message = await receive()
        except TimeoutError:
            raise RequestTooSlow("The body of the request did not arrive in time.") from None
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        return message

    return hurried


def _marked(send: "Send", product: "Grounded", who: "Principal") -> "Send":
    """With the budgets of which little is left, as they stand when the reply begins."""

    async def marked(message: "Message") -> None:
        if message["type"] == "http.response.start" and (used := product.budgets.marked(who)):
            told = ", ".join(f"{one.name} {one.period} {one.unit} {one.share:.2f}" for one in used)
            message["headers"] = [*message.get("headers", []), (USED, told.encode())]
        await send(message)

    return marked
