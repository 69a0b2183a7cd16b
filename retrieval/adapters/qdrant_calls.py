"""A call to a Qdrant server: with a deadline, tried again where a moment may mend it, and with one error for all failures."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina
from grpc import StatusCode
from grpc.aio import AioRpcError
from pydantic import ValidationError
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ingest.errors import GroundedError
from retrieval.errors import IndexUnavailable

T = TypeVar("T")
_TRIES = 3
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 0.5
_MENDS = (502, 503, 504)
_REFUSED = (401, 403, StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED)
_MISSING = (404, StatusCode.NOT_FOUND)
_START = "Start it, or correct GROUNDED_INDEX__URL, and GROUNDED_INDEX__GRPC_PORT where gRPC is on."
_FILLED = "The service makes it anew and fills it by itself; grounded doctor tells how far it is."
_KEY = "Set GROUNDED_INDEX__API_KEY to a key that may read and write."


async def called(work: Callable[[], Awaitable[T]], timeout_s: float, *, again: bool = True) -> T:
    """The result of `work`, within `timeout_s` seconds for all tries together. Only what may be done twice is tried `again`,
    and only after a broken connection or a server that is not ready: one that is slow would become slower.

    Raises IndexUnavailable, whatever happened.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await (_tried(work) if again else work())
    except GroundedError:
        raise
    except TimeoutError as error:
        raise IndexUnavailable(f"The Qdrant server did not answer within {timeout_s:g} s.", _START) from error
    except Exception as error:
        raise unavailable(error) from error


async def _tried(work: Callable[[], Awaitable[T]]) -> T:
    tries = stamina.retry_context(
        on=_mends,
        attempts=_TRIES,
        timeout=None,  # the deadline stands around all of it
        wait_initial=_FIRST_WAIT_S,
        wait_max=_LONGEST_WAIT_S,
        wait_jitter=_FIRST_WAIT_S,
    ).with_name("qdrant", (), {})  # as the log tells it
    async for attempt in tries:
        with attempt:
            return await work()
    raise AssertionError("the last try returns or raises")


def unavailable(error: Exception) -> IndexUnavailable:
    """What failed, in our words: an answer of a server may repeat what it was asked."""
    status = _status(error)
    if status in _MISSING or (isinstance(error, ValueError) and "not found" in str(error)):
        return IndexUnavailable("The Qdrant server lacks the collection of this index.", _FILLED)
    if status in _REFUSED:
        return IndexUnavailable("The Qdrant server refuses the API key.", _KEY)
    if _is_timeout(error):
        return IndexUnavailable("The Qdrant server did not answer in time.", _START)
    if _is_unreachable(error):
        return IndexUnavailable("The Qdrant server cannot be reached.", _START)
    name = status.name.lower() if isinstance(status, StatusCode) else status or type(error).__name__
    return IndexUnavailable(f"The Qdrant server answered with an error ({name}).", "See the log of the Qdrant server.")


def _mends(error: Exception) -> bool:
    return _is_unreachable(error) or _status(error) in _MENDS


def _is_unreachable(error: Exception) -> bool:
    if _status(error) == StatusCode.UNAVAILABLE:
        return True
    broken = isinstance(error, ResponseHandlingException) and not isinstance(error.source, ValidationError)
    return broken and not _is_timeout(error)


def _is_timeout(error: Exception) -> bool:
    if isinstance(error, ResponseHandlingException):
        return "Timeout" in type(error.source).__name__
    return _status(error) in (408, StatusCode.DEADLINE_EXCEEDED)


def _status(error: Exception) -> int | StatusCode | None:
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    return error.code() if isinstance(error, AioRpcError) else None
