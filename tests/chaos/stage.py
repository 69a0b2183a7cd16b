"""A folder with the corpus of one phase, and the state as the phase before left it: where each attack begins."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.chaos.checks import Truth, truth
from tests.chaos.corpus import Phase, Script, lay_out, script
from tests.chaos.process import in_child
from tests.chaos.rig import opened


class Stage:
    """Paths below one temporary folder. `state` is a scratch copy that an attack may ruin."""

    def __init__(self, root: Path, story: Script) -> None:
        self.script = story
        self.docs = root / "docs"
        self.state = root / "state"
        self._kept = root / "before"

    def build(self) -> None:
        """Run the whole script once, without faults, and keep the state before each phase and at the end."""
        for phase in (*self.script.phases, None):
            copy(self.state, self._kept / (phase.name if phase else "end"))
            if phase is not None:
                lay_out(self.docs, phase.files)
                run_alone(self.state, lambda rig: rig.sync(self.docs))

    def set(self, phase: Phase) -> Truth:
        """Put the files of the phase into the folder; what must come of them."""
        lay_out(self.docs, phase.files)
        return truth(self.docs, self.script, phase.name)

    def reset(self, name: str) -> None:
        """The state as it was before the phase, or at the `end`."""
        copy(self._kept / name, self.state)


@contextmanager
def staged(story: Script | None = None, seed: int = 0) -> Iterator[Stage]:
    """A built stage; of the twenty documents, if no other story is given."""
    with scratch() as root:
        stage = Stage(root, story or script(seed=seed))
        stage.build()
        yield stage


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on a fast disk, gone afterwards."""
    fast = Path("/dev/shm")
    root = Path(mkdtemp(prefix="grounded-chaos-", dir=fast if os.access(fast, os.W_OK) else None))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def run_alone(state: Path, work: Any) -> None:
    """Open in a child, do the work, close. Raises when that fails."""

    async def main() -> None:
        async with opened(state) as rig:
            await work(rig)

    outcome = in_child(lambda _: asyncio.run(main()))
    if outcome.status != 0:
        raise RuntimeError(f"{outcome.last('raised') or outcome.signal}")


def copy(source: Path, target: Path) -> None:
    """Holes stay holes: the shard's files are mostly that."""
    shutil.rmtree(target, ignore_errors=True)
    if source.exists():
        subprocess.run(["cp", "-a", "--sparse=always", f"{source}/.", str(target)], check=True)
    else:
        target.mkdir(parents=True)
