"""Prompts are data: a versioned text in `generation/prompts/`, filled without ever reading what is filled in.

Order of the messages: the stable prefix first, so that endpoints can cache it, and behind it the examples, where there are
any; the turns before; then the sources in the middle, the question behind them, and the safety rules last, where models
heed them most. Each request draws a random marker; a source cannot close its own quotation, because it cannot know the
marker.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

import yaml

from generation.model import Ask, Example, Repair
from retrieval.model import Context, Passage

NOT_IN_SOURCES = "NOT_IN_SOURCES"
_MEASURE = "0123456789abcdef"
_OF_EXAMPLES = "example"  # their marker: the same in every request, or no endpoint could cache them
_FIELD = re.compile(r"\{\{(\w+)\}\}")
_SECTION = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)
_FRONT = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)
_ID = re.compile(r"[a-z][a-z0-9_]{0,31}")
# What may be filled in where. The prefix takes nothing: it would be another one in each request, and never cached.
_FIELDS: Mapping[str, frozenset[str]] = {
    "system": frozenset(),
    "source": frozenset(("marker", "number", "title", "text")),
    "user": frozenset(("marker", "question", "sources", "count", "schema")),
    "example": frozenset(("sources", "question", "answer")),
    "repair": frozenset(("marker", "problem", "schema")),
}
# What a prompt of this name would be of no use without, beside what every prompt needs.
_NEEDED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "answer": (("user", "sources"),),
    "structured": (("user", "sources"), ("user", "schema"), ("repair", "problem")),
    "verify": (("user", "sources"),),
}
_KEYS = ("id", "version", "models", "max_tokens")
SHIPPED = Path(__file__).with_name("prompts")


class Message(TypedDict):
    """A chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


def _drawn() -> str:
    return secrets.token_hex(8)


class PromptSource(Protocol):
    """Where a prompt is to be had, as it is now."""

    def now(self) -> "Prompt":
        """The prompt for the next request."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's parts and what identifies it: `answer@1#` and the beginning of the text's SHA-256. `models` says for people
    what it was written for; `max_tokens` caps the reply, whatever the endpoint may give."""

    version: str
    system: str
    source: str
    user: str
    example: str = ""
    repair: str = ""
    models: str = ""
    max_tokens: int | None = None

    @property
    def name(self) -> str:
        """Without the hash: `answer@1`."""
        return self.version.partition("#")[0]

    def now(self) -> "Prompt":
        """Itself: a PromptSource that never changes."""
        return self

    def request(self, ask: Ask, context: Context, draw: Callable[[], str] = _drawn) -> list[Message]:
        """The messages for what a generator is asked."""
        schema = ask.response_format.shown if ask.response_format else ""
        return self.fill(
            ask.question, context, ask.history, draw, examples=ask.examples, schema=schema, repair=ask.repair
        )

    def fill(
        self,
        question: str,
        context: Context,
        history: Iterable[tuple[Literal["user", "assistant"], str]] = (),
        draw: Callable[[], str] = _drawn,
        *,
        examples: Sequence[Example] = (),
        schema: str = "",
        repair: Repair | None = None,
    ) -> list[Message]:
        """The messages for one request. `draw` makes a marker; one that occurs in what is quoted is drawn again."""
        problem = repair.problem if repair else ""
        quoted = (question, schema, problem, *(f"{_heading(p)}\n{p.text}" for p in context.passages))
        marker = _unseen(draw, quoted)
        sources = "\n\n".join(self._quote(n, p, marker) for n, p in enumerate(context.passages, 1))
        fields = {"sources": sources, "question": question, "schema": schema, "problem": problem, "marker": marker}
        fields["count"] = str(len(context.passages))
        turns: list[Message] = [{"role": role, "content": content} for role, content in history]
        asked: list[Message] = [{"role": "user", "content": _fill(self.user, fields)}]
        if repair is not None:
            asked += [
                {"role": "assistant", "content": repair.reply},
                {"role": "user", "content": _fill(self.repair, fields)},
            ]
        return [{"role": "system", "content": self._prefix(examples)}, *turns, *asked]

    def quoted(self, passage: Passage) -> str:
        """The passage as it stands in a request, but for its number and the marker, which are of the same length."""
        return self._quote(10, passage, _MEASURE)

    def shown(self, example: Example) -> str:
        """An example as it stands behind the stable prefix; nothing where this prompt has no place for examples."""
        rows = (
            {"number": str(n), "title": _line(title), "text": text, "marker": _OF_EXAMPLES}
            for n, (title, text) in enumerate(example.sources, 1)
        )
        sources = "\n\n".join(_fill(self.source, row) for row in rows)
        return _fill(self.example, {"sources": sources, "question": example.question, "answer": example.answer})

    def _prefix(self, examples: Sequence[Example]) -> str:
        shown = [self.shown(example) for example in examples] if self.example else []
        return "\n\n".join([self.system, *shown])

    def _quote(self, number: int, passage: Passage, marker: str) -> str:
        fields = {"number": str(number), "title": _heading(passage), "text": passage.text, "marker": marker}
        return _fill(self.source, fields)


