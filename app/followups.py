"""A question that points back to earlier turns, made standalone: by the chat model where there is one, else by rule.

The history serves this and nothing else. What is found for the standalone question alone decides whether it is answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from generation.errors import GenerationError
from generation.model import Usage
from generation.ports import Rewriter
from retrieval.query import Turn, standalone


@dataclass(frozen=True, slots=True)
class Standalone:
    """The text to search for, what a model took to write it, and the parts that failed meanwhile."""

    text: str
    usage: Usage = field(default_factory=Usage)
    degraded: tuple[str, ...] = ()


class FollowUps:
    """Without a rewriter by rule, without `rules` not at all."""

    def __init__(self, rewriter: Rewriter | None = None, *, rules: bool = True) -> None:
        self._rewriter = rewriter
        self._rules = rules

    def asks_a_model(self, history: Sequence[Turn]) -> bool:
        """Whether a model is asked: never for the first question of a conversation."""
        return self._rewriter is not None and any(role == "user" for role, _ in history)

    async def standalone(self, question: str, history: Sequence[Turn]) -> Standalone:
        """Where the model fails, or says what cannot be the question, the rule stands in and `rewriter` is named."""
        by_rule = standalone(question, history) if self._rules else question
        if self._rewriter is None or not self.asks_a_model(history):
            return Standalone(by_rule)
        try:
            found = await self._rewriter.rewrite(question, history)
        except GenerationError as error:
            return Standalone(by_rule, error.usage, ("rewriter",))
        if found.text is None:
            return Standalone(by_rule, found.usage, ("rewriter",))
        return Standalone(found.text, found.usage)
