import asyncio
import contextlib
import inspect
import logging
import time

import httpx2
import openai
import pytest

from generation.adapters.chat_stream import EventData, Reply
from generation.adapters.openai_chat import FOREIGN, Limits, OpenAIChatGenerator, translate
from generation.errors import (
    ContextTooLong,
    GenerationError,
    UpstreamMisconfigured,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from generation.model import Ask, Draft, DraftEnd, DraftSentence, DraftText
from tests.passages import context
from tests.patience import PATIENCE_S
from tests.scripted_upstream import DONE, HEAD, Reset, Stall, Step, Wait, chunk, data, refusal, reply, upstream, usage

KEY = "sk-very-secret"
CONTEXT = context("Refunds are issued within 14 days.", "Shipping is free.")
ASK = Ask("How long do refunds take?", (("user", "Hello"), ("assistant", "Hi")))
OTHERS_S = 2 * PATIENCE_S  # limits that a test does not name: what ends sooner was ended by the one it names

UNNAMED = dict.fromkeys(("connect", "first_token", "between_tokens", "whole"), OTHERS_S)


def generator(url: str, **limits: float) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(base_url=url, model="m", api_key=KEY, limits=Limits(**{**UNNAMED, **limits}))


async def drafts(url: str, ask: Ask = ASK, /, **limits: float) -> list[Draft]:
    made = generator(url, **limits)
    try:
        return [draft async for draft in made.draft(ask, CONTEXT)]
    finally:
        await made.aclose()


def run(*script: Step, **limits: float) -> list[Draft]:
    async def main() -> list[Draft]:
        async with upstream(*script) as server:
            return await drafts(server.url, **limits)

    return asyncio.run(main())


def fails(error: type[GenerationError], *script: Step, **limits: float) -> GenerationError:
    """The error, and that neither it nor what it is chained to says the key or what the endpoint said."""
    with pytest.raises(GenerationError) as caught:
        run(*script, **limits)
    assert type(caught.value) is error
    shown = "".join(map(str, (caught.value, repr(caught.value), caught.value.next_step)))
    assert KEY not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def answer(found: list[Draft]) -> str:
    return "".join(draft.text for draft in found if isinstance(draft, DraftText))


def end(found: list[Draft]) -> DraftEnd:
    assert isinstance(found[-1], DraftEnd)
    assert sum(isinstance(draft, DraftEnd) for draft in found) == 1
    return found[-1]


def test_a_cited_answer() -> None:
    found = run(*reply("Refunds take 14", " days [", "1]. Ship", "ping is free.[2][7]"))
    assert answer(found) == "Refunds take 14 days. Shipping is free."
    assert [draft for draft in found if isinstance(draft, DraftSentence)] == [
        DraftSentence("Refunds take 14 days.", (1,)),
        DraftSentence("Shipping is free.", (2,)),
    ]
    assert end(found).usage.input_tokens == 120
    assert end(found).usage.output_tokens == 9
    assert end(found).usage.cached_input_tokens == 100
    assert end(found).unknown_marks == 1


def test_what_is_asked_of_the_endpoint() -> None:
    async def main() -> None:
        async with upstream(*reply("Yes. [1]")) as server:
            await drafts(server.url, Ask("Q?", (("user", "Hello"), ("assistant", "Hi")), max_tokens=7))
            (request,) = server.requests
            assert request["model"] == "m"
            assert request["stream"] is True
            assert request["stream_options"] == {"include_usage": True}
            assert request["max_tokens"] == 7
            assert [m["role"] for m in request["messages"]] == ["system", "user", "assistant", "user"]
            assert server.headers[0]["authorization"] == f"Bearer {KEY}"
            assert not any(name in server.headers[0] for name in ("openai-organization", "openai-project"))

    asyncio.run(main())


def test_identity_is_the_model_and_the_prompt() -> None:
    made = generator("http://127.0.0.1:1/v1")
    assert made.name == "m"
    assert made.prompt_version is not None
    assert made.prompt_version.startswith("answer@2#")
    assert KEY not in repr(made)
    asyncio.run(made.aclose())


def test_connections_are_used_again() -> None:
    body = b"".join(step for step in reply("Yes. [1]")[1:] if isinstance(step, bytes))
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    async def main() -> None:
        async with upstream(head + body, Stall()) as server:
            made = generator(server.url)
            async for _ in made.draft(ASK, CONTEXT):
                pass
            assert not server.gone.is_set()
            await made.aclose()

    asyncio.run(main())


def test_length_is_an_end() -> None:
    assert end(run(*reply("Half a sen", finish="length"))).finish_reason == "length"


@pytest.mark.parametrize("finish", ["content_filter", "tool_calls", "abort", "nonsense"])
def test_other_reasons_are_no_end(finish: str) -> None:
    fails(UpstreamTruncated, *reply("Half.", finish=finish))


@pytest.mark.parametrize(
    "pieces",
    [
        ["NOT_IN_SOURCES"],
        ["NOT", "_IN_", "SOURCES", "."],
        ["\n **", "NOT_IN_SOURCES", "**\n"],
        ["`NOT_IN_SOURCES`"],
        ["NOT_IN_SOURCES. The sources do not", " mention it [1]."],
        [*"NOT_IN_SOURCES"],
    ],
)
def test_not_in_sources(pieces: list[str]) -> None:
    found = run(*reply(*pieces))
    assert found == [end(found)]
    assert end(found).abstained == "not_in_passages"
    assert end(found).usage.output_tokens == 9


@pytest.mark.parametrize("text", ["NOT_IN_SOURCES_LIST is a name. [1]", "NOT_IN is a flag. [1]", "NOT", "** bold"])
def test_what_only_begins_like_it_is_an_answer(text: str) -> None:
    found = run(*reply(*text))
    assert end(found).abstained is None
    assert answer(found) == text.removesuffix(" [1]")


def test_missing_or_absurd_usage_is_estimated() -> None:
    for counts in ((-1, 5), (10**12, 5), ("many", 5), (True, 5), (None, None)):
        found = run(HEAD, chunk("Twelve chars"), chunk(finish="stop"), usage(*counts), DONE)
        assert end(found).usage.output_tokens == 3
        assert 200 < end(found).usage.input_tokens < 2000


def test_cut_at_every_byte_is_never_complete() -> None:
    body = b"".join(step for step in reply("Grüße 👋 nach [1]", " Köln. [2]")[1:] if isinstance(step, bytes))
    whole = len(body) - 2  # the empty line behind the end marker adds nothing

    async def one(cut: int) -> None:
        async with upstream(HEAD, body[:cut]) as server:
            try:
                found = await drafts(server.url)
            except UpstreamTruncated:
                assert cut < whole
            else:
                assert cut >= whole
                assert answer(found) == "Grüße 👋 nach Köln."

    async def main() -> None:
        cuts = [*range(0, whole - 40, 7), *range(whole - 40, len(body) + 1)]
        for cut in cuts:
            await one(cut)

    asyncio.run(main())


def test_cut_at_every_byte_without_a_socket() -> None:
    body = b"".join(step for step in reply("Grüße 👋 nach [1]", " Köln. [2]")[1:] if isinstance(step, bytes))
    whole = len(body) - 2

    def complete(cut: int, size: int) -> bool:
        events, said = EventData(), Reply()
        pieces = [body[at : min(at + size, cut)] for at in range(0, cut, size)]
        try:
            for payload in [*(p for piece in pieces for p in events.feed(piece)), *events.close()]:
                said.read(payload)
            said.check_complete()
        except UpstreamTruncated:
            return False
        return True

    for size in (1, 3, 1000):
        for cut in range(len(body) + 1):
            assert complete(cut, size) == (cut >= whole), (cut, size)


@pytest.mark.parametrize(
    "body",
    [
        [],
        [chunk("Half."), chunk(finish="stop")],  # no end marker
        [chunk("Half."), DONE],  # no finish reason
        [DONE],
        [chunk(finish="stop"), DONE],  # not a word
        [chunk("[1] \n"), chunk(finish="stop"), DONE],
        [chunk("Half."), data({"error": {"message": f"boom {KEY}", "code": 500}})],
        [chunk("Half."), b"data: {garbage\n\n", chunk(finish="stop"), DONE],
        [chunk("Half."), b"data: 7\n\n", DONE],
        [chunk("Half."), b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n', DONE],
        [chunk("Half."), data({"choices": [{"delta": {"content": 7}}]}), chunk(finish="stop"), DONE],
        [chunk("Half."), chunk(finish="stop"), chunk(" More."), DONE],  # reordered
        [chunk("Half."), Reset()],
        [b"<html>A proxy's page</html>"],
        [data({"choices": "none", "usage": [], "error": None}), data({"choices": [7]}), DONE],
    ],
)
def test_broken_streams_are_truncated(body: list[Step]) -> None:
    fails(UpstreamTruncated, HEAD, *body)


def test_an_endless_line_is_given_up() -> None:
    fails(UpstreamTruncated, HEAD, b"data: " + b"x" * 1_100_000, Stall())


def test_an_endless_answer_is_given_up() -> None:
    fails(UpstreamTruncated, HEAD, *[chunk("word " * 10_000) for _ in range(5)], Stall())


def test_comments_carriage_returns_and_other_fields_are_read_over() -> None:
    body = b": hi\r\n\r\nevent: message\r\nid: 1\r\ndata:" + chunk("Yes. [1]")[5:].replace(b"\n", b"\r\n")
    assert answer(run(HEAD, body, chunk(finish="stop"), DONE)) == "Yes."


def test_an_error_about_length_inside_the_stream() -> None:
    fails(ContextTooLong, HEAD, data({"error": {"message": "maximum context length is 4096", "code": 400}}))


@pytest.mark.parametrize("code", [429, 503])
def test_an_endpoint_whose_queue_is_full_may_say_so_in_the_stream(code: int) -> None:
    """As vLLM does behind a status of 200; once there is text it is an answer that broke off."""
    full = data({"error": {"message": "The engine is currently busy.", "type": "Service Unavailable", "code": code}})
    fails(UpstreamUnavailable, HEAD, full, DONE)
    fails(UpstreamTruncated, HEAD, chunk("Half."), full, DONE)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}, ContextTooLong),
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens."}, ContextTooLong),
        (400, {"error": {"message": "temperature"}}, UpstreamMisconfigured),
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, UpstreamMisconfigured),
        (403, {}, UpstreamMisconfigured),
        (404, {"error": {"code": "model_not_found"}}, UpstreamMisconfigured),
        (408, {}, UpstreamUnavailable),
        (413, {}, ContextTooLong),
        (422, {}, UpstreamMisconfigured),
        (429, {"error": {"message": "slow down"}}, UpstreamUnavailable),
        (500, {}, UpstreamUnavailable),
        (502, "<html>", UpstreamUnavailable),
        (503, {}, UpstreamUnavailable),
    ],
)
def test_refusals(status: int, body: object, error: type[GenerationError]) -> None:
    raised = fails(error, *refusal(status, body, "retry-after: 1\r\n"))
    assert error is ContextTooLong or str(status) in raised.message


