"""SIGKILL at the durable system calls of a reindex; then a fresh process looks, deletes, changes, and goes on.

The real catalog, shards, stores of vectors and reindex; only the two embedders are made of hashes.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL
from typing import Any

from app.reindex import Order
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.errors import GroundedError
from retrieval.adapters.vector_store import SqliteVectorStore
from retrieval.ports import StoredVectors
from tests.app.reindexing import Rig, World, life, real_parts
from tests.chaos.killpoints import Tally, violations_of
from tests.chaos.process import Outcome, Told, in_child, spread
from tests.chaos.stage import copy, scratch
from tests.chaos.trap import DURABLE, Fault, Mode, built

_FILES = 12
_NEW = Order("build", {"model": "new", "dimension": 128}, force=True)


class TellingVectors(SqliteVectorStore):
    """Tells what was made durable: these texts must never be embedded again."""

    told: Told

    async def put(self, rows: Sequence[StoredVectors]) -> None:
        await super().put(rows)
        self.told({"kept": [row.digest for row in rows]})


def sweep(n: int, seed: int) -> dict[str, Any]:
    """Kill at `n` points spread evenly over all calls, 0 for every one."""
    built()
    outcome = spread(lambda k, of, tell: _part(n, seed, k, of, tell))
    return {
        "calls": outcome.last("calls"),
        "points": sum(outcome.all("points")),
        "old": sum(outcome.all("old")),
        "new": sum(outcome.all("new")),
        "wrong": [line for lines in outcome.all("wrong") for line in lines],
    }


def _part(n: int, seed: int, k: int, of: int, tell: Told) -> None:
    tally, found = Tally(), {"old": 0, "new": 0}
    with scratch() as root:
        docs, kept, state = root / "docs", root / "kept", root / "state"
        _lay_out(docs)
        _alone(lambda _: asyncio.run(_ingested(kept, docs)))
        copy(kept, state)
        calls = int(_alone(lambda told: attack(state, Fault(Mode.COUNT, DURABLE), told)).last("calls"))
        step = max(1, calls // n) if n else 1
        for at in range(1 + seed % step + k * step, calls + 1, step * of):
            copy(kept, state)
            fault = Fault(Mode.KILL, DURABLE, at)
            killed = in_child(lambda told, fault=fault: attack(state, fault, told))  # type: ignore[misc]
            if killed.signal != SIGKILL:
                continue
            after = in_child(lambda told, killed=killed: recover(state, docs, killed, told))  # type: ignore[misc]
            tally.points += 1
            tally.add(f"call {at}", violations_of(after), None)
            found[after.last("live") or "old"] += 1
            _lay_out(docs)
    tell({"calls": calls, "points": tally.points, "wrong": tally.wrong, **found})


def _lay_out(docs: Path) -> None:
    docs.mkdir(exist_ok=True)
    for n in range(_FILES):
        lines = [f"The k{n:02}eeper of l{n:02}house wrote line{line} of b{n:02}book.\n" for line in range(30)]
        (docs / f"{n:02}.txt").write_text("".join(lines))
    (docs / "late.txt").unlink(missing_ok=True)


async def _ingested(state: Path, docs: Path) -> None:
    async with life(World(), state, made=real_parts) as rig:
        await rig.sync(docs)


def _alone(work: Any) -> Outcome:
    outcome = in_child(work)
    if outcome.status != 0:
        raise RuntimeError(outcome.last("raised") or f"signal {outcome.signal}")
    return outcome


def attack(state: Path, fault: Fault, tell: Told) -> None:
    """One reindex on a state folder, under a fault."""
    trap = built()
    trap.arm(state, fault)

    async def main() -> None:
        async with life(World(), state, "new", made=_telling(tell)) as rig:
            await rig.run(_NEW)

    asyncio.run(main())
    tell({"calls": trap.count})


def _telling(tell: Told) -> Any:
    def made(world: World, catalog: SqlCatalog) -> Any:
        from dataclasses import replace

        def vectors(file: Path, dimension: int) -> TellingVectors:
            store = TellingVectors(file, dimension)
            store.told = tell
            return store

        return replace(real_parts(world, catalog), vectors=vectors)

    return made


def recover(state: Path, docs: Path, killed: Outcome, tell: Told) -> None:
    """Open what the killed process left, look, delete and add, go on, look again."""

    async def main() -> None:
        world = World()
        async with life(world, state, "new", made=real_parts) as rig:
            live = next(name for name, found in (await rig.states()).items() if found == "live")
            tell({"live": live})
            wrong = [f"lost: {line}" for line in await _whole(rig, "at the start")]
            wrong += await _finds(rig, range(_FILES))
            (docs / "03.txt").unlink()
            (docs / "late.txt").write_text("Somebody late came to lighthouse99.\n")
            gone = await rig.document("03.txt")
            await rig.sync(docs)
            wrong += await _left(rig, gone)
            await rig.run(_NEW)
            kept = {digest for digests in killed.all("kept") for digest in digests}
            again = kept & {hashlib.sha256(text.encode()).hexdigest()[:32] for text in world.embedded.get("new", ())}
            wrong += [f"work: {len(again)} texts were embedded again"] * bool(again)
            states = await rig.states()
            wrong += [f"stuck: {states}"] * (states != {"old": "retired", "new": "live"})
            wrong += [f"drift: {line}" for line in await _whole(rig, "in the end")]
            wrong += await _finds(rig, [n for n in range(_FILES) if n != 3])
            wrong += await _left(rig, gone)
            folders = sorted(path.name for path in (state / "index").iterdir())
            expected = sorted(f"{row.fingerprint}-3" for row in await rig.rows.all())
            wrong += [f"drift: folders {folders}"] * (folders != expected)
            tell({"wrong": wrong})

    try:
        asyncio.run(main())
    except GroundedError as error:
        tell({"wrong": [f"stuck: {error.code}: {error.message}"]})


async def _whole(rig: Rig, when: str) -> list[str]:
    """The live generation has every live chunk and nothing else."""
    ids = await rig.live_ids()
    stores = rig.generations.live.stores
    counts = [await stores.points.count(), await stores.vectors.count()]
    there = [await stores.points.existing(sorted(ids)), await stores.vectors.existing(sorted(ids))]
    return [f"{counts} for {len(ids)} chunks {when}"] * (counts != [len(ids)] * 2 or there != [ids] * 2)


async def _finds(rig: Rig, documents: Any) -> list[str]:
    wrong = []
    for n in documents:
        found = await rig.find(f"What did k{n:02}eeper of l{n:02}house write?")
        if found.degraded or not found.passages or found.passages[0].name != f"{n:02}.txt":
            wrong.append(f"dangling: document {n} is not found")
    return wrong


async def _left(rig: Rig, document: str) -> list[str]:
    held = [
        count
        for stores in (rig.generations.live.stores, *rig.generations.others)
        for count in (await stores.points.count_document(document), await stores.vectors.count(document))
    ]
    return ["foreign: a deleted document is still in an index"] * any(held)
