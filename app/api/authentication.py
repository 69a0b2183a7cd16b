"""Around every route, as pure ASGI: who asks, and whether they may ask that. Nothing of a refused request is read.

An address that no table knows is refused as well, so a new route is closed until somebody says who may call it.
"""

import asyncio
import ipaddress
from typing import TYPE_CHECKING

from app.api.replies import error_response
from app.keys.authenticator import Authenticator
from app.keys.model import LOCAL, Principal
from app.keys.routes import need_of
from ingest.errors import GroundedError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")
_EVEN_S = 0.03  # longer than it takes to find that something is not there, or is somebody else's
_NOT_FOUND = 404


class Authentication:
    """Puts the principal into the request's state, or refuses the request."""

    def __init__(self, app: "ASGIApp", *, local: bool = False) -> None:
        """`local`: the caller is the program that owns the state folder and has opened the application within itself."""
        self._app = app
        self._local = local

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on what is allowed."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            who = await self._admitted(scope)
        except GroundedError as error:
            await error_response(error, scope["state"]["request_id"])(scope, receive, send)
            return
        if who is not None:
            scope["state"]["principal"] = who
            if who.key_id is not None:
                send = _evened(send)
        await self._app(scope, receive, send)

    async def _admitted(self, scope: "Scope") -> Principal | None:
        """Who asks; None where nobody is asked who they are. Raises what `authenticate` and `Need.check` do."""
        need = need_of(scope["method"], scope["path"])
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        if need.special == "public" or (need.special == "here" and not headers and from_here(scope)):
            return None
        if self._local:
            return LOCAL
        authenticator: Authenticator = scope["app"].state.grounded.authenticator
        who = await authenticator.authenticate(headers)
        need.check(who)
        return who


def principal_of(request: "Request") -> Principal:
    """Who asks."""
    found: Principal = request.state.principal
    return found


def from_here(scope: "Scope") -> bool:
    """Whether a program on this machine asks: not through a proxy, which is on this machine too."""
    client = scope.get("client")
    try:
        here = client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
    return here and not any(name in _FORWARDED for name, _ in scope["headers"])


def _evened(send: "Send") -> "Send":
    """That there is no such thing is said at the same time whether there is none or it is somebody else's; where finding that
    takes longer, at the next beat."""
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def evened(message: "Message") -> None:
        if message["type"] == "http.response.start" and message["status"] == _NOT_FOUND:
            await asyncio.sleep((begun - loop.time()) % _EVEN_S)
        await send(message)

    return evened
