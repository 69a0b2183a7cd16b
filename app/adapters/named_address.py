"""Requests to addresses that somebody else has named. A name is looked up once, whoever asks checks every address that it
stands for, and one of those is connected to: a second look-up, which could say something else, never happens. Redirects are
not followed and proxies not used."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import httpx2

from app.addresses import Target

_CONNECT_S = 5.0  # then another address of the name may be tried
Resolve = Callable[[str, int], Awaitable[list[str]]]


async def looked_up(host: str, port: int) -> list[str]:
    """All addresses of a host, each once. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@asynccontextmanager
async def sent(
    method: str,
    target: Target,
    address: str,
    *,
    headers: Mapping[str, str],
    content: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[httpx2.Response]:
    """The reply of this very address, its body not read. The address stands in place of the name; the name is what the
    certificate is compared with, and the Host. The caller sets the time for all of it. Raises httpx2.HTTPError, OSError."""
    place = f"[{address}]" if ":" in address else address
    url = f"{target.scheme}://{place}:{target.port}{target.path}"
    if tls is None:
        tls = await asyncio.to_thread(ssl.create_default_context)  # it reads every authority there is
    timeout = httpx2.Timeout(None, connect=_CONNECT_S)
    async with httpx2.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=timeout) as http:
        request = http.build_request(method, url, content=content, headers={**headers, "host": target.authority})
        request.extensions = {**request.extensions, "sni_hostname": target.host}
        reply = await http.send(request, stream=True)
        try:
            yield reply
        finally:
            await reply.aclose()
