"""One folder ingested many times, at once and in turn: the same ids and counts, nothing embedded again, no orphans."""

import asyncio
from pathlib import Path
from typing import Any

from tests.chaos.checks import Truth, check_settled
from tests.chaos.corpus import lay_out, script
from tests.chaos.process import Told, in_child
from tests.chaos.rig import Rig, cut_all, opened
from tests.chaos.stage import scratch

_IN_TURN = 10


def sweep(n: int, seed: int) -> dict[str, Any]:
    """`n` runs at once on an empty state, ten in turn behind them, then as many at once over a changed folder."""
    with scratch() as root:
        outcome = in_child(lambda tell: _attack(root, n, seed, tell))
    if outcome.status != 0:
        return {"runs": 0, "wrong": [f"died: {outcome.last('raised') or outcome.signal}"]}
    return {"runs": 2 * n + _IN_TURN, "embedded": outcome.last("embedded"), "wrong": outcome.last("wrong")}


def _attack(root: Path, n: int, seed: int, tell: Told) -> None:
    docs, story = root / "docs", script(seed=seed)
    first, update, _ = story.phases

    async def main() -> None:
        async with opened(root / "state") as rig:
            old = cut_all(docs, story.live[first.name])
            lay_out(docs, first.files)
            wrong = await _at_once(rig, docs, n, Truth({}, old))
            for _ in range(_IN_TURN):
                summary = await rig.sync(docs)
                wrong += [f"work: {summary.embedded} texts embedded again"] * bool(summary.embedded)
            wrong += await check_settled(rig, Truth(old, old))
            lay_out(docs, update.files)
            wrong += await _at_once(rig, docs, n, Truth(old, cut_all(docs, story.live[update.name])))
            wrong += _embedded_once(rig)
            tell({"wrong": wrong, "embedded": len(rig.embedder.embedded)})

    asyncio.run(main())


async def _at_once(rig: Rig, docs: Path, n: int, truth: Truth) -> list[str]:
    outcomes = await asyncio.gather(*(rig.sync(docs) for _ in range(n)), return_exceptions=True)
    wrong = [f"died: {outcome!r}" for outcome in outcomes if isinstance(outcome, BaseException)]
    return wrong + await check_settled(rig, truth)


def _embedded_once(rig: Rig) -> list[str]:
    texts = rig.embedder.embedded
    again = len(texts) - len(set(texts))
    return [f"work: {again} texts were embedded twice"] * bool(again)
