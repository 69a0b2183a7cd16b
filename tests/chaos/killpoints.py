"""SIGKILL before every durable system call of an ingest, an update and a deletion; then a fresh process takes over."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

from ingest.errors import GroundedError
from tests.chaos.checks import Truth, check_index, check_search, check_settled, compare, live
from tests.chaos.corpus import Phase, small
from tests.chaos.process import Outcome, Told, in_child, spread
from tests.chaos.rig import Rig, opened
from tests.chaos.stage import Stage, staged
from tests.chaos.trap import DURABLE, Fault, Mode, built

RECOVERY_S = 2.0
_TRIES = 3  # to kill a run at its last call, whose number differs a little from run to run
_WHOLE = 500  # from so many points on, the sweep is meant as proof


@dataclass(slots=True)
class Tally:
    """What a sweep has seen. `points` counts faults."""

    points: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, where: str, violations: list[str], recovery: float | None) -> None:
        """What was found after one fault, and how many seconds it took to be there again."""
        self.slowest = max(self.slowest, recovery or 0.0)
        if recovery is not None and recovery > RECOVERY_S:
            violations = [*violations, f"slow: {recovery:.2f} s to recover"]
        self.wrong += [f"{line} ({where})" for line in violations]


def sweep(n: int, seed: int) -> dict[str, Any]:
    """Kill at `n` points spread evenly over all calls, 0 for every one, and, from 500 on, at every call of one update and
    one deletion of a small folder too. `seed` shifts the points and draws the torn ones."""
    built()
    outcome = spread(lambda k, of, tell: _part(n, seed, k, of, tell))
    return {
        "calls": outcome.last("calls"),
        "points": sum(outcome.all("points")),
        "every_call_of_one": sum(outcome.all("every")),
        "recovery_s": round(max(outcome.all("slowest")), 3),
        "wrong": [line for lines in outcome.all("wrong") for line in lines],
    }


def _part(n: int, seed: int, k: int, of: int, tell: Told) -> None:
    tally = Tally()
    with staged(seed=seed) as stage:
        calls = [count_calls(stage, phase) for phase in stage.script.phases]
        step = max(1, sum(calls) // n) if n else 1
        for phase, count in zip(stage.script.phases, calls, strict=True):
            _kill_at(stage, phase, range(1 + seed % step + k * step, count + 1, step * of), step > 1, tally)
    tell({"calls": sum(calls)})
    spread_out = tally.points
    if n == 0 or n >= _WHOLE:
        with staged(small()) as stage:
            for phase in stage.script.phases[1:]:
                _kill_at(stage, phase, range(1 + k, count_calls(stage, phase) + 1, of), False, tally)
    every = tally.points - spread_out
    tell({"points": tally.points, "every": every, "slowest": tally.slowest, "wrong": tally.wrong})


def _kill_at(stage: Stage, phase: Phase, points: range, sampled: bool, tally: Tally) -> None:
    """Every fourth call of a sample dies half way through."""
    truth = stage.set(phase)
    for nth, at in enumerate(points):
        mode = Mode.TORN if sampled and nth % 4 == 3 else Mode.KILL
        _one(stage, phase, truth, Fault(mode, DURABLE, at), tally)


def count_calls(stage: Stage, phase: Phase) -> int:
    """Durable calls of the phase when nothing goes wrong."""
    stage.set(phase)
    stage.reset(phase.name)
    outcome = in_child(lambda tell: attack(stage.state, stage.docs, Fault(Mode.COUNT, DURABLE), tell))
    if outcome.status != 0:
        raise RuntimeError(outcome.last("raised"))
    return int(outcome.last("calls"))


def _one(stage: Stage, phase: Phase, truth: Truth, fault: Fault, tally: Tally) -> None:
    for _ in range(_TRIES):
        stage.reset(phase.name)
        killed = in_child(lambda tell, fault=fault: attack(stage.state, stage.docs, fault, tell))  # type: ignore[misc]
        if killed.status != 0:
            break
        fault = replace(fault, at=int(killed.last("calls")))  # it made fewer calls than the run that was counted
    else:
        return
    where = f"{phase.name}, call {fault.at}{', torn' if fault.mode is Mode.TORN else ''}"
    if killed.signal != SIGKILL:
        tally.add(where, [f"died: {killed.last('raised') or killed.signal}"], None)
        return
    after = in_child(lambda tell: recover(stage.state, stage.docs, truth, killed, tell))
    tally.points += 1
    tally.add(where, violations_of(after), after.last("recovery"))


def violations_of(outcome: Outcome) -> list[str]:
    """What a recovering process found, or how it failed itself."""
    if outcome.status != 0:
        return [f"stuck: {outcome.last('raised') or f'signal {outcome.signal}'}"]
    return [line for lines in outcome.all("wrong") for line in lines]


def attack(state: Path, docs: Path, fault: Fault, tell: Told) -> None:
    """One run of ingest on a state folder, under a fault."""
    trap = built()
    trap.arm(state, fault)

    async def main() -> None:
        async with opened(state, tell) as rig:
            await rig.sync(docs, tell)

    asyncio.run(main())
    tell({"calls": trap.count})


def recover(state: Path, docs: Path, truth: Truth, killed: Outcome, tell: Told) -> None:
    """Open what the killed process left, look, ingest again, look again."""

    async def main() -> None:
        start = time.perf_counter()
        written: list[str] = []
        async with opened(state, lambda line: written.extend(line.get("written", ()))) as rig:
            found = await live(rig)
            tell({"recovery": time.perf_counter() - start})
            wrong = compare(found, truth, killed.all("ack")) + await check_index(rig, found)
            wrong += await check_search(rig, found, truth)
            summary = await rig.sync(docs)
            finished = {i for ids in killed.all("written") for i in ids}
            tell({"wrong": wrong + list(_work(finished, written, summary.embedded, rig, truth))})
            tell({"wrong": await check_settled(rig, truth)})

    try:
        asyncio.run(main())
    except GroundedError as error:
        tell({"wrong": [f"stuck: {error.code}: {error.message}"]})


def _work(finished: set[str], written: list[str], embedded: int, rig: Rig, truth: Truth) -> Iterator[str]:
    """What was finished before the kill is not done again."""
    again = finished & set(written) & truth.ids
    if again:
        yield f"work: {len(again)} finished chunks were written again"
    still = truth.ids - finished - {chunk.id for chunks in truth.old.values() for chunk in chunks}
    if embedded > len(still):
        yield f"work: {embedded} texts embedded for {len(still)} unfinished chunks"
