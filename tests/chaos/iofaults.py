"""The n-th operation on the disk fails, once or from then on: a run ends committed or rolled back, questions go on being
answered, and what failed works again when the disk does."""

import asyncio
import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.errors import GroundedError
from tests.chaos.checks import Truth, check_index, check_search, check_settled, compare, live
from tests.chaos.corpus import Phase
from tests.chaos.killpoints import Tally, violations_of
from tests.chaos.process import Told, in_child, spread
from tests.chaos.reading import Readers, asking, shelf_of
from tests.chaos.rig import Rig, opened
from tests.chaos.stage import Stage, staged
from tests.chaos.trap import ALL, DURABLE, OPENS, READS, WRITES, Fault, Mode, built


@dataclass(frozen=True, slots=True)
class Kind:
    """What goes wrong. `codes` are the errors that may be told of it; `strict`: no question may fail because of it."""

    name: str
    mode: Mode
    calls: tuple[str, ...]
    error: int
    codes: frozenset[str]
    strict: bool = True


_FULL = _FAILED = frozenset({"storage_full", "storage_io"})  # SQLite tells some full disks as I/O errors
_READ = frozenset({"storage_io", "catalog_corrupt", "index_unavailable", "catalog_unavailable"})
_FILES = frozenset({"storage_io", "catalog_unavailable", "index_unavailable"})
KINDS = (
    Kind("ENOSPC once", Mode.FAIL, WRITES, errno.ENOSPC, _FULL),
    Kind("ENOSPC", Mode.FAIL_ON, WRITES, errno.ENOSPC, _FULL),
    Kind("EIO once", Mode.FAIL, DURABLE, errno.EIO, _FAILED),
    Kind("EIO", Mode.FAIL_ON, DURABLE, errno.EIO, _FAILED),
    Kind("EIO on a read", Mode.FAIL, READS, errno.EIO, _READ, strict=False),
    Kind("EIO on reads", Mode.FAIL_ON, READS, errno.EIO, _READ, strict=False),
    Kind("EMFILE once", Mode.FAIL, OPENS, errno.EMFILE, _FILES),
    Kind("EMFILE", Mode.FAIL_ON, OPENS, errno.EMFILE, _FILES),
    Kind("short write", Mode.SHORT, ("write", "pwrite64"), 0, _FULL),
    Kind("short writes", Mode.SHORT_ON, ("write", "pwrite64"), 0, _FULL),
)


def sweep(n: int, seed: int) -> dict[str, Any]:
    """`n` faults spread evenly over kinds, phases and calls; `seed` shifts the calls."""
    built()
    outcome = spread(lambda k, of, tell: _part(n, seed, k, of, tell))
    codes: dict[str, int] = {}
    for code in outcome.all("code"):
        codes[code] = codes.get(code, 0) + 1
    return {
        "faults": sum(outcome.all("points")),
        "answers": sum(outcome.all("answers")),
        "outcomes": dict(sorted(codes.items())),
        "wrong": [line for lines in outcome.all("wrong") for line in lines],
    }


def _part(n: int, seed: int, k: int, of: int, tell: Told) -> None:
    with staged(seed=seed) as stage:
        tally = Tally()
        for nth, (phase, kind, at) in enumerate(_points(stage, n, seed)):
            if nth % of == k:
                _one(stage, phase, kind, at, tally, tell)
        tell({"points": tally.points, "wrong": tally.wrong})


def _points(stage: Stage, n: int, seed: int) -> list[tuple[Phase, Kind, int]]:
    """The same share for every kind in every phase; of too many, an even choice."""
    share = -(-n // (len(KINDS) * len(stage.script.phases)))
    found: list[tuple[Phase, Kind, int]] = []
    for phase in stage.script.phases:
        made = _calls(stage, phase)
        for nth, kind in enumerate(KINDS):
            total = sum(name in kind.calls for name in made)
            step = max(1, total // share)
            first = 1 + (seed * 7 + nth * 13) % step
            found += [(phase, kind, at) for at in list(range(first, total + 1, step))[:share]]
    return [found[k * len(found) // n] for k in range(min(n, len(found)))]


def _calls(stage: Stage, phase: Phase) -> list[str]:
    """Names of the calls that the phase makes when nothing goes wrong."""
    truth = stage.set(phase)
    stage.reset(phase.name)
    counting = Kind("none", Mode.COUNT, ALL, 0, frozenset())
    outcome = in_child(lambda tell: attack(stage.state, stage.docs, truth, counting, 0, tell))
    if outcome.status != 0:
        raise RuntimeError(outcome.last("raised") or f"signal {outcome.signal}")
    return list(outcome.last("calls"))


def _one(stage: Stage, phase: Phase, kind: Kind, at: int, tally: Tally, tell: Told) -> None:
    truth = stage.set(phase)
    stage.reset(phase.name)
    hit = in_child(lambda told: attack(stage.state, stage.docs, truth, kind, at, told))
    wrong = list(violations_of(hit))
    if hit.status != 0:
        wrong = [line.replace("stuck", "died", 1) for line in wrong]
    after = in_child(lambda told: restart(stage.state, stage.docs, truth, hit.all("ack"), told))
    tally.points += 1
    tally.add(f"{phase.name}, {kind.name} at call {at}", wrong + violations_of(after), None)
    tell({"code": hit.last("code") or "committed", "answers": hit.last("answers") or 0})


def attack(state: Path, docs: Path, truth: Truth, kind: Kind, at: int, tell: Told) -> None:
    """A service on a disk that fails, and then does not any more."""
    trap = built()
    trap.arm(state, Fault(kind.mode, kind.calls, at, kind.error))

    async def main() -> None:
        async with opened(state) as rig:
            readers = Readers(rig, shelf_of(truth.old, truth.new), kind.strict)
            async with asking(readers, 2):
                code = await _run(rig, docs, tell)
            tell({"answers": readers.answered, "wrong": readers.wrong, "code": code})
            tell({"wrong": _planned(code, kind)} | ({"calls": trap.calls()} if kind.mode is Mode.COUNT else {}))
            trap.calm()
            await rig.sync(docs)  # the disk is well again
            tell({"wrong": [f"stuck: {line}" for line in await check_settled(rig, truth)]})

    try:
        asyncio.run(main())
    except GroundedError as error:
        trap.calm()
        tell({"code": f"start refused: {error.code}", "wrong": _planned(error.code, kind)})


async def _run(rig: Rig, docs: Path, tell: Told) -> str | None:
    try:
        await rig.sync(docs, tell)
    except GroundedError as error:
        return error.code
    return None


def _planned(code: str | None, kind: Kind) -> list[str]:
    return [] if code is None or code in kind.codes else [f"code: {kind.name} was told as {code}"]


def restart(state: Path, docs: Path, truth: Truth, acknowledged: list[str], tell: Told) -> None:
    """Another process, on a disk that is well."""

    async def main() -> None:
        async with opened(state) as rig:
            found = await live(rig)
            wrong = compare(found, truth, acknowledged) + await check_index(rig, found)
            wrong += await check_search(rig, found, truth)
            await rig.sync(docs)
            tell({"wrong": wrong + await check_settled(rig, truth)})

    asyncio.run(main())
