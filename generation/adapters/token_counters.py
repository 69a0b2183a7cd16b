"""How the serving model counts: by its own `tokenizer.json`, or by asking the endpoint that serves it.

Nothing is ever fetched: a file is there, or the endpoint that the operator named answers, or tokens are estimated.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx2
import orjson
from tokenizers import Tokenizer

from generation.errors import UpstreamUnavailable
from generation.ports import TokenCounter
from generation.sizes import Estimate, estimated

_TOGETHER = 8  # requests on their way at once
_REMEMBERED = 4096  # texts whose count is kept; passages come again and again
_LARGEST = 1_000_000  # bytes of a reply; one lists the tokens of a passage
_AGAIN_S = 60.0  # until an endpoint that did not answer is asked again


def counter_for(wanted: str, base_url: str, model: str, api_key: str = "") -> TokenCounter:
    """As the setting says: `auto`, `estimate`, or the path of a tokenizer. Raises ValueError where it cannot be read."""
    match wanted:
        case "estimate":
            return Estimate()
        case "auto":
            return TokenizeEndpoint(base_url, model, api_key)
        case _:
            return TokenizerFile(Path(wanted))


class TokenizerFile:
    """The token counter over a `tokenizer.json`."""

    def __init__(self, path: Path) -> None:
        """The file, or the model folder that holds it. Raises ValueError where it cannot be read."""
        file = path / "tokenizer.json" if path.is_dir() else path
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{file.name} is no tokenizer that can be read") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.name = file.name

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    async def count(self, texts: Sequence[str]) -> list[int]:
        return await asyncio.to_thread(self._counted, list(texts))

    def _counted(self, texts: list[str]) -> list[int]:
        return [len(found.ids) for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


class TokenizeEndpoint:
    """The token counter over vLLM's `/tokenize`. An endpoint that has none is not asked twice; its texts are estimated."""

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str = "",
        timeout_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_s` is for all texts of one call."""
        self._url = base_url.rstrip("/").removesuffix("/v1") + "/tokenize"
        self._model = model
        self._timeout_s = timeout_s
        self._clock = clock
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._client = httpx2.AsyncClient(timeout=timeout_s, headers=headers, follow_redirects=False)
        self._known: OrderedDict[str, int] = OrderedDict()
        self._has_one: bool | None = None  # None until it has answered
        self._ask_at = 0.0

    @property
    def name(self) -> str:
        return "estimate" if self._has_one is False else "endpoint"

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Raises UpstreamUnavailable where the endpoint has answered before and does not now."""
        if self._has_one is False or self._clock() < self._ask_at:
            return [estimated(text) for text in texts]
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        try:
            async with asyncio.timeout(self._timeout_s):
                counts = await self._counted(new)
        except (TimeoutError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError):
            counts = None
        if counts is None:
            return self._without(texts)
        told = self._known | dict(zip(new, counts, strict=True))
        self._remember(dict(zip(new, counts, strict=True)))
        return [told[text] for text in texts]

    def _without(self, texts: Sequence[str]) -> list[int]:
        if self._has_one is False:
            return [estimated(text) for text in texts]
        self._ask_at = self._clock() + _AGAIN_S
        if self._has_one:
            raise UpstreamUnavailable("The model endpoint does not count tokens any more.")
        return [estimated(text) for text in texts]

    def _remember(self, counts: dict[str, int]) -> None:
        self._known |= counts
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _counted(self, texts: Sequence[str]) -> list[int] | None:
        """None where the endpoint has no such route. The first text tells, so that one without is asked once."""
        if not texts:
            return []
        first = await self._one(texts[0])
        if first is None:
            return None
        turns = asyncio.Semaphore(_TOGETHER)

        async def one(text: str) -> int | None:
            async with turns:
                return await self._one(text)

        counts = [first, *await asyncio.gather(*map(one, texts[1:]))]
        return None if None in counts else [count for count in counts if count is not None]

    async def _one(self, text: str) -> int | None:
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        async with self._client.stream("POST", self._url, json=body) as response:
            if response.status_code >= 500 or response.status_code in (408, 429):
                return None
            count = _count(await _body(response)) if response.status_code == 200 else None
        if self._has_one is None or count is not None:
            self._has_one = count is not None
        return count


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _LARGEST:
            return b""
    return bytes(body)


def _count(body: bytes) -> int | None:
    """The count of a reply of vLLM's; None for whatever else answered."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    count = told.get("count") if isinstance(told, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < _LARGEST else None