def test_a_redirect_is_not_followed() -> None:
    fails(UpstreamMisconfigured, *refusal(307, {}, "location: http://127.0.0.1:1/elsewhere\r\n"))


def test_nothing_is_tried_twice() -> None:
    async def main() -> None:
        async with upstream(*refusal(500, {})) as server:
            with pytest.raises(UpstreamUnavailable):
                await drafts(server.url)
            assert server.connections == 1

    asyncio.run(main())


def test_nobody_listens() -> None:
    with pytest.raises(UpstreamUnavailable, match="ConnectError"):
        asyncio.run(drafts("http://127.0.0.1:1/v1"))


def test_an_address_that_is_none() -> None:
    with pytest.raises(UpstreamMisconfigured):
        asyncio.run(drafts("ftp://127.0.0.1/v1"))


def timed_out(*script: Step, **limits: float) -> float:
    begun = time.monotonic()
    fails(UpstreamTimeout, *script, **limits)
    return time.monotonic() - begun


def test_stall_before_the_headers() -> None:
    assert timed_out(Stall(), first_token=0.2) < OTHERS_S


def test_stall_before_the_first_token() -> None:
    assert timed_out(HEAD, chunk(""), b": ping\n\n", Stall(), first_token=0.2) < OTHERS_S


def test_stall_between_tokens() -> None:
    assert timed_out(HEAD, chunk("One. "), Stall(), between_tokens=0.2) < OTHERS_S


