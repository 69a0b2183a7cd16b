"""Any OpenAI-compatible chat endpoint as a Generator: vLLM, OpenAI, and the many that speak like them.

Four limits end a wait: to connect, for the first token, between tokens, for the whole. Each guards single reads and none
is open across a yield. Nothing is tried twice: who may retry, and for how long, is decided above.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, cast

import httpx2
import openai

from generation.adapters.chat_stream import EventData, Reply, speaks_of_length
from generation.citations import Marks
from generation.errors import (
    ContextTooLong,
    GenerationError,
    UpstreamMisconfigured,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from generation.model import Ask, Attempt, Draft, DraftEnd, Usage
from generation.not_in_sources import NotInSources
from generation.prompt import Message, Prompt, PromptSource, load_prompt
from generation.retry import retry_after_s
from generation.unparsed import Unparsed
from retrieval.model import Context

T = TypeVar("T")
StructuredOutput = Literal["json_schema", "json_object", "none"]
_DRAIN_S = 0.05  # the bytes behind the end marker are there already; reading them lets the connection be used again
_POOL = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)  # admission decides how many there are
_CHARS_A_TOKEN = 4  # English; only for endpoints that do not count
_LOGGERS = ("openai", "httpx2", "httpcore2")
# Everything the client and its transport raise. What is not here is a mistake of ours and must not look like theirs.
FOREIGN = (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict, OSError)
_UNUSABLE = (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `whole` counts from the request to the end marker."""

    connect: float = 5.0
    first_token: float = 30.0
    between_tokens: float = 15.0
    whole: float = 120.0


class OpenAIChatGenerator:
    """Drafts with a chat model. Holds a pool of connections: `aclose` it at the end."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str = "",
        max_tokens: int = 512,
        temperature: float = 0.0,
        limits: Limits | None = None,
        prompt: PromptSource | None = None,
        structured: PromptSource | None = None,
        structured_output: StructuredOutput = "json_schema",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`structured` is the prompt for answers that are data, and `structured_output` what the endpoint can hold a model
        to: a schema, an object, or nothing."""
        self._model = model
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._limits = limits or Limits()
        self._prompt = prompt or load_prompt()
        self._structured = structured or load_prompt("structured")
        self._structured_output = structured_output
        self._clock = clock
        self._length_field = "max_completion_tokens" if "api.openai.com" in base_url else "max_tokens"
        self._client = _client(base_url, api_key, self._limits)

    @property
    def name(self) -> str:
        return self._model

    @property
    def prompt_version(self) -> str | None:
        return self._prompt.now().version

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._client.close()

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        """See ports.Generator. The reply `NOT_IN_SOURCES` becomes an abstention. Usage that the endpoint does not tell,
        or tells absurdly, is estimated at four characters a token. An answer that a content filter cut is truncated. Errors
        carry what was received and has to be paid for; of a draft that is closed, the prompt and the words received are
        noted in the ask's meter, estimated, since endpoints tell no tokens then."""
        prompt = (self._structured if ask.response_format else self._prompt).now()
        messages = prompt.request(ask, context)
        reply = Reply()
        try:
            async with aclosing(self._drafted(ask, prompt, messages, reply, len(context.passages))) as drafts:
                async for draft in drafts:
                    yield draft
        except GenerationError as error:
            error.usage = _spent(reply, messages)
            raise
        except (GeneratorExit, asyncio.CancelledError):
            ask.meter.left(Attempt(self._model, None, "cancelled", reply.usage or _estimated(reply, messages)))
            raise

    async def _drafted(
        self, ask: Ask, prompt: Prompt, messages: list[Message], reply: Reply, passages: int
    ) -> AsyncGenerator[Draft, None]:
        drafted = False
        gate, marks = NotInSources(), Unparsed() if ask.response_format else Marks(passages)
        async with aclosing(self._texts(self._request(ask, prompt, messages), reply)) as texts:
            async for text in texts:
                for draft in marks.feed(gate.feed(text)):
                    drafted = True
                    yield draft
        reply.check_complete()
        for draft in [*marks.feed(gate.close()), *marks.close()]:
            drafted = True
            yield draft
        if not drafted and not gate.abstained:
            raise UpstreamTruncated("The model endpoint sent an answer without a word.")
        yield replace(_end(reply, gate, marks, messages), prompt_version=prompt.version)

    def _request(self, ask: Ask, prompt: Prompt, messages: list[Message]) -> dict[str, Any]:
        limits = (self._max_tokens, ask.max_tokens, prompt.max_tokens)
        wanted = _response_format(ask, self._structured_output)
        return {
            "model": self._model,
            "messages": messages,
            "temperature": self._temperature,
            self._length_field: min(limit for limit in limits if limit is not None),
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"response_format": wanted} if wanted else {}),
        }

    async def _texts(self, request: dict[str, Any], reply: Reply) -> AsyncGenerator[str, None]:
        """Answer text as it comes, until the end marker or the end of the stream."""
        patience = _Patience(self._limits, self._clock)
        response = await patience.wait(self._opened(request), begun=False)
        try:
            events, pieces = EventData(), response.aiter_bytes()
            piece: bytes | None = b""
            while piece is not None and not reply.is_over():
                piece = await patience.wait(anext(pieces, None), begun=True)
                texts: list[str] = []
                try:
                    for data in events.close() if piece is None else events.feed(piece):
                        text, alive = reply.read(data)
                        if alive:
                            patience.renew()
                        texts.append(text)
                        if reply.is_over():
                            break  # what comes behind the end is none of ours, not even an error
                except GenerationError:
                    if said := "".join(texts):
                        yield said  # in front of what is wrong
                    raise
                if said := "".join(texts):  # words that came together go on together: each alone costs as much
                    yield said
            if piece is not None:
                await _drain(pieces)
        finally:
            await response.aclose()

    async def _opened(self, request: dict[str, Any]) -> httpx2.Response:
        """By the client's call for any address: that for chats walks through all messages to check the types of ours, which
        takes longer than all else that is done for a request here."""
        response = await self._client.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            body=request,
            options={"security": {"bearer_auth": True}},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast(httpx2.Response, response)  # as asked for, though the client's types say otherwise


