"""Replies to requests that have not ended."""

import asyncio
from typing import Any

import pytest

from app.api.lingering import Lingering

LAST = {"type": "http.response.body", "body": b"too large", "more_body": False}
GOES_ON = {**LAST, "more_body": True}
END = {"type": "http.response.body", "body": b"", "more_body": False}


class Wire:
    """A client that sends `parts`, and what it is sent. After its last part it says nothing for ever."""

    def __init__(self, *parts: dict[str, Any]) -> None:
        self.parts = list(parts)
        self.sent: list[dict[str, Any]] = []
        self.left_at_end: int | None = None

    async def receive(self) -> dict[str, Any]:
        if not self.parts:
            await asyncio.Event().wait()
        return self.parts.pop(0)

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.left_at_end = len(self.parts)


def part(size: int, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


def replied(wire: Wire, *headers: bytes, read: int = 0, most: int = 100, wait_s: float = 60.0) -> list[dict[str, Any]]:
    """What a client of these headers is sent, of whose request `read` parts were read before."""
    scope = {"type": "http", "headers": [(name, b"1") for name in headers]}

    async def app(_: Any, receive: Any, send: Any) -> None:
        for _ in range(read):
            await receive()
        await send(LAST)

    async def reply() -> None:
        await Lingering(app, most, wait_s)(scope, wire.receive, wire.send)

    asyncio.run(reply())
    return wire.sent


@pytest.mark.parametrize("read", [0, 1])
def test_the_reply_goes_out_at_once_and_ends_after_the_request(read: int) -> None:
    wire = Wire(part(10, more=True), part(10, more=True), part(10, more=False))
    assert replied(wire, b"content-length", read=read) == [GOES_ON, END]
    assert wire.left_at_end == 0


@pytest.mark.parametrize("headers", [(), (b"content-type",)])
def test_a_request_without_a_body_is_waited_for_by_nobody(headers: tuple[bytes, ...]) -> None:
    assert replied(Wire(), *headers) == [LAST]


def test_a_request_that_was_read_to_its_end_is_answered_as_before() -> None:
    assert replied(Wire(part(10, more=True), part(0, more=False)), b"transfer-encoding", read=2) == [LAST]


def test_who_waits_to_be_asked_for_the_body_is_not_asked() -> None:
    assert replied(Wire(), b"content-length", b"expect") == [LAST]


def test_no_more_than_the_most_is_taken() -> None:
    wire = Wire(*(part(60, more=True) for _ in range(9)))
    assert replied(wire, b"content-length", most=100) == [GOES_ON, END]
    assert wire.left_at_end == 7


def test_a_client_that_has_gone_ends_the_wait() -> None:
    assert replied(Wire(part(1, more=True), {"type": "http.disconnect"}), b"content-length") == [GOES_ON, END]


def test_a_client_that_sends_nothing_more_is_not_waited_for_long() -> None:
    assert replied(Wire(part(1, more=True)), b"content-length", wait_s=0.01) == [GOES_ON, END]
