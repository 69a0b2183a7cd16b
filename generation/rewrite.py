"""A follow-up rewritten by a chat model, through the very port that writes answers: limits, errors and cost are the same.

What the model says is untrusted: it only ever becomes the text of a search in the same scope, and what does not look like
the question that was asked is thrown away.
"""

import re
from collections.abc import Sequence

from generation.model import Rewritten
from generation.ports import Generator
from generation.short_reply import short_reply
from retrieval.query import TURNS, Turn

LONGEST = 500  # characters, or twice the question; a longer reply is an answer, not a question
_TURN_CHARS = {"user": 1000, "assistant": 600}  # of a turn; its beginning says what it is about
_SAID = {"user": "Question", "assistant": "Answer"}
_MUST_STAY = re.compile(r"\w*[\d_]\w*")
_QUOTES = "\"'“”‘’„«»` "
_LABEL = re.compile(r"^(?:rewritten |standalone )?question:\s*", re.IGNORECASE)


class ModelRewriter:
    """The rewriter port over a generator that was given the prompt `rewrite`."""

    def __init__(self, generator: Generator, timeout_s: float) -> None:
        """`timeout_s` is for the whole of it; a search can go without."""
        self._generator = generator
        self._timeout_s = timeout_s

    @property
    def prompt_version(self) -> str | None:
        return self._generator.prompt_version

    async def rewrite(self, question: str, history: Sequence[Turn]) -> Rewritten:
        """See ports.Rewriter."""
        said, usage = await short_reply(self._generator, conversation(question, history), self._timeout_s)
        return Rewritten(accepted(said, question), usage)

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._generator.aclose()


def conversation(question: str, history: Sequence[Turn]) -> str:
    """The last turns, a line each, long ones cut, and the question behind them."""
    turns = [f"{_SAID[role]}: {_line(text[: _TURN_CHARS[role]])}" for role, text in history[-TURNS:]]
    return "\n".join([*turns, f"{_SAID['user']}: {_line(question)}"])


def accepted(said: str, question: str) -> str | None:
    """The one line that a model said, if it can be the question: not too long, printable, and with every number and
    identifier of the question still in it. Else None."""
    text = _LABEL.sub("", said.strip()).strip(_QUOTES)
    if len(text.splitlines()) != 1:
        return None
    text = _line(text)
    if not text.isprintable() or not any(char.isalnum() for char in text):
        return None
    if len(text) > max(LONGEST, 2 * len(question)):
        return None
    kept = {word.casefold() for word in _MUST_STAY.findall(text)}
    return text if all(word.casefold() in kept for word in _MUST_STAY.findall(question)) else None


def _line(text: str) -> str:
    return " ".join(text.split())
