"""An embedder in front of the real one, for measurements that must not pay for some of its work."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.model import EmbeddedPassage, EmbeddedQuery
from retrieval.ports import Embedder


@dataclass(slots=True)
class StandIn:
    """The real one in all that a subclass does not do itself."""

    real: Embedder

    @property
    def name(self) -> str:
        return self.real.name

    @property
    def fingerprint(self) -> str:
        return self.real.fingerprint

    @property
    def dimension(self) -> int:
        return self.real.dimension

    @property
    def window(self) -> int:
        return self.real.window

    def count(self, texts: Sequence[str]) -> list[int]:
        return self.real.count(texts)

    async def embed_query(self, text: str) -> EmbeddedQuery:
        return await self.real.embed_query(text)

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        return await self.real.embed_passages(texts)


@dataclass(slots=True)
class Remembered(StandIn):
    """Embeds no question twice, so that a search can be timed without it."""

    known: dict[str, EmbeddedQuery] = field(default_factory=dict)

    async def embed_query(self, text: str) -> EmbeddedQuery:
        if text not in self.known:
            self.known[text] = await self.real.embed_query(text)
        return self.known[text]


@dataclass(slots=True)
class Prepared(StandIn):
    """Has made the passages already."""

    made: dict[str, EmbeddedPassage] = field(default_factory=dict)

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        return [self.made[text] for text in texts]
