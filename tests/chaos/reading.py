"""What a reader may see while documents change: of each document one version, whole; never a mix, never a gap."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from ingest.errors import GroundedError
from ingest.model import Chunk
from retrieval.model import Found
from tests.chaos.checks import Live
from tests.chaos.rig import Rig


@dataclass(frozen=True, slots=True)
class Shelf:
    """Every version of every document that may be shown. Names in `always` are never missing."""

    editions: Mapping[str, tuple[tuple[Chunk, ...], ...]]
    always: frozenset[str] = frozenset()
    texts: dict[str, str] = field(init=False)
    owner: dict[str, str] = field(init=False)  # name of the file, by chunk

    def __post_init__(self) -> None:
        chunks = [(name, c) for name, editions in self.editions.items() for edition in editions for c in edition]
        object.__setattr__(self, "texts", {chunk.id: chunk.text for _, chunk in chunks})
        object.__setattr__(self, "owner", {chunk.id: name for name, chunk in chunks})

    def judge(self, name: str, shown: Iterable[str]) -> list[str]:
        """Whether these chunks are all of one version of the document."""
        ids = set(shown)
        if not ids:
            return [f"gap: {name} is missing"] * (name in self.always)
        if any(ids == {chunk.id for chunk in edition} for edition in self.editions[name]):
            return []
        of = [sum(chunk.id in ids for chunk in edition) for edition in self.editions[name]]
        kind = "torn" if sum(n > 0 for n in of) > 1 else "gap"
        return [f"{kind}: {name} shows {of} chunks of its versions of {[len(e) for e in self.editions[name]]}"]

    def judge_answer(self, name: str, found: Found) -> list[str]:
        """The document that was asked for is whole; every text is one that a file says; of no document two versions."""
        wrong = [f"foreign: a text of no file under {p.id}" for p in found.passages if self.texts.get(p.id) != p.text]
        by_name: dict[str, set[str]] = {name: set()}
        for passage in found.passages:
            by_name.setdefault(self.owner.get(passage.id, ""), set()).add(passage.id)
        wrong += self.judge(name, by_name.pop(name))
        for other, ids in by_name.items():
            if not any(ids <= {c.id for c in edition} for edition in self.editions.get(other, ())):
                wrong.append(f"torn: two versions of {other} in one answer")
        return wrong


def shelf_of(*states: Live) -> Shelf:
    """Each document as it is in any of these states; those that are in all of them are never missing."""
    names = set().union(*states)
    editions = {name: tuple(state[name] for state in states if name in state) for name in names}
    return Shelf(editions, frozenset(names.intersection(*states)))


@dataclass(slots=True)
class Readers:
    """Tasks that ask while something else goes on. `answered` counts, `wrong` collects."""

    rig: Rig
    shelf: Shelf
    strict: bool = True  # an announced failure is a violation too
    asked: dict[str, str] = field(init=False)  # the question about each document
    stopped: bool = False
    answered: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asked = questions(self.shelf)

    async def ask(self, name: str) -> None:
        """One question."""
        try:
            found = await self.rig.find(self.asked[name])
        except GroundedError as error:
            self.failed += 1
            self.wrong += [f"unanswered: {error.code}: {error.message}"] * self.strict
            return
        self.answered += 1
        self.wrong += self.shelf.judge_answer(name, found) if not found.degraded else []
        self.wrong += [f"unanswered: degraded {found.degraded}"] * (self.strict and bool(found.degraded))

    async def forever(self, seed: int) -> None:
        """Until stopped."""
        random, names = Random(seed), sorted(self.asked)
        while not self.stopped:
            await self.ask(random.choice(names))
            await asyncio.sleep(0)


@asynccontextmanager
async def asking(readers: Readers, tasks: int, seed: int = 0) -> AsyncIterator[None]:
    """So many tasks ask all the while."""
    running = [asyncio.create_task(readers.forever(seed + k)) for k in range(tasks)]
    try:
        yield
    finally:
        readers.stopped = True
        await asyncio.gather(*running)


def questions(shelf: Shelf) -> dict[str, str]:
    """By name, the word of its book, which all versions of a document share."""
    first = {name: editions[0][-1].text for name, editions in shelf.editions.items()}
    return {name: found.group() for name, text in first.items() if (found := re.search(r"book\d\d", text))}
