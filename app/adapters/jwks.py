"""The public keys of an identity provider: fetched from an address that is checked as that of a webhook is, or read from a
file. Known keys are used for as long as an hour while the provider cannot be reached; after that no token is accepted."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson
import structlog

from app.adapters.named_address import Resolve, looked_up, sent
from app.addresses import Target, is_loopback, is_public
from app.errors import IdentityUnavailable

_FRESH_S = 300.0
_KEPT_S = 3600.0
_AGAIN_S = 10.0  # between two looks for a key that is not known, and behind one that failed
_TIMEOUT_S = 5.0
_MOST_BYTES = 256 * 1024
_log = structlog.get_logger()
Read = Callable[[], Awaitable[bytes]]


class Jwks:
    """PublicKeys of a JWK set."""

    def __init__(self, read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        """`read` gives the set as JSON. Raises OSError, httpx2.HTTPError, TimeoutError."""
        self._read = read
        self._clock = clock
        self._turn = asyncio.Lock()
        self._keys: dict[str, Mapping[str, Any]] = {}
        self._read_at = -math.inf
        self._tried_at = -math.inf

    async def named(self, kid: str) -> Mapping[str, Any] | None:
        """See app.adapters.jwt_tokens.PublicKeys."""
        if self._wanted(kid):
            async with self._turn:
                if self._wanted(kid):
                    await self._look()
        if self._clock() - self._read_at > _KEPT_S:
            raise IdentityUnavailable("The keys of the identity provider cannot be had.")
        return self._keys.get(kid)

    def _wanted(self, kid: str) -> bool:
        """Whether to look: keys of five minutes ago, or one that is not known, but not at every token."""
        stale = self._clock() - self._read_at > _FRESH_S or kid not in self._keys
        return stale and self._clock() - self._tried_at > _AGAIN_S

    async def _look(self) -> None:
        self._tried_at = self._clock()
        try:
            found = _keys_of(await self._read())
        except (OSError, httpx2.HTTPError, httpx2.StreamError, ValueError) as error:  # TimeoutError is an OSError
            _log.warning("oidc.keys_not_read", cause=type(error).__name__)
            return
        self._keys, self._read_at = found, self._clock()


def from_file(path: Path) -> Read:
    """Reads the file."""

    async def read() -> bytes:
        return await asyncio.to_thread(path.read_bytes)

    return read


def from_url(target: Target, *, private: bool, resolve: Resolve = looked_up) -> Read:
    """Fetches the set. The name is looked up once, every address that it stands for is checked, and one of these is
    connected to; redirects are not followed. With `private` it may be one of any network, also without TLS."""

    async def read() -> bytes:
        async with asyncio.timeout(_TIMEOUT_S):
            addresses = await resolve(target.host, target.port)
            inside = not addresses or not all(map(is_public, addresses))
            if not addresses or (inside and not private):
                raise OSError("the address of jwks_url is not one of the public internet")
            if target.scheme != "https" and not all(map(_is_inside, addresses)):
                raise OSError("jwks_url leads to the internet without TLS")
            return await _fetched(target, addresses[0])

    return read


async def _fetched(target: Target, address: str) -> bytes:
    async with sent("GET", target, address, headers={"accept": "application/json"}) as reply:
        if reply.status_code != httpx2.codes.OK:
            raise OSError(f"jwks_url answered with status {reply.status_code}")
        return await _body(reply)


async def _body(reply: httpx2.Response) -> bytes:
    found = b""
    async for piece in reply.aiter_bytes():
        found += piece
        if len(found) > _MOST_BYTES:
            raise OSError("jwks_url answers with too much")
    return found


def _keys_of(data: bytes) -> dict[str, Mapping[str, Any]]:
    """By name. Raises ValueError for what is no set of keys."""
    content = orjson.loads(data)
    listed = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no set of keys")  # noqa: TRY004  it is data that is wrong
    return {key["kid"]: key for key in listed if isinstance(key, dict) and isinstance(key.get("kid"), str)}


def _is_inside(address: str) -> bool:
    return is_loopback(address) or not is_public(address)