class BrokenPromptError(ValueError):
    """A prompt's file that cannot be used; the message says why, as the rest of a sentence that begins with its name."""


def load_prompt(name: str = "answer") -> Prompt:
    """The shipped prompt of this file name. BrokenPromptError and FileNotFoundError mean a broken installation."""
    return parsed((SHIPPED / f"{name}.md").read_text(encoding="utf-8"))


def parsed(raw: str) -> Prompt:
    """The prompt that a file holds: front matter with `id` and `version`, and its parts. Raises BrokenPromptError."""
    found = _FRONT.fullmatch(raw)
    if found is None:
        raise BrokenPromptError("does not begin with front matter between two lines of ---")
    meta = _meta(found[1])
    parts = _parts(found[2], _NEEDED.get(meta["id"], ()))
    digest = hashlib.sha256(raw.encode()).hexdigest()[:8]
    version = f"{meta['id']}@{meta['version']}#{digest}"
    return Prompt(version, **parts, models=str(meta.get("models", "")), max_tokens=meta.get("max_tokens"))


def _meta(front: str) -> dict[str, Any]:
    try:
        meta = yaml.safe_load(front)
    except yaml.YAMLError:
        raise BrokenPromptError("has front matter that is not YAML") from None
    if not isinstance(meta, dict):
        raise BrokenPromptError("has front matter without keys")
    if unknown := [key for key in meta if key not in _KEYS]:
        raise BrokenPromptError(f"has the key {unknown[0]!r} in its front matter; there are {', '.join(_KEYS)}")
    if not (isinstance(meta.get("id"), str) and _ID.fullmatch(meta["id"])):
        raise BrokenPromptError("has no id of small letters, digits and _ in its front matter")
    if not _is_count(meta.get("version")):
        raise BrokenPromptError("has no version in its front matter, a whole number from 1")
    if "max_tokens" in meta and not _is_count(meta["max_tokens"]):
        raise BrokenPromptError("has max_tokens that are no whole number from 1")
    return meta


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _parts(body: str, needed: Sequence[tuple[str, str]]) -> dict[str, str]:
    before, *rest = _SECTION.split(body)
    names = rest[::2]
    if before.strip() or len(set(names)) < len(names):
        raise BrokenPromptError("has text in front of its first part, or a part twice")
    parts = {name: text.strip() for name, text in zip(names, rest[1::2], strict=True)}
    for name, text in parts.items():
        if name not in _FIELDS:
            raise BrokenPromptError(f"has a part {name!r}; there are {', '.join(_FIELDS)}")
        if wrong := sorted(fields_of(text) - _FIELDS[name]):
            may = ", ".join(sorted(_FIELDS[name])) or "none"
            raise BrokenPromptError(f"wants {wrong[0]!r} filled in where {name!r} may have {may}")
    _check_whole(parts, needed)
    return parts


def _check_whole(parts: Mapping[str, str], needed: Sequence[tuple[str, str]]) -> None:
    """A prompt that leaves out the question, or does not mark what is quoted, would be noticed by nobody."""
    wanted = [(name, "") for name in ("system", "source", "user") if name not in parts]
    wanted += [("user", field) for field in ("question", "marker") if field not in fields_of(parts.get("user", ""))]
    if parts.get("source"):
        wanted += [("source", field) for field in ("text", "marker") if field not in fields_of(parts["source"])]
        wanted += [("user", "sources")] if "sources" not in fields_of(parts.get("user", "")) else []
    if parts.get("example"):
        wanted += [("example", f) for f in ("question", "sources", "answer") if f not in fields_of(parts["example"])]
    wanted += [(name, field) for name, field in needed if field not in fields_of(parts.get(name, ""))]
    for name, field in wanted:
        raise BrokenPromptError(f"has no {{{{{field}}}}} in its part {name!r}" if field else f"has no part {name!r}")


def fields_of(template: str) -> frozenset[str]:
    """The fields that a part of a prompt wants filled."""
    return frozenset(_FIELD.findall(template))


def _fill(template: str, fields: Mapping[str, str]) -> str:
    """One pass: a `{{question}}` inside a source stays what it is."""
    return _FIELD.sub(lambda match: fields[match.group(1)], template)


def _heading(passage: Passage) -> str:
    """`Title > Chapter > Section` on one line, without quotes that could end the attribute."""
    path = [part for part in passage.heading_path if part != passage.title]
    return _line(" > ".join([passage.title, *path]))


def _line(text: str) -> str:
    return " ".join(text.replace('"', "'").split())


def _unseen(draw: Callable[[], str], quoted: tuple[str, ...]) -> str:
    marker = draw()
    while any(marker in text for text in quoted):
        marker = draw()
    return marker
