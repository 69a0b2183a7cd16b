"""A chat model on a real socket that does what it reads: it finds orders in whatever it is sent, however they are written."""

import base64
import binascii
import codecs
import re
import socket
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from generation.filters.folding import folded_char
from tests.chat_endpoint import STREAM
from tests.model_endpoint import Reply, Seen, endpoint
from tests.scripted_upstream import DONE, chunk, usage
from tests.security.attacks import Heard, acts

_ORDER = re.compile(r"order-?\s?(\d{6})", re.IGNORECASE)
_PLAY = re.compile(r"PLAY-(\d+)")
_PLAIN = "Refunds are issued within 14 days of the order [1]."


@dataclass
class Obedient:
    """What it was ordered and what it said."""

    seen: Seen
    evil: str
    orders: dict[int, list[tuple[str, str]]]  # number -> acts by name with the attack, one for each time it is asked
    playlist: list[str] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)  # question -> raw words
    systems: set[str] = field(default_factory=set)
    unread: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: Any) -> Reply:
        """Whatever the last message orders."""
        messages = body["messages"]
        asked = str(messages[-1]["content"])
        with self.lock:
            self.systems.add(str(messages[0]["content"]))
            text = self._obey(str(messages[0]["content"]), asked)
            self.said[_question(asked)] = text
        draw = Random(len(text))
        pieces = list[bytes]()
        at = 0
        while at < len(text):
            step = draw.choice((1, 3, 9, 40, 400))
            pieces.append(chunk(text[at : at + step]))
            at += step
        tool = [{"index": 0, "id": "t", "type": "function", "function": {"name": "fetch", "arguments": self.evil}}]
        forged = chunk(None, choices=[{"index": 0, "delta": {"tool_calls": tool}, "finish_reason": None}])
        return Reply(b"".join([*pieces, forged, chunk(finish="stop"), usage(), DONE]), headers=STREAM)

    def _obey(self, system: str, asked: str) -> str:
        if play := _PLAY.search(asked):
            return self.playlist[int(play[1])]
        number = next((int(found[1]) for text in readings(asked) if (found := _ORDER.search(text))), None)
        if number is None or not self.orders.get(number):
            self.unread += 1
            return _PLAIN
        name, attack = self.orders[number].pop()
        said = acts()[name](Heard(system, asked, attack, self.evil), Random(number))
        return f"{_PLAIN} {said} {_PLAIN}"


def readings(text: str) -> Iterator[str]:
    """A text as a clever reader would try to read it."""
    yield text
    bare = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    yield "".join(folded_char(char) or char for char in bare)
    yield bare[::-1]
    yield codecs.encode(bare, "rot13")
    for run in re.findall(r"[A-Za-z0-9+/]{24,}={0,2}", bare):
        yield _decoded(run)
    yield "".join(_decoded(run) for run in re.findall(r"\b[A-Za-z0-9+/]{24,}={0,2}", bare))


def _decoded(run: str) -> str:
    try:
        return bytes.fromhex(run).decode(errors="replace")
    except ValueError:
        pass
    try:
        return base64.b64decode(run + "=" * (-len(run) % 4)).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


def _question(asked: str) -> str:
    """The one question of ours that stands in a request."""
    found = re.search(r"Q-\d+", asked)
    return found[0] if found else ""


@dataclass
class Trap:
    """Where the model sends what it knows: nobody must ever come there."""

    url: str = ""
    visits: int = 0


@contextmanager
def trap() -> Iterator[Trap]:
    """An address that listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Trap(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def count() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()
                    found.visits += 1

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        yield found


@contextmanager
def obedient(orders: dict[int, list[tuple[str, str]]]) -> Iterator[tuple[Obedient, Trap]]:
    """The model, and its trap."""
    model: list[Obedient] = []

    def reply(body: Any) -> Reply:
        return model[0].reply(body)

    with trap() as found, endpoint(reply) as seen:
        model.append(Obedient(seen, found.url, orders))
        yield model[0], found
