"""The batch API of OpenAI, and of the servers that speak like it: a file of requests in, a file of replies out, hours later.

What comes back is read without trust: a line that is no whole answer is left out, and its question is asked in another way.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from typing import Any, Literal, TypeVar

import httpx2
import openai
import orjson

from generation.adapters.chat_stream import LONGEST_ANSWER, read_usage
from generation.adapters.openai_chat import FOREIGN, translate
from generation.batch import Order, Written
from generation.errors import GenerationError, UpstreamTimeout, UpstreamTruncated
from generation.model import Usage

T = TypeVar("T")
_ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
_ENDED = ("completed", "failed", "expired", "cancelled")
_LABEL = "grounded"  # under this name each batch carries what it is found by
_LISTED = 100
_MOST_BYTES = 512 * 2**20  # of a file of replies
_LONGEST_LINE = 16 * LONGEST_ANSWER  # bytes; a character may be written as twelve, and the usage stands beside it
_CHARS_A_TOKEN = 4


class OpenAIBatch:
    """BatchModel. Holds a pool of connections: `aclose` it at the end."""

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str = "",
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        timeout_s: float = 120.0,
    ) -> None:
        """`timeout_s` is for each call, files included."""
        self._model = model
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._timeout_s = timeout_s
        self._length_field = "max_completion_tokens" if "api.openai.com" in base_url else "max_tokens"
        self._client = openai.AsyncOpenAI(
            api_key=api_key or "none",
            base_url=base_url,
            organization="",
            project="",
            timeout=timeout_s,
            max_retries=0,
            http_client=httpx2.AsyncClient(timeout=timeout_s, follow_redirects=False),
            default_headers={"Accept-Encoding": "identity"},  # a packed file could unpack to any size
        )
        self._client.organization = self._client.project = None  # not from the environment

    @property
    def name(self) -> str:
        return self._model

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.close()

    async def find(self, label: str) -> str | None:
        page = await self._told(self._client.batches.list(limit=_LISTED))
        for batch in getattr(page, "data", None) or ():
            if (getattr(batch, "metadata", None) or {}).get(_LABEL) == label:
                return str(batch.id)
        return None

    async def submit(self, orders: Sequence[Order], label: str) -> str:
        lines = b"".join(orjson.dumps(self._line(order)) + b"\n" for order in orders)
        upload = self._client.files.create(file=("batch.jsonl", lines, "application/jsonl"), purpose="batch")
        file = _id(await self._told(upload))
        made = self._client.batches.create(
            input_file_id=file, endpoint=_ENDPOINT, completion_window="24h", metadata={_LABEL: label}
        )
        try:
            return _id(await self._told(made))
        except UpstreamTimeout:  # it may have been made all the same, and is found by its label then
            raise
        except GenerationError:  # of what was refused the provider keeps no passage
            with suppress(GenerationError):
                await self._told(self._client.files.delete(file))
            raise

    def _line(self, order: Order) -> dict[str, Any]:
        longest = min(order.max_tokens or self._max_tokens, self._max_tokens)
        body = {"model": self._model, "messages": order.messages, "temperature": self._temperature}
        return {"custom_id": order.id, "method": "POST", "url": _ENDPOINT, "body": body | {self._length_field: longest}}

    async def ended(self, batch_id: str) -> bool:
        return await self._field(batch_id, "status") in _ENDED

    async def _field(self, batch_id: str, name: str) -> str | None:
        """A field of a batch, if it is there. The client checks no reply, so this does."""
        batch = await self._told(self._client.batches.retrieve(batch_id))
        found = getattr(batch, name, None)
        return found if isinstance(found, str) and found else None

    async def written(self, batch_id: str) -> list[Written]:
        """Also of one that expired or was cancelled: what was written until then is paid for."""
        file = await self._field(batch_id, "output_file_id")
        if file is None:
            return []
        found: dict[str, Written] = {}
        async for line in self._lines(file):
            if (one := read_line(line)) is not None:
                found.setdefault(one.id, one)
        return list(found.values())

    async def _lines(self, file_id: str) -> AsyncIterator[bytes]:
        """The lines of a file; the last one also without its end."""
        rest, size = b"", 0
        context = self._client.files.with_streaming_response.content(file_id)
        response = await self._told(context.__aenter__())
        try:
            pieces = response.iter_bytes()
            while (piece := await self._told(anext(pieces, None))) is not None:
                size += len(piece)
                if size > _MOST_BYTES:
                    raise UpstreamTruncated("The provider's file of answers does not end.")
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    raise UpstreamTruncated("The provider's file of answers has a line that does not end.")
                for line in lines:
                    yield line
            yield rest
        finally:
            await response.close()

    async def cancel(self, batch_id: str) -> None:
        await self._told(self._client.batches.cancel(batch_id))

    async def forget(self, batch_id: str) -> None:
        for name in ("input_file_id", "output_file_id", "error_file_id"):
            if (file := await self._field(batch_id, name)) is not None:
                await self._told(self._client.files.delete(file))

    async def _told(self, call: Awaitable[T]) -> T:
        """What the provider says; its own words of errors are cut off, since they may repeat keys and questions."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call
        except TimeoutError:
            raise UpstreamTimeout("The provider's batch API did not answer in time.") from None
        except FOREIGN as error:
            raise translate(error) from None
        except (ValueError, AttributeError, TypeError):  # pydantic's among them: a reply of another shape
            raise UpstreamTruncated("The provider's batch API answered with something else.") from None


def _id(made: object) -> str:
    found = getattr(made, "id", None)
    if not isinstance(found, str) or not found:
        raise UpstreamTruncated("The provider's batch API answered with something else.")
    return found


def read_line(line: bytes) -> Written | None:
    """What was written, of a line of a file of replies; None for what is no whole answer."""
    with suppress(orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        said = orjson.loads(line)
        reply = said["response"]
        choice = reply["body"]["choices"][0]
        text, finish = choice["message"]["content"], choice["finish_reason"]
        whole = reply["status_code"] == 200 and finish in ("stop", "length") and isinstance(said["custom_id"], str)
        if whole and isinstance(text, str) and 0 < len(text) <= LONGEST_ANSWER:
            usage = read_usage(reply["body"].get("usage")) or Usage(0, -(-len(text) // _CHARS_A_TOKEN))
            return Written(said["custom_id"], text, finish, usage)
    return None
