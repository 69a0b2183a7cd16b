"""Hostile files beside good ones, and questions meanwhile: every file gets a verdict in time, every neighbour is read, no
question goes unanswered. How long questions take is told beside what they take while nothing but good files is read."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Any

import psutil

from ingest.errors import GroundedError
from ingest.readers.pool import ReaderPool
from tests.chaos.corpus import edition, lay_out, name_of
from tests.chaos.process import Told, in_child
from tests.chaos.rig import SCOPE, Rig, opened
from tests.chaos.stage import scratch
from tests.ingest.hostile_packages import GOOD, members, packages, zipped
from tests.ingest.hostile_pdfs import pdfs
from tests.ingest.hostile_texts import texts
from tests.ingest.mutants import PDFS, TEXTS, mutants

_READERS = 2  # processes, as the product has on two cores
_ASKING = 4  # questions at once
_ROUNDS = 5  # good files and hostile ones in turn, so that the machine's mood hits both
_VERDICT_MS = 10_000
_BOOKS = 12
_NEIGHBOURS = 20  # in each round
_SECONDS_EACH = 1.0  # of a file, before the run counts as hung
Files = Mapping[str, bytes]


@dataclass(slots=True)
class Asked:
    """Milliseconds of each question, and those that were not answered."""

    ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stopped: bool = False

    async def forever(self, rig: Rig, seed: int) -> None:
        random = Random(seed)
        while not self.stopped:
            start = time.perf_counter()
            try:
                found = await rig.find(f"What is in book{random.randrange(_BOOKS):02}?")
            except GroundedError as error:
                self.failed.append(f"unanswered: {error.code}")
            else:
                self.failed += ["unanswered: no passage"] * (not found.passages)
            self.ms.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(0.005)


@dataclass(slots=True)
class Seen:
    """What a run of rounds has shown."""

    files: list[dict[str, Any]] = field(default_factory=list)
    p99: dict[str, list[float]] = field(default_factory=lambda: {"good": [], "hostile": []})
    answers: int = 0
    wrong: list[str] = field(default_factory=list)


def sweep(n: int, seed: int) -> dict[str, Any]:
    """`n` files broken at random, and all that are crafted, in rounds."""
    with scratch() as root:
        outcome = in_child(lambda tell: _attack(root, n, seed, tell), 900 + n * _SECONDS_EACH)
    if outcome.status != 0:
        return {"files": 0, "wrong": [f"died: {outcome.last('raised') or outcome.signal}"]}
    found: dict[str, Any] = outcome.last("found")
    return found


def _attack(root: Path, n: int, seed: int, tell: Told) -> None:
    async def main() -> None:
        pool = ReaderPool(children=_READERS)
        try:
            async with opened(root / "state", reader=pool) as rig:
                seen = await _rounds(root, rig, n, seed)
        finally:
            await pool.close()
        tell({"found": _told(seen)})

    asyncio.run(main())


async def _rounds(root: Path, rig: Rig, n: int, seed: int) -> Seen:
    lay_out(root / "books", {name_of(d): edition(d, 1) for d in range(_BOOKS)})
    await rig.sync(root / "books")
    seen, evil = Seen(), list(_evil(n, seed))
    for number in range(_ROUNDS):
        some = dict(evil[number::_ROUNDS])
        reports, written = await _round(seen, rig, root / f"hostile{number}", "hostile", some)
        seen.files += reports
        await _round(seen, rig, root / f"good{number}", "good", _good(some, written))
    return seen


async def _round(
    seen: Seen, rig: Rig, folder: Path, kind: str, files: Files
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One folder is ingested while questions are asked about what stood there before; what became of each file, and the
    text of those that reached the index."""
    lay_out(folder, {**files, **_neighbours()})
    asked, reports = Asked(), list[dict[str, Any]]()
    running = [asyncio.create_task(asked.forever(rig, seed)) for seed in range(_ASKING)]
    try:
        await rig.sync(folder, lambda told: reports.append(told) if "ack" in told else None)
    finally:
        asked.stopped = True
        await asyncio.gather(*running)
    seen.p99[kind].append(statistics.quantiles(asked.ms, n=100)[98])
    seen.answers += len(asked.ms) - len(asked.failed)
    seen.wrong += asked.failed
    known = await rig.catalog.known(SCOPE.collection_id, folder)
    texts = {name: await rig.catalog.text(entry.document_id) for name, entry in known.items() if name in files}
    return reports, {name: text for name, text in texts.items() if text is not None}


def _told(seen: Seen) -> dict[str, Any]:
    evil = [file for file in seen.files if not file["ack"].startswith("good ")]
    read_well = sum(file["status"] == "added" for file in seen.files if file["ack"].startswith("good "))
    slow = [f"late: {file['ack']} took {file['ms'] / 1e3:.1f} s" for file in evil if file["ms"] > _VERDICT_MS]
    missing = [f"neighbours: {read_well} of {_ROUNDS * _NEIGHBOURS}"] * (read_well != _ROUNDS * _NEIGHBOURS)
    ratio = statistics.median(h / g for g, h in zip(seen.p99["good"], seen.p99["hostile"], strict=True))
    return {
        "files": len(evil),
        "verdicts": dict(Counter(file["error"] or "read" for file in evil).most_common()),
        "slowest_s": round(max(file["ms"] for file in evil) / 1e3, 2),
        "neighbours": read_well,
        "answers": seen.answers,
        "p99_ms": {kind: round(statistics.median(found), 1) for kind, found in seen.p99.items()},
        "p99_ratio": round(ratio, 2),
        "memory_mb": round(psutil.Process().memory_info().rss / 2**20),
        "wrong": [*slow, *missing, *seen.wrong],
    }


def _evil(n: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Numbered, as a crafted file's name may be one that a folder cannot hold."""
    crafted = chain(packages(), pdfs(), texts())
    for number, (name, data) in enumerate(chain(crafted, islice(mutants(seed, n), n))):
        yield f"{number}.{name.rpartition('.')[2]}", data


def _good(hostile: Files, written: Mapping[str, str]) -> dict[str, bytes]:
    """A good file for each hostile one, in its format; where that reached the index, as a page of the same text, so that
    both rounds write the same there and what is left between them is what hostility costs."""
    found: dict[str, bytes] = {}
    for number, name in enumerate(hostile):
        stem, _, ending = name.rpartition(".")
        if name in written:
            found[f"{stem}.txt"] = written[name].swapcase().encode("utf-8", "replace")  # or its vectors were taken over
        elif ending in GOOD:
            found[name] = zipped(members(ending))
        elif ending in TEXTS:
            found[name] = TEXTS[ending]
        else:
            found[f"{stem}.pdf"] = PDFS[number % len(PDFS)]
    return found


def _neighbours() -> dict[str, bytes]:
    return {f"good {n}.md": f"# Good {n}\n\nread whatever its neighbours do".encode() for n in range(_NEIGHBOURS)}
