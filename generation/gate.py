"""No model is asked, and paid, where even the nearest passage is too far from the question."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from generation.abstention import Bars, is_hopeless, nearness
from generation.model import Ask, Draft, DraftEnd
from generation.ports import Generator
from generation.route import EXTRACTIVE
from retrieval.model import Context


class Gate:
    """Stands in front of the generators of one service. `bars` are those of the embedder that is live."""

    def __init__(self, bars: Callable[[], Bars]) -> None:
        self._bars = bars

    def is_shut(self, context: Context) -> bool:
        """Whether nobody is asked about this context."""
        return is_hopeless(context, self._bars())

    def before(self, generator: Generator) -> Generator:
        """The same generator, not asked where it is shut."""
        return _Gated(self, generator)


class _Gated:
    """The generator port. What it says instead of a model cost nothing, and no tier said it."""

    def __init__(self, gate: Gate, behind: Generator) -> None:
        self._gate = gate
        self._behind = behind

    @property
    def name(self) -> str:
        return self._behind.name

    @property
    def prompt_version(self) -> str | None:
        return self._behind.prompt_version

    async def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
        """Below the bar nothing but a DraftEnd; otherwise the draft of the generator behind, with what it raises."""
        if self._gate.is_shut(context):
            near = nearness(context)
            yield DraftEnd(abstained="below_threshold", confidence=near, model=EXTRACTIVE, tier=EXTRACTIVE)
            return
        drafts = self._behind.draft(ask, context)
        try:
            async for draft in drafts:
                yield draft
        finally:
            if isinstance(drafts, AsyncGenerator):
                await drafts.aclose()

    async def aclose(self) -> None:
        """The generator behind belongs to others."""
