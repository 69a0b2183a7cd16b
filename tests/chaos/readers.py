"""Questions during endless re-ingest: no answer mixes versions, cites what is gone, or misses what is there."""

import asyncio
from pathlib import Path
from typing import Any

from tests.chaos.checks import Live
from tests.chaos.corpus import edition, lay_out, name_of
from tests.chaos.process import Told, in_child
from tests.chaos.reading import Readers, asking, shelf_of
from tests.chaos.rig import cut_all, opened
from tests.chaos.stage import scratch

_DOCUMENTS = 12
_READERS = 8
_SECONDS_EACH = 1  # of a question, before the run counts as hung


def sweep(n: int, seed: int) -> dict[str, Any]:
    """`n` questions while the folder goes back and forth between two states."""
    with scratch() as root:
        outcome = in_child(lambda tell: _attack(root, n, seed, tell), 600 + n * _SECONDS_EACH)
    if outcome.status != 0:
        wrong = [f"died: {outcome.last('raised') or outcome.signal}"]
        return {"answers": 0, "wrong": wrong}
    return {key: outcome.last(key) for key in ("answers", "runs", "wrong")}


def _attack(root: Path, n: int, seed: int, tell: Told) -> None:
    docs = root / "docs"
    states = [_state(1), _state(2), _state(3)]
    lives: list[Live] = [cut_all(docs, state) for state in states]

    async def main() -> None:
        async with opened(root / "state", group_chunks=4) as rig:
            lay_out(docs, states[0])
            await rig.sync(docs)
            readers = Readers(rig, shelf_of(*lives))
            runs = 0
            async with asking(readers, _READERS, seed):
                while readers.answered + readers.failed < n:
                    runs += 1
                    lay_out(docs, states[runs % len(states)])
                    await rig.sync(docs)
            tell({"answers": readers.answered, "runs": runs, "wrong": readers.wrong})

    asyncio.run(main())


def _state(version: int) -> dict[str, bytes]:
    """All documents change, but for every fourth; some are there in one state only."""
    found = {name_of(d): edition(d, version if d % 4 else 1) for d in range(_DOCUMENTS)}
    return found | {name_of(_DOCUMENTS + version): edition(_DOCUMENTS + version, 1)}
