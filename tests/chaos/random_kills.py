"""SIGKILL at any moment, again and again on one state that is never put back, while others read.

Memory-mapped writes are no system calls, so a sweep over these cannot reach every state; time can. The service that is
killed answers questions while it ingests; beside it, processes of their own read the catalog all the time, also across
the kills.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.errors import GroundedError
from tests.chaos.checks import Truth
from tests.chaos.corpus import edition, lay_out, name_of
from tests.chaos.killpoints import Tally, recover, violations_of
from tests.chaos.process import Child, Outcome, Told, in_child
from tests.chaos.reading import Readers, Shelf, asking, shelf_of
from tests.chaos.rig import SCOPE, cut_all, opened
from tests.chaos.stage import run_alone, scratch

_DOCUMENTS = 20
_VERSIONS = (1, 2, 3)
_CATALOG_READERS = 2
_TASKS = 4
_AGAIN = 0.3  # chance that what takes over is killed as well
_FIRST_S = 0.6  # after at most so long the first run is killed; later ones within as long as a whole run takes

Files = Mapping[str, bytes]


def sweep(n: int, seed: int) -> dict[str, Any]:
    """`n` kills."""
    random, tally = Random(seed), Tally()
    with scratch() as root:
        state, docs = root / "state", root / "docs"
        run_alone(state, lambda rig: rig.sync(_laid(docs, {name_of(0): edition(0, 1)})))
        shelf = shelf_of(*(cut_all(docs, _all(version)) for version in _VERSIONS))
        readers = [Child(lambda tell, k=k: read_catalog(state, shelf, seed + k, tell)) for k in range(_CATALOG_READERS)]
        files: Files = {name_of(0): edition(0, 1)}
        rounds = _Rounds(state, docs, random, tally)
        while tally.points < n:
            old, files = files, _next(files, random)
            lay_out(docs, files)
            rounds.one(Truth(cut_all(docs, old), cut_all(docs, files)))
            for reader in readers:
                reader.poll(0)
        reads = sum(_read(reader, tally) for reader in readers)
    return {
        "kills": tally.points,
        "in_the_middle": rounds.middle,
        "answers": rounds.answers,
        "catalog_reads": reads,
        "recovery_s": round(tally.slowest, 3),
        "wrong": tally.wrong,
    }


@dataclass(slots=True)
class _Rounds:
    """Each over one folder: runs that are killed, then one that is not. `middle` counts kills behind the first write."""

    state: Path
    docs: Path
    random: Random
    tally: Tally
    answers: int = 0
    middle: int = 0
    span: float = _FIRST_S

    def one(self, truth: Truth) -> None:
        told: list[dict[str, Any]] = []
        first = True
        while first or self.random.random() < _AGAIN:
            first = False
            outcome = self._attacked(truth)
            told += outcome.told
            if outcome.status == 0:
                break  # it was faster
        killed = Outcome(tuple(told), None, signal.SIGKILL, 0.0)
        after = in_child(lambda tell: recover(self.state, self.docs, truth, killed, tell))
        self.span = (self.span + after.seconds) / 2
        self.answers += sum(killed.all("answers"))
        wrong = [*killed.all("seen"), *violations_of(after)]
        self.tally.add(f"before kill {self.tally.points}", wrong, after.last("recovery"))

    def _attacked(self, truth: Truth) -> Outcome:
        seed = self.random.randrange(1 << 30)
        child = Child(lambda tell: attack(self.state, self.docs, truth, seed, tell))
        outcome = _killed(child, self.random.uniform(0, self.span))
        if outcome.signal == signal.SIGKILL:
            self.tally.points += 1
            self.middle += bool(outcome.all("written") or outcome.all("ack"))
        elif outcome.status != 0:
            self.tally.wrong.append(f"died: {outcome.last('raised') or outcome.signal}")
        return outcome


def _killed(child: Child, seconds: float) -> Outcome:
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0 and child.poll(left):
        pass
    child.kill()
    return child.ended()


def attack(state: Path, docs: Path, truth: Truth, seed: int, tell: Told) -> None:
    """A service that ingests and answers."""

    async def main() -> None:
        async with opened(state, tell) as rig:
            readers = Readers(rig, shelf_of(truth.old, truth.new))
            news = asyncio.create_task(_report(readers, tell))
            async with asking(readers, _TASKS, seed):
                await rig.sync(docs, tell)
            news.cancel()
            _tell_news(readers, tell)

    asyncio.run(main())


async def _report(readers: Readers, tell: Told) -> None:
    """A killed process can say nothing any more, so it says it as it goes."""
    while True:
        await asyncio.sleep(0.01)
        _tell_news(readers, tell)


def _tell_news(readers: Readers, tell: Told) -> None:
    tell({"answers": readers.answered})
    for line in readers.wrong:
        tell({"seen": line})
    readers.answered = 0
    readers.wrong.clear()


def read_catalog(state: Path, shelf: Shelf, seed: int, tell: Told) -> None:
    """Reads documents until it is ended; each read is one transaction and must show one version, whole."""
    random = Random(seed)
    names = sorted(shelf.editions)

    async def main() -> None:
        catalog = SqlCatalog(f"sqlite:///{state / 'catalog.sqlite'}")
        for reads in range(1, 1 << 30):
            name = random.choice(names)
            ids = [chunk.id for version in shelf.editions[name] for chunk in version]
            try:
                shown = await catalog.live_chunks(SCOPE.collection_id, ids)
            except GroundedError as error:
                tell({"seen": f"unanswered: a reader of the catalog got {error.code}"})
                continue
            wrong = Shelf({name: shelf.editions[name]}).judge(name, shown)
            for line in wrong:
                tell({"seen": line})
            if reads % 100 == 0:
                tell({"reads": reads})
            if reads % 1000 == 0:
                await catalog.close()
                catalog = SqlCatalog(f"sqlite:///{state / 'catalog.sqlite'}")
            await asyncio.sleep(0.001)

    asyncio.run(main())


def _read(reader: Child, tally: Tally) -> int:
    os.kill(reader.pid, signal.SIGTERM)
    outcome = reader.ended(1e6)
    tally.wrong += outcome.all("seen")
    if outcome.signal != signal.SIGTERM:
        tally.wrong.append(f"died: a reader of the catalog: {outcome.last('raised') or outcome.signal}")
    return int(outcome.last("reads") or 0)


def _all(version: int) -> dict[str, bytes]:
    return {name_of(d): edition(d, version) for d in range(_DOCUMENTS)}


def _next(files: Files, random: Random) -> dict[str, bytes]:
    """Half of the documents stay; the others get any version, or go."""
    found: dict[str, bytes] = {}
    for d in range(_DOCUMENTS):
        name = name_of(d)
        stays = random.random() < 0.5
        version = random.choice((*_VERSIONS, 0))
        data = files.get(name) if stays else edition(d, version) if version else None
        if data is not None:
            found[name] = data
    return found or {name_of(0): edition(0, 1)}


def _laid(docs: Path, files: Files) -> Path:
    lay_out(docs, files)
    return docs
