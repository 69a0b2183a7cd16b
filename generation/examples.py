"""Few-shot examples: data like the prompts, chosen for each question by likeness to its own examples' questions.

One of those that are chosen is always of a question that its sources do not answer: a model that only ever sees answers
answers. They keep the order of their file, so that the same choice is the same text and can be cached.
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from generation.model import Ask, Draft, DraftEnd, Example
from generation.ports import Generator
from generation.prompt import NOT_IN_SOURCES, SHIPPED, Prompt
from generation.sizes import estimated
from retrieval.errors import EmbedderUnavailable
from retrieval.model import Context, EmbeddedQuery, Floats

FILE = "examples.jsonl"
LARGEST = 160  # estimated tokens of one
EmbedQuestion = Callable[[str], Awaitable[EmbeddedQuery]]
_Chosen = Callable[[Context], Awaitable[tuple[Example, ...]]]


class BrokenExamplesError(ValueError):
    """A file of examples that cannot be used; the message names the line and says why."""


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of a file, in its order. `version` is the beginning of the SHA-256 of its text."""

    rows: tuple[Example, ...]
    version: str

    def refuses(self, number: int) -> bool:
        """Whether that example is of a question that its sources do not answer."""
        return self.rows[number].answer == NOT_IN_SOURCES


def load_examples(own: Path | None = None) -> Examples:
    """Those of the folder, where it has a file of them; else those that are shipped. Raises BrokenExamplesError."""
    paths = [folder / FILE for folder in (own, SHIPPED) if folder is not None]
    path = next((path for path in paths if path.is_file()), paths[-1])
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BrokenExamplesError(f"{FILE} cannot be read: {error.strerror}") from None
    rows = tuple(_row(line, number) for number, line in enumerate(raw.splitlines(), 1) if line.strip())
    found = Examples(rows, hashlib.sha256(raw).hexdigest()[:8])
    refusals = sum(found.refuses(number) for number in range(len(rows)))
    if not 0 < refusals < len(rows):
        raise BrokenExamplesError(f"{FILE} needs answers, and at least one that is {NOT_IN_SOURCES}")
    return found


def _row(line: bytes, number: int) -> Example:
    where = f"{FILE}, line {number}"
    try:
        row: Any = orjson.loads(line)
        sources = tuple((_text(title), _text(text)) for title, text in row["sources"])
        found = Example(_text(row["question"]), sources, _text(row["answer"]))
    except (ValueError, TypeError, KeyError):
        raise BrokenExamplesError(f"{where}, is no question, sources of title and text, and answer") from None
    size = estimated(" ".join((found.question, found.answer, *(f"{a} {b}" for a, b in found.sources))))
    if size > LARGEST:
        raise BrokenExamplesError(f"{where}, is about {size} tokens long; {LARGEST} is the most")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


class ExampleChooser:
    """Chooses by the cosine of question vectors. The examples' own are made once for each embedder and kept."""

    def __init__(self, examples: Examples, wanted: int, fingerprint: Callable[[], str], embed: EmbedQuestion) -> None:
        """`wanted` examples a question, 2 at least; `fingerprint` tells which embedder `embed` is, now."""
        self._examples = examples
        self._wanted = wanted
        self._fingerprint = fingerprint
        self._embed = embed
        self._known: tuple[str, Floats] | None = None

    def largest(self, prompt: Prompt) -> tuple[Example, ...]:
        """As many as are shown, of those that take most room in this prompt: what a request has to be able to hold."""
        return tuple(sorted(self._examples.rows, key=lambda row: -estimated(prompt.shown(row)))[: self._wanted])

    @property
    def version(self) -> str:
        """Of all that there are to choose from."""
        return f"examples#{self._examples.version}"

    async def chosen(self, context: Context) -> tuple[Example, ...]:
        """The nearest to the question that this context was found for; the first ones where its vector is not at hand."""
        count = len(self._examples.rows)
        scores = np.zeros(count, np.float32)
        if context.query is not None:
            vectors = await self._vectors()
            if vectors is not None and vectors.shape[1:] == context.query.vector.shape:
                scores = vectors @ context.query.vector
        best = sorted(range(count), key=lambda n: (-float(scores[n]), n))
        refusals = [n for n in best if self._examples.refuses(n)]
        answers = [n for n in best if not self._examples.refuses(n)]
        taken = sorted([*answers[: self._wanted - 1], refusals[0]])
        return tuple(self._examples.rows[n] for n in taken)

    async def _vectors(self) -> Floats | None:
        """None where the embedder fails: examples are no reason for an answer to fail."""
        now = self._fingerprint()
        if self._known is not None and self._known[0] == now:
            return self._known[1]
        try:
            rows = [(await self._embed(example.question)).vector for example in self._examples.rows]
        except EmbedderUnavailable:
            return None
        self._known = now, np.stack(rows)
        return self._known[1]


class WithExamples:
    """The generator port over another one, whose model is shown examples. Answers that are data get none: these examples
    are prose."""

    def __init__(self, generator: Generator, chooser: ExampleChooser) -> None:
        self._generator = generator
        self._chooser = chooser

    @property
    def name(self) -> str:
        return self._generator.name

    @property
    def prompt_version(self) -> str | None:
        """The prompt's, and behind it that of the examples."""
        return self._versioned(self._generator.prompt_version)

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._generator.aclose()

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        """See ports.Generator."""
        plain = ask.response_format is not None
        shown = ask if plain else replace(ask, examples=await self._chooser.chosen(context))
        async with aclosing(self._generator.draft(shown, context)) as drafts:  # type: ignore[type-var]
            async for draft in drafts:
                if isinstance(draft, DraftEnd) and not plain:
                    yield replace(draft, prompt_version=self._versioned(draft.prompt_version))
                else:
                    yield draft

    def _versioned(self, version: str | None) -> str | None:
        return None if version is None else f"{version}+{self._chooser.version}"