def test_a_drip_does_not_count_as_tokens() -> None:
    drip: list[Step] = [step for _ in range(40) for step in (b":\n", Wait(0.05))]
    assert timed_out(HEAD, chunk("One. "), *drip, between_tokens=0.2) < OTHERS_S


def test_the_whole_answer_has_a_limit() -> None:
    drip: list[Step] = [step for _ in range(40) for step in (chunk("One. "), Wait(0.05))]
    assert timed_out(HEAD, *drip, whole=0.3) < OTHERS_S


def test_stall_at_connect() -> None:
    left = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()  # speaks no TLS, so the handshake never ends
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        left.set()

    async def main() -> None:
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await drafts(f"https://127.0.0.1:{port}/v1", connect=0.2)
        assert time.monotonic() - begun < OTHERS_S
        await asyncio.wait_for(left.wait(), PATIENCE_S)
        server.close()

    asyncio.run(main())


def test_thinking_aloud_is_a_sign_of_life() -> None:
    thought = data({"choices": [{"delta": {"reasoning_content": "hm"}}]})
    thinking: list[Step] = [step for _ in range(4) for step in (thought, Wait(0.5))]
    assert answer(run(HEAD, *thinking, *reply("Yes. [1]")[1:], first_token=1.8, between_tokens=1.8)) == "Yes."


