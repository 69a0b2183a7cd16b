"""A small chat model says how hard a question is, in place of the rules. It reads the question alone, so it can be asked
while the documents are searched."""

from dataclasses import dataclass, field
from typing import Protocol

from generation.model import Usage
from generation.ports import Generator
from generation.short_reply import one_of, short_reply

LEVELS = ("simple", "medium", "complex")  # in the order of the tiers
_LONGEST = 2000  # characters; the beginning of a longer question tells enough


@dataclass(frozen=True, slots=True)
class Graded:
    """A level, counted from 0, or None where the reply was none; and what it took."""

    level: int | None = None
    usage: Usage = field(default_factory=Usage)


class Classifier(Protocol):
    """Says how hard a question is."""

    async def grade(self, question: str) -> Graded:
        """Ends within its own time limit. Raises a GenerationError."""
        ...


class ModelClassifier:
    """The classifier over a generator that was given the prompt `route`."""

    def __init__(self, generator: Generator, timeout_s: float) -> None:
        self._generator = generator
        self._timeout_s = timeout_s

    async def grade(self, question: str) -> Graded:
        said, usage = await short_reply(self._generator, question[:_LONGEST], self._timeout_s)
        level = one_of(said, LEVELS)
        return Graded(None if level is None else LEVELS.index(level), usage)
