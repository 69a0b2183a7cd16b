"""What becomes of many files, read as `grounded ingest` reads them: by killable readers, several at once."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import FileError
from ingest.model import Parsed
from ingest.readers.pool import ReaderLimits, ReaderPool
from tests.ingest.reading import keeps_its_promises, source
from tests.patience import PATIENCE_S

READERS = 2
NEIGHBOUR = b"# A good neighbour\n\nis read whatever happens to others.\n"


class Lenient(ReaderLimits):
    """The limits of the product; but a good file of some words gets as much time as a busy machine may want."""

    def seconds(self, size: int) -> float:
        return PATIENCE_S if size <= len(NEIGHBOUR) else super().seconds(size)


@dataclass(frozen=True)
class Verdict:
    """`said` is `read` or the code of the error; `seconds` are those of the clock."""

    name: str
    said: str
    seconds: float
    quarantined: bool = False


@dataclass(frozen=True)
class Sweep:
    """The verdicts in order, how many good neighbours were asked and read, and the most memory that a reader took."""

    verdicts: list[Verdict]
    neighbours: int
    read_well: int
    peak_mb: float

    def said(self) -> dict[str, str]:
        return {verdict.name: verdict.said for verdict in self.verdicts}

    @property
    def slowest(self) -> Verdict:
        return max(self.verdicts, key=lambda verdict: verdict.seconds)


def swept(files: Iterable[tuple[str, bytes]]) -> Sweep:
    """Every file's verdict. A good file is read between any two of them, and must be read well."""
    return asyncio.run(_swept(iter(files)))


async def _swept(files: Iterable[tuple[str, bytes]]) -> Sweep:
    pool = ReaderPool(Lenient(), children=READERS)
    found: list[Verdict] = []
    neighbours: list[bool] = []
    peak = 0.0

    async def work() -> None:
        nonlocal peak
        for name, data in files:  # one iterator for all
            found.append(await _verdict(pool, name, data))
            peak = max([peak, *map(_peak_mb, pool._idle)])
            neighbours.append((await pool.read(source("good.md"), NEIGHBOUR)).title == "A good neighbour")

    try:
        await asyncio.gather(*(work() for _ in range(READERS)))
    finally:
        await pool.close()
    return Sweep(found, len(neighbours), sum(neighbours), peak)


async def _verdict(pool: ReaderPool, name: str, data: bytes) -> Verdict:
    start = time.monotonic()
    try:
        parsed: Parsed | FileError = await pool.read(source(name), data)
    except FileError as error:
        parsed = error
    seconds = time.monotonic() - start
    if isinstance(parsed, Parsed):
        keeps_its_promises(parsed)
        return Verdict(name, "read", seconds)
    assert parsed.message
    assert parsed.next_step
    assert type(parsed) is not FileError
    return Verdict(name, parsed.code, seconds, parsed.quarantine)


def _peak_mb(child: object) -> float:
    """The most memory that a reader ever held; 0 where the system does not tell."""
    status = Path(f"/proc/{child._process.pid}/status")  # type: ignore[attr-defined]
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
