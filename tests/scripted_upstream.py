"""A chat endpoint on a real socket that does what a script says. Only a socket can stall, tear, and hang up."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Wait:
    """Say nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Stall:
    """Say nothing more, and keep the connection open until the client goes."""


@dataclass(frozen=True)
class Reset:
    """Tear the connection down with RST."""


Step = bytes | Wait | Stall | Reset


def data(payload: object) -> bytes:
    body = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return f"data: {body}\n\n".encode()


def chunk(text: str | None = None, finish: str | None = None, **more: object) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data({"id": "c1", "object": "chat.completion.chunk", "choices": [choice]} | more)


def usage(given: object = 120, made: object = 9, cached: object = 100) -> bytes:
    counts = {"prompt_tokens": given, "completion_tokens": made, "prompt_tokens_details": {"cached_tokens": cached}}
    return data({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": counts})


DONE = data("[DONE]")


def reply(*texts: str, finish: str = "stop") -> list[Step]:
    """A whole, well-formed answer."""
    return [HEAD, chunk(""), *(chunk(text) for text in texts), chunk(finish=finish), usage(), DONE]


def refusal(status: int, body: object, headers: str = "") -> list[Step]:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n{headers}\r\n"
    return [head.encode() + text]


@dataclass
class Upstream:
    """What the server has seen."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0


Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """A server that answers each connection's one request as it sees fit; what it says may depend on the body."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            await answer(await reader.readexactly(size), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def upstream(*script: Step, path: str = "/chat/completions") -> AsyncIterator[Upstream]:
    """Serve this script to every request for the path; no other path is there, and none counts."""
    seen = Upstream()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        talked = False
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            talked = f"{path} " in head[0]
            if talked:
                seen.connections += 1
                await _converse(head, reader, writer, script, seen)
            else:
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            if talked:
                seen.gone.set()
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield seen
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _converse(
    head: Sequence[str],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    script: Sequence[Step],
    seen: Upstream,
) -> None:
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    seen.headers.append(headers)
    seen.requests.append(json.loads(await reader.readexactly(int(headers["content-length"]))))
    seen.asked.set()
    hangup = asyncio.ensure_future(reader.read())
    try:
        for step in script:
            await _do(step, writer, hangup)
    finally:
        hangup.cancel()
        await asyncio.gather(hangup, return_exceptions=True)


async def _do(step: Step, writer: asyncio.StreamWriter, hangup: asyncio.Future[bytes]) -> None:
    match step:
        case bytes():
            writer.write(step)
            await writer.drain()
        case Wait(seconds):
            await asyncio.wait({hangup}, timeout=seconds)
        case Stall():
            await hangup
        case Reset():
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
