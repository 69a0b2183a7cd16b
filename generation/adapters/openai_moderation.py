"""Moderation by any OpenAI-compatible `/v1/moderations`.

What the endpoint says of a text is read without trust: an answer that is not one for each text is a failure.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx2
import orjson

from generation.errors import ModerationUnavailable
from generation.moderation import Categories

_LARGEST = 1_000_000  # bytes of a reply; a real one has a few thousand
_LONGEST_NAME = 64  # characters of a category; it is told to whoever asked
_FLAGGED = "flagged"  # where the endpoint says that something is wrong, and not what
_FOREIGN = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict, OSError)


class OpenAIModerator:
    """The moderator port over an endpoint. Holds a pool of connections: `aclose` it at the end."""

    def __init__(
        self,
        base_url: str,
        model: str = "",
        api_key: str = "",
        labels: Sequence[str] = (),
        threshold: float = 0.5,
        timeout_s: float = 2.0,
    ) -> None:
        """`base_url` is what stands before `/moderations`. Without `labels` the endpoint's own verdict counts; with them
        these categories alone, from `threshold` on."""
        self._url = base_url.rstrip("/") + "/moderations"
        self._model = model
        self._labels = tuple(labels)
        self._threshold = threshold
        self._timeout_s = timeout_s
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.AsyncClient(timeout=timeout_s, headers=headers, follow_redirects=False)

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def look(self, texts: Sequence[str]) -> list[Categories]:
        """See Moderator."""
        body = {"input": list(texts)} | ({"model": self._model} if self._model else {})
        try:
            async with asyncio.timeout(self._timeout_s):
                told = orjson.loads(await self._reply(orjson.dumps(body)))
        except TimeoutError:
            raise ModerationUnavailable("The moderation endpoint did not answer in time.") from None
        except _FOREIGN as error:
            raise ModerationUnavailable(
                f"The moderation endpoint cannot be reached ({type(error).__name__})."
            ) from None
        except orjson.JSONDecodeError:
            raise ModerationUnavailable("The moderation endpoint did not answer in JSON.") from None
        results = told.get("results") if isinstance(told, dict) else None
        if not isinstance(results, list) or len(results) != len(texts):
            raise ModerationUnavailable("The moderation endpoint did not answer for every text.")
        return [self._blocking(result) for result in results]

    async def _reply(self, body: bytes) -> bytes:
        async with self._client.stream("POST", self._url, content=body) as response:
            if response.status_code != 200:
                raise ModerationUnavailable(f"The moderation endpoint answered with status {response.status_code}.")
            found = bytearray()
            async for piece in response.aiter_bytes():
                found += piece
                if len(found) > _LARGEST:
                    raise ModerationUnavailable("The moderation endpoint sent more than a verdict.")
            return bytes(found)

    def _blocking(self, result: Any) -> Categories:
        """The categories of one verdict. A label without a score is one that the endpoint does not know: not a pass."""
        if not isinstance(result, dict) or not isinstance(result.get("flagged"), bool):
            raise ModerationUnavailable("The moderation endpoint gave no verdict on a text.")
        scores, named = result.get("category_scores"), result.get("categories")
        if not self._labels:
            said = named.items() if isinstance(named, dict) else ()
            found = tuple(str(name)[:_LONGEST_NAME] for name, holds in said if holds is True)
            return (found or (_FLAGGED,)) if result["flagged"] else ()
        values = {label: scores.get(label) if isinstance(scores, dict) else None for label in self._labels}
        told = {label: value for label, value in values.items() if isinstance(value, int | float)}
        if len(told) < len(values):
            raise ModerationUnavailable("The moderation endpoint gave no score for a label of moderation.labels.")
        return tuple(label for label, value in told.items() if value >= self._threshold)
