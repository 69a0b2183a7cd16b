"""A disk that fills up for real, under a service that ingests and answers: a small tmpfs in a mount namespace of our own.

Errors that are injected reach system calls only. The engine writes through mapped memory, and there a full disk is SIGBUS;
so this check, and no sweep over calls, tells whether anything can still die of it.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import structlog

from ingest.errors import GroundedError, StorageFull
from tests.chaos.checks import Truth, check_settled
from tests.chaos.corpus import Phase, script
from tests.chaos.killpoints import Tally, violations_of
from tests.chaos.process import Outcome, Told, in_child
from tests.chaos.reading import Readers, asking, shelf_of
from tests.chaos.rig import opened
from tests.chaos.stage import Stage, scratch
from tests.checks import Unavailable

_DISK_MB = 512
_LEAST, _MOST = 1 << 10, 64 << 20  # bytes left free, drawn by magnitude
_GUARD = 32 << 20


def sweep(n: int, seed: int) -> dict[str, Any]:
    """`n` disks. Raises Unavailable where one may not mount."""
    with scratch() as root:
        (root / "disk").mkdir()
        inside = [sys.executable, "-m", "tests.chaos.fulldisk", str(root), str(n), str(seed)]
        mount = f'mount -t tmpfs -o size={_DISK_MB}m none "$0" && exec "$@"'
        command = ["unshare", "-Urm", "sh", "-c", mount, str(root / "disk"), *inside]
        try:
            run = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise Unavailable("there is no unshare") from error
    if not run.stdout.strip():
        if "Traceback" in run.stderr:
            raise RuntimeError(run.stderr)
        raise Unavailable(f"a disk cannot be mounted here: {run.stderr.strip()[:200]}")
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def fill(root: Path, n: int, seed: int) -> dict[str, Any]:
    """Runs where `root/disk` is a small disk."""
    random, tally = Random(seed), Tally()
    refused = answers = 0
    stage = Stage(root, script(seed=seed))
    stage.build()
    stage.state = root / "disk" / "state"
    for nth in range(n):
        phase = stage.script.phases[nth % 3]
        free = int(_LEAST * (_MOST / _LEAST) ** random.random())
        guarded, early = nth % 2 == 1, nth % 5 == 4
        outcome = _one(stage, phase, free, guarded, early)
        refused += outcome.last("refused") or 0
        answers += outcome.last("answers") or 0
        how = f"{phase.name}, {free} bytes left{', guarded' if guarded else ''}{', at start' if early else ''}"
        wrong = violations_of(outcome)
        tally.points += 1
        tally.add(how, [line.replace("stuck: signal", "died: signal") for line in wrong], None)
    return {"disks": n, "refused": refused, "answers": answers, "wrong": tally.wrong}


def _one(stage: Stage, phase: Phase, free: int, guarded: bool, early: bool) -> Outcome:
    truth = stage.set(phase)
    ballast = stage.state.parent / "ballast"
    ballast.unlink(missing_ok=True)
    stage.reset(phase.name)
    if early:
        _leave(ballast, free)
    work = _start_on_full if early else _fill_up
    outcome = in_child(lambda tell: work(stage, truth, ballast, free, guarded, tell))
    ballast.unlink(missing_ok=True)
    return outcome


def _fill_up(stage: Stage, truth: Truth, ballast: Path, free: int, guarded: bool, tell: Told) -> None:
    """A service whose disk fills up, stays so for one run, and has room again."""

    async def main() -> None:
        async with opened(stage.state, min_free=_GUARD if guarded else 0) as rig:
            readers = Readers(rig, shelf_of(truth.old, truth.new))
            _leave(ballast, free)
            refused = 0
            async with asking(readers, 2):
                try:
                    await rig.sync(stage.docs)
                except StorageFull:
                    refused = 1
            os.remove(ballast)  # noqa: PTH107  of a moment
            wrong = list(readers.wrong)
            to_write = truth.ids - {chunk.id for chunks in truth.old.values() for chunk in chunks}
            expected = guarded and free < _GUARD and bool(to_write)  # deletions must go on: they free space
            wrong += ["code: a full disk was not refused"] * (expected and not refused)
            await rig.sync(stage.docs)
            wrong += await check_settled(rig, truth)
            tell({"refused": refused, "answers": readers.answered, "wrong": wrong})

    asyncio.run(main())


def _start_on_full(stage: Stage, truth: Truth, ballast: Path, free: int, guarded: bool, tell: Told) -> None:
    """A service that is started on a full disk, and once more when there is room."""

    async def main() -> None:
        try:
            async with opened(stage.state) as rig:
                await rig.sync(stage.docs)
        except StorageFull:
            tell({"refused": 1})
        except GroundedError as error:
            tell({"wrong": [f"code: a full disk was told as {error.code}"]})
        os.remove(ballast)  # noqa: PTH107
        async with opened(stage.state) as rig:
            await rig.sync(stage.docs)
            tell({"wrong": await check_settled(rig, truth)})

    asyncio.run(main())


def _leave(ballast: Path, free: int) -> None:
    """Take all of the disk but so many bytes."""
    disk = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - free))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    sys.stdout.write(json.dumps(fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))) + "\n")
