"""The lives of one service on one state, and what is asked of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.app.reindexing import Rig, World, life
from tests.patience import PATIENCE_S

LIFE_S = PATIENCE_S
TOPICS = ("lighthouse", "harbour", "anchor", "compass", "lantern", "bridge", "garden", "school", "doctor", "market")


@dataclass(frozen=True, slots=True)
class Lives:
    """One behind the other; `world` outlives them."""

    world: World
    state: Path
    docs: Path

    @asynccontextmanager
    async def begin(self, model: str = "old", *, repair: bool = False) -> AsyncIterator[Rig]:
        async with asyncio.timeout(LIFE_S), life(self.world, self.state, model, repair=repair) as rig:
            yield rig

    @asynccontextmanager
    async def fed(self) -> AsyncIterator[Rig]:
        """One that has ingested the folder."""
        async with self.begin() as rig:
            await rig.sync(self.docs)
            yield rig


def document(topic: str, lines: int = 3) -> str:
    return "".join(f"The {topic} number {n} was painted by {topic}keeper{n} in spring.\n" for n in range(lines))


async def first(rig: Rig, question: str = "Who painted the lantern?") -> str:
    """The name of the document that is found first."""
    return (await rig.find(question)).passages[0].name


async def whole(rig: Rig, model: str) -> None:
    """The generation holds every live chunk and nothing else, in all of its stores."""
    ids = await rig.live_ids()
    assert set(rig.engine(model).points) == set(rig.stored(model).stored) == ids


async def holds_nothing_of(rig: Rig, document: str, *models: str) -> None:
    for model in models:
        assert await rig.engine(model).count_document(document) == 0
        assert await rig.stored(model).count(document) == 0