@pytest.mark.parametrize("script", [(Stall(),), (HEAD, Stall())])
def test_cancelling_before_the_first_word_hangs_up_at_once(script: tuple[Step, ...]) -> None:
    async def main() -> None:
        async with upstream(*script) as server:
            task = asyncio.ensure_future(drafts(server.url))
            await server.asked.wait()
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.gone.wait(), PATIENCE_S)

    asyncio.run(main())


def test_debug_logs_hold_neither_question_nor_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run(*reply("Yes. [1]"))
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert KEY not in said
    assert ASK.question not in said
    assert "14 days" not in said


def exceptions_of(module: object) -> list[type[BaseException]]:
    found = [value for value in list(vars(module).values()) if inspect.isclass(value) and issubclass(value, Exception)]
    unused = ("SSEError", "InvalidWebhookSignatureError")  # raised by parts of the client that we do not use
    return [value for value in found if not issubclass(value, Warning) and value.__name__ not in unused]


@pytest.mark.parametrize("kind", exceptions_of(openai) + exceptions_of(httpx2), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("begun", [False, True])
def test_every_exception_of_the_client_is_translated(kind: type[BaseException], begun: bool) -> None:
    assert issubclass(kind, FOREIGN), f"{kind} would pass the border"
    error = kind.__new__(kind)
    if isinstance(error, openai.APIStatusError):
        error.status_code, error.body, error.message = 500, None, ""
        error.response = httpx2.Response(500)
    assert type(translate(error, begun=begun)) in GenerationError.__subclasses__()
