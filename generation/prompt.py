"""Prompts are data: a versioned text in `generation/prompts/`, filled without ever reading what is filled in.

Order of the messages: the stable prefix first, so that endpoints can cache it; the turns before; then the sources in
the middle, the question behind them, and the safety rules last, where models heed them most. Each request draws a random
marker; a source cannot close its own quotation, because it cannot know the marker.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal, TypedDict

from retrieval.model import Context, Passage

NOT_IN_SOURCES = "NOT_IN_SOURCES"
_SECTION = re.compile(r"<!-- (\w+) -->\n")
_MEASURE = "0123456789abcdef"
_FIELD = re.compile(r"\{\{(\w+)\}\}")


class Message(TypedDict):
    """A chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's parts and what identifies it: `answer@1#` and the beginning of the text's SHA-256."""

    version: str
    system: str
    source: str
    user: str

    def fill(
        self,
        question: str,
        context: Context,
        history: Iterable[tuple[Literal["user", "assistant"], str]] = (),
        draw: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> list[Message]:
        """The messages for one request. `draw` makes a marker; one that occurs in what is quoted is drawn again."""
        marker = _unseen(draw, (question, *(f"{_heading(p)}\n{p.text}" for p in context.passages)))
        sources = "\n\n".join(self._quote(n, p, marker) for n, p in enumerate(context.passages, 1))
        count = str(len(context.passages))
        user = _fill(self.user, {"sources": sources, "question": question, "marker": marker, "count": count})
        turns: list[Message] = [{"role": role, "content": content} for role, content in history]
        return [{"role": "system", "content": self.system}, *turns, {"role": "user", "content": user}]

    def quoted(self, passage: Passage) -> str:
        """The passage as it stands in a request, but for its number and the marker, which are of the same length."""
        return self._quote(10, passage, _MEASURE)

    def _quote(self, number: int, passage: Passage, marker: str) -> str:
        fields = {"number": str(number), "title": _heading(passage), "text": passage.text, "marker": marker}
        return _fill(self.source, fields)


def load_prompt(name: str = "answer") -> Prompt:
    """The shipped prompt of this name. KeyError or FileNotFoundError mean a broken installation."""
    raw = resources.files("generation").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")
    _, front, body = raw.split("---\n", 2)
    meta = dict(line.split(": ", 1) for line in front.splitlines())
    parts = _SECTION.split(body)
    sections = dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))
    digest = hashlib.sha256(raw.encode()).hexdigest()[:8]
    version = f"{meta['id']}@{meta['version']}#{digest}"
    return Prompt(version, sections["system"], sections["source"], sections["user"])


def _fill(template: str, fields: Mapping[str, str]) -> str:
    """One pass: a `{{question}}` inside a source stays what it is."""
    return _FIELD.sub(lambda match: fields[match.group(1)], template)


def _heading(passage: Passage) -> str:
    """`Title > Chapter > Section` on one line, without quotes that could end the attribute."""
    path = [part for part in passage.heading_path if part != passage.title]
    return " ".join(" > ".join([passage.title, *path]).replace('"', "'").split())


def _unseen(draw: Callable[[], str], quoted: tuple[str, ...]) -> str:
    marker = draw()
    while any(marker in text for text in quoted):
        marker = draw()
    return marker
