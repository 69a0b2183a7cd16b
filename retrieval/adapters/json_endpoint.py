"""A JSON endpoint of a model: one POST, one bounded answer, one error for whatever goes wrong.

What an endpoint says about a failure is never passed on: it may repeat the texts it was sent, or the key.
"""

import asyncio
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

# What the client and its transport raise. What is not here is a mistake of ours and must not look like theirs.
_FOREIGN = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict, OSError)
_PASSING = frozenset((408, 409, 425, 429))  # with everything from 500 on: the same request may succeed later


class EndpointFailed(Exception):
    """No answer, or none that can be used. `again` says that the same request may succeed later, `after_s` when."""

    def __init__(self, what: str, *, again: bool = False, after_s: float | None = None) -> None:
        super().__init__(what)
        self.again = again
        self.after_s = after_s


class JsonEndpoint:
    """Holds a pool of connections: `aclose` it at the end."""

    def __init__(self, url: str, api_key: str = "", timeout_s: float = 30.0) -> None:
        """`timeout_s` is for one request with its whole answer, so that one that drips is late too."""
        self._url = url
        self._timeout_s = timeout_s
        headers = {"Accept-Encoding": "identity"}  # a packed answer could unpack to any size
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._client = httpx2.AsyncClient(timeout=timeout_s, headers=headers, follow_redirects=False)

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def post(self, body: Any, largest: int) -> Any:
        """The parsed answer, of `largest` bytes at most. Raises EndpointFailed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._answer(orjson.dumps(body), largest)
        except TimeoutError:
            raise EndpointFailed(f"did not answer within {self._timeout_s:g} s", again=True) from None
        except _FOREIGN as error:
            timed_out = isinstance(error, httpx2.TimeoutException)
            what = "did not answer in time" if timed_out else f"cannot be reached ({type(error).__name__})"
            raise EndpointFailed(what, again=not isinstance(error, httpx2.InvalidURL)) from None
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise EndpointFailed("did not answer in JSON") from None

    async def _answer(self, body: bytes, largest: int) -> bytes:
        headers = {"Content-Type": "application/json"}
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            if response.status_code != 200:
                raise _refusal(response)
            found = bytearray()
            async for piece in response.aiter_bytes():
                found += piece
                if len(found) > largest:
                    raise EndpointFailed("sent more than it was asked for")
            return bytes(found)


def _refusal(response: httpx2.Response) -> EndpointFailed:
    status = response.status_code
    again = status in _PASSING or status >= 500
    return EndpointFailed(f"answered with status {status}", again=again, after_s=retry_after(response.headers))


def retry_after(headers: "httpx2.Headers | dict[str, str]") -> float | None:
    """Seconds, told as such or as a date (RFC 9110, 10.2.3). None where there is nothing that can be read."""
    told = headers.get("retry-after") or ""
    try:
        seconds = float(told) if told else math.nan
    except ValueError:
        seconds = _until(told)
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
