"""`Idempotency-Key` on writes: the same key with the same request gives the same reply, whatever became of the first.

A key of that kind is one of whoever sent it: what another caller sent with the same is another."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from fastapi import Request
from starlette.responses import Response

from app.api.ask import grounded
from app.api.authentication import principal_of
from app.errors import InvalidRequest
from app.jobs import Job, Key

_HEADER = "idempotency-key"
_LONGEST = 255
_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by key: a second request waits for the first
Do = Callable[[Key | None], Awaitable[Response]]
Told = Callable[[Job], Response]


async def once(request: Request, content: bytes, do: Do, told: Told) -> Response:
    """What `do` answers, or what it answered to that key before. `content` is what the request asks for, in one spelling.

    A request that was cut off behind its job is answered with what is `told` of that job, unless it came to nothing. An
    error is not remembered: it may be over. Raises IdempotencyConflict, InvalidRequest.
    """
    key = _key(request, content)
    if key is None:
        return await do(None)
    store = grounded(request).jobs.store
    async with _turns.setdefault(key.hash, asyncio.Lock()):
        known = await store.recall(key)
        if known is not None and known.status is not None and known.body is not None:
            return Response(known.body, known.status, media_type="application/json")
        job = await store.find(known.job_id) if known is not None and known.job_id is not None else None
        reply = told(job) if job is not None and job.status != "canceled" else await do(key)
        await store.remember(key, reply.status_code, bytes(reply.body))
        return reply


def _key(request: Request, content: bytes) -> Key | None:
    given = request.headers.get(_HEADER)
    if given is None:
        return None
    if not given.strip() or len(given) > _LONGEST:
        raise InvalidRequest(f"The Idempotency-Key is empty or longer than {_LONGEST} characters.")
    line = f"{request.method} {request.url.path}\n".encode()
    fingerprint = hashlib.sha256(line + content).hexdigest()
    who = principal_of(request)
    whose = "" if who.key_id is None else f"{who.tenant}\0{who.key_id}\0"  # no header holds such a character
    return Key(hashlib.sha256(f"{whose}{given}".encode()).hexdigest(), fingerprint)
