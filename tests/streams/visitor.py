"""Clients of the application in process that may leave in the middle: all that a server would say to it, and no socket."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

Leaves = Callable[[list[bytes]], bool]


def never(_: list[bytes]) -> bool:
    return False


@dataclass
class Reply:
    """What came of it: the frames of a stream, comments left out; `whole` unless the client has left."""

    status: int = 0
    bodies: list[bytes] = field(default_factory=list)
    whole: bool = False

    @property
    def frames(self) -> list[bytes]:
        return [body for body in self.bodies if body and not body.startswith(b":")]

    @property
    def last_id(self) -> str:
        return id_of(self.frames[-1])

    @property
    def content(self) -> bytes:
        return b"".join(self.frames)


def id_of(frame: bytes) -> str:
    return next(line[4:] for line in frame.decode().split("\n") if line.startswith("id: "))


def payload_of(frame: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        next(line[6:] for line in frame.decode().split("\n") if line.startswith("data: "))
    )
    return found


async def visit(
    app: FastAPI, method: str, path: str, body: Any = None, leaves: Leaves = never, **headers: str
) -> Reply:
    """One request by a client that hangs up as soon as what it has got is enough."""
    reply, left = Reply(), asyncio.Event()
    sent = [json.dumps(body).encode() if body is not None else b""]

    async def receive() -> dict[str, Any]:
        if sent:
            return {"type": "http.request", "body": sent.pop(), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if left.is_set():
            return  # as to a socket that is closed
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            return
        reply.bodies.append(message.get("body", b""))
        reply.whole = not message.get("more_body", False)
        if reply.whole or leaves(reply.frames):
            left.set()

    given = {"host": "localhost", "content-type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "state": {},
    }
    await app(scope, receive, send)
    return reply
