"""`grounded eval growth`: what a growing corpus costs, in one run on one machine.

A folder is ingested as always, then copied until there are as many chunks as are asked for, through the same catalog,
stores and engine that an ingest writes to. At each size everything is opened anew and measured.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.commands.output import emit_json
from app.evals.bench import machine
from app.evals.clients import load
from app.evals.copies import SPLITTER, Copies, Copy, originals
from app.evals.corpus import ingest, progress, read_rows
from app.evals.searches import COLLECTION, measured
from app.evals.stand_in import Prepared
from app.settings import ConfigurationError, Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from ingest.run import Request
from retrieval.index import HybridIndex

_GROUP = 1024  # chunks written together


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure. `clients` 0 leaves the running service out; `seconds` is for each number of clients."""

    sizes: tuple[int, ...]
    clients: int = 32
    seconds: float = 10.0
    seed: int = 0


def sizes_of(said: str) -> tuple[int, ...]:
    """Numbers of chunks, as the command line says them: `10000,100000`. Raises ConfigurationError."""
    try:
        sizes = tuple(int(part) for part in said.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ConfigurationError(f"--sizes {said!r}: numbers above 0 with commas between them are wanted.")
    return sizes


async def growth(settings: Settings, folder: Path, questions: Path, wanted: Wanted, state: Path | None) -> int:
    """Measure at each size, smallest first, and print one JSON document. A `state` that is given is kept, and grown on the
    next time."""
    asked = [row["question"] for row in read_rows(questions, question=str)]
    if state is not None:
        rows = await _sizes(settings, folder, asked, wanted, StateFolder(state).root)
    else:
        with tempfile.TemporaryDirectory(prefix="grounded-growth-") as made:
            rows = await _sizes(settings, folder, asked, wanted, Path(made))
    emit_json({"machine": machine(), "growth": rows})
    return 0


async def _sizes(
    settings: Settings, folder: Path, asked: Sequence[str], wanted: Wanted, root: Path
) -> list[dict[str, Any]]:
    rows = []
    for size in sorted(wanted.sizes):
        async with _opened(settings, root) as grounded:
            built = await grow(grounded, folder, size, wanted.seed)
        progress("it is closed and opened again ...")
        async with _opened(settings, root) as grounded:
            row = built | await measured(grounded, asked)
        row["disk_mb"] = disk_mb(root)
        row["vectors_kb_per_chunk"] = round(row["disk_mb"]["vectors"] * 1024 / row["chunks"], 2)
        if wanted.clients:
            row["service"] = await load(root, asked, (1, wanted.clients), wanted.seconds)
        progress(f"{row['chunks']} chunks are measured")
        rows.append(row)
    return rows


@asynccontextmanager
async def _opened(settings: Settings, root: Path) -> AsyncIterator[Grounded]:
    state = StateFolder(root)
    with state.owned():
        async with opened(settings, state) as grounded:
            await grounded.settled()
            await grounded.learnt()
            yield grounded


async def grow(grounded: Grounded, folder: Path, size: int, seed: int) -> dict[str, Any]:
    """Ingest the folder if that was not done yet, and copy its documents until there are `size` chunks."""
    begun = time.perf_counter()
    if await grounded.catalog.collection(COLLECTION) is None:
        await ingest(grounded, Request(folder, COLLECTION), lambda *_: None)
    collection = await grounded.catalog.collection(COLLECTION, create=True)
    assert collection is not None
    _, before = await grounded.catalog.count_live(collection)
    found, number = await originals(grounded.catalog, grounded.vectors, collection)
    copies, made = iter(Copies(found, grounded.embedder, seed, number)), 0
    async with asyncio.TaskGroup() as writing:
        written = None
        while before + made < size:  # a group is made while the one before is written
            group = await asyncio.to_thread(_group, copies, min(_GROUP, size - before - made))
            if written is not None:
                await written
            written = writing.create_task(_written(grounded, group))
            made += sum(len(copy.vectors) for copy in group)
            progress(f"{before + made} of {size} chunks, {time.perf_counter() - begun:.0f} s")
    return {"built_s": round(time.perf_counter() - begun, 2), "added": made}


def _group(copies: Iterator[Copy], chunks: int) -> list[Copy]:
    """Copies of as many chunks, or a few more."""
    group = [next(copies)]
    while sum(len(copy.vectors) for copy in group) < chunks:
        group.append(next(copies))
    return group


async def _written(grounded: Grounded, group: Sequence[Copy]) -> None:
    """As an ingest does it: versions that are not live, vectors and points, then the flip."""
    numbers = await grounded.catalog.begin([(copy.chunked, SPLITTER) for copy in group])
    pairs = ((copy.chunked.chunks, copy.vectors) for copy in group)
    made = {chunk.embedded: vector for pair in pairs for chunk, vector in zip(*pair, strict=True)}
    index = HybridIndex(Prepared(grounded.embedder, made), grounded.points, grounded.vectors)
    await index.put([copy.chunked for copy in group])
    await grounded.catalog.flip(numbers)


def disk_mb(root: Path) -> dict[str, float]:
    """What each part takes on the disk: holes of files are not counted."""
    parts = {"catalog": 0, "shard": 0, "vectors": 0}
    for file in (path for path in root.rglob("*") if path.is_file()):
        name = next((n for n in parts if n in file.relative_to(root).as_posix()), None)
        if name is not None:
            parts[name] += file.stat().st_blocks * 512
    return {name: round(size / 2**20, 1) for name, size in parts.items()}