class _Patience:
    """How long to wait for the next token."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._between = limits.between_tokens
        self._clock = clock
        self._end = clock() + limits.whole
        self._next = clock() + limits.first_token

    def renew(self) -> None:
        """A token came."""
        self._next = self._clock() + self._between

    async def wait(self, work: Awaitable[T], *, begun: bool) -> T:
        """The result of one read. Raises UpstreamTimeout and what `translate` makes of the client's errors.

        Their own words are cut off with `from None`: endpoints repeat keys and questions in them.
        """
        try:
            async with asyncio.timeout(min(self._next, self._end) - self._clock()):
                return await work
        except TimeoutError:
            whole = self._end <= self._next
            what = "did not finish its answer in time" if whole else "was silent for too long"
            raise UpstreamTimeout(f"The model endpoint {what}.") from None
        except FOREIGN as error:
            raise translate(error, begun=begun) from None


def translate(error: BaseException, *, begun: bool = False) -> GenerationError:
    """Our leaf for an error of the client or its transport; `begun` once the endpoint had answered with success."""
    if isinstance(error, openai.APIStatusError):
        return _refusal(error)
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException | TimeoutError):
        return UpstreamTimeout("The model endpoint could not be reached in time.")
    if isinstance(error.__cause__ or error, _UNUSABLE):
        return UpstreamMisconfigured(
            "The model endpoint's address cannot be used.", "Check base_url of the tier, or under [generation]."
        )
    if begun:
        return UpstreamTruncated("The connection to the model endpoint broke off.")
    return UpstreamUnavailable(f"The model endpoint cannot be reached ({_cause(error)}).")


def _refusal(error: openai.APIStatusError) -> GenerationError:
    """What an endpoint's status means. A key, model or address that is refused is the endpoint's state, a body that is
    refused is the request's."""
    status = error.status_code
    said = f"The model endpoint answered with status {status}."
    if status == 413 or (status in (400, 422) and speaks_of_length((error.body, error.message))):
        return ContextTooLong("Question and passages do not fit the model's window.")
    if status in (401, 403, 404):
        return UpstreamMisconfigured(said)
    if status in (408, 409, 425, 429) or status >= 500:
        return _unavailable(said, error)
    wrong = UpstreamMisconfigured(
        said, "Check base_url of the tier, or under [generation], and what the endpoint supports."
    )
    return wrong.caused_by_request() if status in (400, 422) else wrong


def _unavailable(said: str, error: openai.APIStatusError) -> UpstreamUnavailable:
    unavailable = UpstreamUnavailable(said)
    headers = error.response.headers
    unavailable.again = headers.get("x-should-retry") != "false"
    unavailable.retry_after_s = retry_after_s(headers, datetime.now(UTC))
    return unavailable


def _cause(error: BaseException) -> str:
    """The kind of the innermost error: ConnectError says more than APIConnectionError, and no kind holds a secret."""
    return type(error.__cause__ or error).__name__


def _client(base_url: str, api_key: str, limits: Limits) -> openai.AsyncOpenAI:
    for name in _LOGGERS:
        # On debug they log requests, and with them the question and the passages.
        logging.getLogger(name).setLevel(logging.WARNING)
    timeout = httpx2.Timeout(connect=limits.connect, pool=limits.connect, write=limits.first_token, read=None)
    client = openai.AsyncOpenAI(
        api_key=api_key or "none",  # the client refuses to start without one; endpoints without keys do not look
        base_url=base_url,
        organization="",
        project="",
        timeout=timeout,
        max_retries=0,
        http_client=httpx2.AsyncClient(timeout=timeout, follow_redirects=False, limits=_POOL),
        default_headers={"Accept-Encoding": "identity"},  # a packed answer could unpack to any size
    )
    client.organization = client.project = None  # not from the environment, and no empty header either
    return client


async def _drain(pieces: Any) -> None:
    with suppress(TimeoutError, StopAsyncIteration, *FOREIGN):
        async with asyncio.timeout(_DRAIN_S):
            await anext(pieces)


def _response_format(ask: Ask, can: StructuredOutput) -> dict[str, Any] | None:
    """What the endpoint is told of the form of the reply; the prompt says it in any case."""
    wanted = ask.response_format
    if wanted is None or can == "none":
        return None
    if wanted.sent is None or can == "json_object":
        return {"type": "json_object"}
    schema = {"name": wanted.name, "schema": wanted.sent, "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": schema}


def _end(reply: Reply, gate: NotInSources, marks: Marks | Unparsed, messages: list[Message]) -> DraftEnd:
    usage = reply.usage or _estimated(reply, messages)
    if gate.abstained:
        return DraftEnd(abstained="not_in_passages", usage=usage)
    finish: Literal["stop", "length"] = "length" if reply.finish == "length" else "stop"
    return DraftEnd(finish, usage=usage, unknown_marks=marks.unknown)


def _spent(reply: Reply, messages: list[Message]) -> Usage:
    """What an answer that broke off took: nothing, as far as is known, where not a word came."""
    return reply.usage or (_estimated(reply, messages) if reply.text_length else Usage())


def _estimated(reply: Reply, messages: list[Message]) -> Usage:
    return Usage(_estimate(sum(len(m["content"]) for m in messages)), _estimate(reply.text_length))


def _estimate(characters: int) -> int:
    return -(-characters // _CHARS_A_TOKEN)
