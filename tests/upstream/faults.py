"""What an endpoint can do wrong, and what has to come of it: the answer where nothing of it was lost, else an error."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from generation.errors import (
    ContextTooLong,
    GenerationError,
    UpstreamMisconfigured,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from tests.scripted_upstream import DONE, HEAD, Reset, Stall, Step, Wait, chunk, data, refusal, reply, usage

SAID = "Refunds take 14 days."
FIRST, LAST = "Refunds take", " 14 days. [1]"
STALL_S = 0.2  # the limits that these scripts are run with: first token and between tokens
WHOLE_S = 0.6
Outcome = type[GenerationError] | str


@dataclass(frozen=True)
class Fault:
    """`calls` are made by a chain that may call three times: once where asking again is of no use."""

    name: str
    script: tuple[Step, ...]
    outcome: Outcome
    calls: int

    @property
    def completes(self) -> bool:
        return isinstance(self.outcome, str)


def _head(*headers: str, status: str = "200 OK", kind: str = "text/event-stream") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", "connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _refused(status: int, body: object = None, *headers: str) -> list[Step]:
    extra = "".join(f"{header}\r\n" for header in ("connection: close", *headers))
    return refusal(status, body if body is not None else {"error": {"message": "no"}}, extra)


def _joined(*steps: Step) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


BODY = _joined(*reply(FIRST, LAST)[1:])
TEXT, MORE, STOP = chunk(FIRST), chunk(LAST), chunk(finish="stop")
WHOLE = (TEXT, MORE, STOP, usage(), DONE)


def _chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return (
        b"".join(b"%x\r\n%s\r\n" % (len(body[at : at + 50]), body[at : at + 50]) for at in range(0, len(body), 50))
        + end
    )


def _pausing(body: bytes) -> list[Step]:
    """The last bytes come later, so that what stands before them has been read when the connection ends."""
    return [body[:-20], Wait(0.05), body[-20:]]


def _choice(**fields: Any) -> bytes:
    return data({"choices": [{"index": 0, **fields}]})


def _refusals() -> Iterator[tuple[str, list[Step], Outcome, int]]:
    for status in (401, 403, 404, 405, 410, 418):
        yield f"status {status}", _refused(status), UpstreamMisconfigured, 1
    for status in (400, 422):
        yield f"status {status}", _refused(status), UpstreamMisconfigured, 1
    for status in (408, 409, 425, 429, 500, 501, 502, 503, 504, 529, 599):
        yield f"status {status}", _refused(status), UpstreamUnavailable, 3
    too_long = {"error": {"code": "context_length_exceeded", "message": "This model's maximum context length is 8"}}
    yield "prompt too long", _refused(400, too_long), ContextTooLong, 1
    yield "status 413", _refused(413), ContextTooLong, 1
    yield "asked not to come again", _refused(503, None, "x-should-retry: false"), UpstreamUnavailable, 1
    yield "retry-after a day", _refused(429, None, "retry-after: 86400"), UpstreamUnavailable, 1
    yield "retry-after below zero", _refused(429, None, "retry-after: -5"), UpstreamUnavailable, 3
    yield "retry-after nonsense", _refused(429, None, "retry-after: soon"), UpstreamUnavailable, 3
    yield (
        "retry-after a date gone by",
        (_refused(429, None, "retry-after: Wed, 21 Oct 2015 07:28:00 GMT")),
        UpstreamUnavailable,
        3,
    )
    for status in (301, 302, 307, 308):
        moved = _refused(status, None, "location: http://127.0.0.1:1/v1/chat/completions")
        yield f"redirect {status}", moved, UpstreamMisconfigured, 1
    yield (
        "a proxy's page with status 502",
        [_head(status="502 Bad Gateway", kind="text/html"), b"<html>"],
        UpstreamUnavailable,
        3,
    )


def _bodies() -> Iterator[tuple[str, list[Step], Outcome, int]]:
    packed = gzip.compress(BODY)
    whole = json.dumps({"choices": [{"message": {"content": SAID}, "finish_reason": "stop"}]}).encode()
    yield "hung up without a word", [], UpstreamUnavailable, 3
    yield "torn down without a word", [Reset()], UpstreamUnavailable, 3
    yield "no HTTP", [b"\x00\x01\x02 hello\r\n\r\n"], UpstreamUnavailable, 3
    yield "half a status line", [b"HTTP/1.1 20"], UpstreamUnavailable, 3
    yield "headers without an end", [b"HTTP/1.1 200 OK\r\ncontent-type: text/ev"], UpstreamUnavailable, 3
    yield "an empty body", [HEAD], UpstreamTruncated, 3
    yield "no content", [_head(status="204 No Content")], UpstreamTruncated, 3
    yield "a page", [_head(kind="text/html"), b"<html><body>Sign in</body></html>"], UpstreamTruncated, 3
    yield "one JSON body in place of a stream", [_head(kind="application/json"), whole], UpstreamTruncated, 3
    yield "an error body with status 200", [_head(kind="application/json"), b'{"error":"boom"}'], UpstreamTruncated, 3
    yield "another content type", [_head(kind="text/plain"), BODY], SAID, 1
    yield "no content type", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", BODY], SAID, 1
    yield "packed though not asked for", [_head("content-encoding: gzip"), packed], SAID, 1
    yield "packed and cut", [_head("content-encoding: gzip"), packed[:60]], UpstreamTruncated, 3
    yield "said to be packed", [_head("content-encoding: gzip"), BODY], UpstreamTruncated, 3
    yield "in chunks", [_head("transfer-encoding: chunked"), _chunked(BODY)], SAID, 1
    yield "chunks without an end", [_head("transfer-encoding: chunked"), _chunked(BODY, b"")], SAID, 1
    yield "chunks cut", [_head("transfer-encoding: chunked"), *_pausing(_chunked(BODY)[:450])], UpstreamTruncated, 1
    yield "a chunk of no size", [_head("transfer-encoding: chunked"), b"zz\r\n", BODY], UpstreamTruncated, 3
    yield "shorter than its length", [_head(f"content-length: {len(BODY)}"), BODY[:-60]], UpstreamTruncated, 1
    yield "longer than its length", [_head(f"content-length: {len(BODY) - 60}"), BODY], UpstreamTruncated, 1
    yield "a hint before the answer", [b"HTTP/1.1 103 Early Hints\r\n\r\n", *reply(FIRST, LAST)], SAID, 1
    yield "a header of a megabyte", [_head("x-much: " + "x" * 1_000_000), BODY], UpstreamUnavailable, 3


def _framing() -> Iterator[tuple[str, list[Step], Outcome, int]]:
    yield "a byte order mark", [HEAD, b"\xef\xbb\xbf", *WHOLE], SAID, 1
    yield "carriage returns and line feeds", [HEAD, BODY.replace(b"\n", b"\r\n")], SAID, 1
    yield "carriage returns alone", [HEAD, BODY.replace(b"\n", b"\r")], UpstreamTruncated, 3
    yield "comments between all frames", [HEAD, *(step for frame in WHOLE for step in (b": ping\n\n", frame))], SAID, 1
    yield "a comment of half a megabyte", [HEAD, b":" + b"x" * 500_000 + b"\n\n", *WHOLE], SAID, 1
    yield "a comment without an end", [HEAD, b":" + b"x" * 1_100_000], UpstreamTruncated, 3
    yield "names, numbers and waits of events", [HEAD, *(b"event: m\nid: 1\nretry: 9\n" + f for f in WHOLE)], SAID, 1
    yield "no space behind the colon", [HEAD, BODY.replace(b"data: ", b"data:")], SAID, 1
    yield "a chunk over two lines", [HEAD, BODY.replace(b', "choices"', b',\ndata: "choices"')], SAID, 1
    yield "frames without lines between", [HEAD, BODY.replace(b"\n\n", b"\n")], UpstreamTruncated, 3
    yield "byte by byte", [HEAD, *(BODY[at : at + 1] for at in range(len(BODY)))], SAID, 1
    yield "a frame of half a megabyte", [HEAD, TEXT, chunk(LAST, pad="x" * 500_000), *WHOLE[2:]], SAID, 1
    yield "a frame without an end", [HEAD, TEXT, b"data: " + b"x" * 1_100_000, Stall()], UpstreamTruncated, 1
    yield "half a frame", [HEAD, TEXT, MORE[:40]], UpstreamTruncated, 1
    yield "half a frame, then the end", [HEAD, TEXT, MORE[:40], b"\n\n", STOP, DONE], UpstreamTruncated, 1
    yield "JSON that is none", [HEAD, TEXT, b"data: {nope\n\n", STOP, DONE], UpstreamTruncated, 1
    yield "a number", [HEAD, b"data: 7\n\n", *WHOLE], UpstreamTruncated, 3
    yield "a list", [HEAD, b"data: []\n\n", *WHOLE], UpstreamTruncated, 3
    yield "null", [HEAD, b"data: null\n\n", *WHOLE], UpstreamTruncated, 3
    yield (
        "bytes that are no UTF-8",
        [HEAD, b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', *WHOLE],
        UpstreamTruncated,
        3,
    )
    yield (
        "half a character",
        [HEAD, b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n', *WHOLE],
        UpstreamTruncated,
        3,
    )
    yield (
        "JSON as deep as a well",
        [HEAD, b"data: " + b"[" * 5000 + b"]" * 5000 + b"\n\n", *WHOLE],
        UpstreamTruncated,
        3,
    )
    yield (
        "line separators in the text",
        [HEAD, chunk("Refunds\u2028take"), MORE, STOP, DONE],
        ("Refunds\u2028take 14 days."),
        1,
    )
    yield "more behind the end", [HEAD, *WHOLE, chunk("And lies."), DONE], SAID, 1
    yield "the end without a line behind", [HEAD, BODY.rstrip()], SAID, 1
    yield "the end in other words", [HEAD, *WHOLE[:-1], b"data: [done]\n\n"], UpstreamTruncated, 1


def _contents() -> Iterator[tuple[str, list[Step], Outcome, int]]:
    yield "no finish reason", [HEAD, TEXT, MORE, usage(), DONE], UpstreamTruncated, 1
    yield "no end marker", [HEAD, TEXT, MORE, STOP, usage()], UpstreamTruncated, 1
    yield "neither", [HEAD, TEXT, MORE], UpstreamTruncated, 1
    yield "the end alone", [HEAD, DONE], UpstreamTruncated, 3
    yield "the end first", [HEAD, DONE, *WHOLE], UpstreamTruncated, 3
    yield "an end without a word", [HEAD, chunk(""), STOP, DONE], UpstreamTruncated, 3
    yield "blanks for an answer", [HEAD, chunk(" \n"), STOP, DONE], UpstreamTruncated, 3
    yield "no usage", [HEAD, TEXT, MORE, STOP, DONE], SAID, 1
    yield "absurd usage", [HEAD, TEXT, MORE, STOP, usage(-1, 10**15), DONE], SAID, 1
    yield "another model", [HEAD, chunk(FIRST, model="other"), MORE, STOP, DONE], SAID, 1
    yield "a choice too many", [HEAD, TEXT, MORE, data({"choices": []}), STOP, DONE], SAID, 1
    yield "choices that are none", [HEAD, TEXT, data({"choices": "none"}), MORE, STOP, DONE], SAID, 1
    yield "finished twice", [HEAD, TEXT, MORE, STOP, STOP, DONE], SAID, 1
    yield "text behind the finish", [HEAD, TEXT, STOP, MORE, DONE], UpstreamTruncated, 1
    yield "a number for a text", [HEAD, TEXT, _choice(delta={"content": 7}), STOP, DONE], UpstreamTruncated, 1
    yield (
        "parts for a text",
        [HEAD, TEXT, _choice(delta={"content": [{"text": "x"}]}), STOP, DONE],
        UpstreamTruncated,
        1,
    )
    yield "a refusal", [HEAD, _choice(delta={"refusal": "I cannot"}), STOP, DONE], UpstreamTruncated, 3
    yield (
        "a tool",
        [HEAD, _choice(delta={"tool_calls": [{"id": "t"}]}), chunk(finish="tool_calls"), DONE],
        UpstreamTruncated,
        3,
    )
    for finish in ("abort", "error", "nonsense"):
        yield f"finished by {finish}", [HEAD, TEXT, chunk(finish=finish), DONE], UpstreamTruncated, 1
    yield "filtered before the first word", [HEAD, chunk(finish="content_filter"), DONE], UpstreamTruncated, 1
    yield "filtered in the middle", [HEAD, TEXT, chunk(finish="content_filter"), DONE], UpstreamTruncated, 1
    yield (
        "words without an end",
        [HEAD, TEXT, Wait(0.05), chunk("word" * 50_001), Stall()],
        UpstreamTruncated,
        1,
    )


def _errors() -> Iterator[tuple[str, list[Step], Outcome, int]]:
    error = {"error": {"message": "boom", "code": 500}}
    yield "an error first", [HEAD, data(error), DONE], UpstreamTruncated, 3
    yield "an error in the middle", [HEAD, TEXT, data(error), DONE], UpstreamTruncated, 1
    yield "an error, then on as if nothing were", [HEAD, TEXT, data(error), MORE, STOP, DONE], UpstreamTruncated, 1
    yield "an error behind the finish", [HEAD, TEXT, MORE, STOP, data(error), DONE], UpstreamTruncated, 1
    yield "an error behind the end", [HEAD, *WHOLE, b'event: error\ndata: {"message":"late"}\n\n'], SAID, 1
    yield (
        "an event called error",
        [HEAD, TEXT, b'event: error\ndata: {"message":"boom"}\n\n', MORE, STOP, DONE],
        UpstreamTruncated,
        1,
    )
    yield "a field called error", [HEAD, TEXT, b'error: {"code":500}\n\n', MORE, STOP, DONE], UpstreamTruncated, 1
    yield (
        "an object called error",
        [HEAD, data({"object": "error", "message": "boom", "code": 400}), *WHOLE],
        UpstreamTruncated,
        3,
    )
    too_long = "maximum context length is 4096 tokens"
    yield "too long, told in the stream", [HEAD, data({"error": {"message": too_long}}), DONE], ContextTooLong, 1
    yield "too long, told by an object", [HEAD, data({"object": "error", "message": too_long})], ContextTooLong, 1
    yield "torn behind the headers", [HEAD, Wait(0.02), Reset()], UpstreamTruncated, 3
    yield "torn in the middle", [HEAD, TEXT, Wait(0.02), Reset()], UpstreamTruncated, 1
    yield "torn in a frame", [HEAD, TEXT, MORE[:30], Wait(0.02), Reset()], UpstreamTruncated, 1
    yield "torn before the end marker", [HEAD, TEXT, MORE, STOP, Wait(0.02), Reset()], UpstreamTruncated, 1


def _stalls() -> Iterator[tuple[str, list[Step], Outcome, int]]:
    drip: list[Step] = [step for at in range(400) for step in (BODY[at : at + 1], Wait(0.05))]
    pings: list[Step] = [step for _ in range(40) for step in (b": ping\n\n", Wait(0.05))]
    words: list[Step] = [step for _ in range(60) for step in (chunk("word "), Wait(0.05))]
    thoughts: list[Step] = [step for _ in range(60) for step in (_choice(delta={"reasoning": "hm"}), Wait(0.05))]
    silent: dict[str, list[Step]] = {
        "no answer at all": [Stall()],
        "stalls in the headers": [HEAD[:30], Stall()],
        "stalls behind the headers": [HEAD, Stall()],
        "stalls behind the role": [HEAD, chunk(""), Stall()],
        "stalls in the middle": [HEAD, TEXT, Stall()],
        "stalls in a frame": [HEAD, TEXT, MORE[:30], Stall()],
        "stalls before the finish": [HEAD, TEXT, MORE, Stall()],
        "stalls before the end marker": [HEAD, TEXT, MORE, STOP, Stall()],
        "stalls in the body of an error": [_head("content-length: 99", status="500 No"), b"{", Stall()],
        "pings and says nothing": [HEAD, *pings],
        "byte by byte, too slowly": [HEAD, *drip],
        "words for ever": [HEAD, *words],
        "thinks for ever": [HEAD, *thoughts],
    }
    for name, script in silent.items():
        yield name, script, UpstreamTimeout, 1
    yield "slow, but in time", [HEAD, TEXT, Wait(0.1), MORE, Wait(0.1), STOP, DONE], SAID, 1


FAULTS = tuple(
    Fault(name, tuple(script), outcome, calls)
    for made in (_refusals, _bodies, _framing, _contents, _errors, _stalls)
    for name, script, outcome, calls in made()
)
