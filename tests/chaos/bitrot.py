"""A disk that changes what was written: every flip is caught before it is served, or shown to change nothing.

One file of the state folder is damaged while nobody has it open. Then a service starts on it, is asked about every
document, and ingests the folder again. What it shows must be what the files say, character by character; what it does not
show it must have said that it cannot.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from ingest.errors import GroundedError
from retrieval.model import Passage
from tests.chaos.checks import Truth, check_settled
from tests.chaos.killpoints import Tally, violations_of
from tests.chaos.process import Told, in_child, spread
from tests.chaos.reading import Shelf, questions, shelf_of
from tests.chaos.rig import Rig, opened
from tests.chaos.stage import Stage, staged

_PAGE = 4096
_HOWS = ("flip",) * 6 + ("cut", "zero page", "noise", "swap")


def sweep(n: int, seed: int) -> dict[str, Any]:
    """`n` damages."""
    outcome = spread(lambda k, of, tell: _part(n, seed, k, of, tell))
    verdicts = Counter(outcome.all("verdict"))
    return {
        "damages": sum(outcome.all("points")),
        "verdicts": dict(sorted(verdicts.items())),
        "wrong": [line for lines in outcome.all("wrong") for line in lines],
    }


def _part(n: int, seed: int, k: int, of: int, tell: Told) -> None:
    tally = Tally()
    with staged(seed=seed) as stage:
        phase = stage.script.phases[-1]
        truth = stage.set(phase)
        settled = Truth(truth.new, truth.new)
        for nth in range(k, n, of):
            stage.reset("end")
            what = damage(stage.state, Random(f"{seed} {nth}"))
            outcome = in_child(lambda told: serve(stage, settled, told))
            if outcome.status == 0:
                tell({"verdict": outcome.last("verdict")})
            tally.points += 1
            tally.add(f"damage {nth}: {what}", violations_of(outcome), None)
    tell({"points": tally.points, "wrong": tally.wrong})


def damage(state: Path, random: Random) -> str:
    """Harm one file of the folder; what was done."""
    files = sorted(path for path in state.rglob("*") if path.is_file() and path.stat().st_size)
    path, how = random.choice(files), random.choice(_HOWS)
    where = path.relative_to(state).as_posix()
    if how == "swap":
        other = random.choice(files)
        _swap(path, other)
        return f"{where} swapped with {other.relative_to(state).as_posix()}"
    at = _somewhere(path, random)
    if how == "cut":
        os.truncate(path, at)
        return f"{where} cut at {at}"
    with path.open("r+b") as file:
        file.seek(at)
        if how == "flip":
            was = file.read(1)[0]
            new = bytes([was ^ 1 << random.randrange(8)])
        else:
            at -= at % _PAGE
            length = min(_PAGE, path.stat().st_size - at)
            new = bytes(length) if how == "zero page" else random.randbytes(length)
        file.seek(at)
        file.write(new)
    return f"{where} {how} at {at}"


def _somewhere(path: Path, random: Random) -> int:
    """Mostly where something was written: most of the index's files are holes and zeros."""
    size = path.stat().st_size
    if random.random() < 0.1:
        return random.randrange(size)
    written: list[tuple[int, int]] = []
    descriptor, at = os.open(path, os.O_RDONLY), 0
    try:
        while at < size:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
            written.append((start, at))
    except OSError:  # no data behind `at`
        pass
    finally:
        os.close(descriptor)
    if not written:
        return random.randrange(size)
    start, end = random.choice(written)
    page = start + random.randrange(0, end - start, _PAGE)
    with path.open("rb") as file:
        file.seek(page)
        said = [i for i, byte in enumerate(file.read(min(_PAGE, end - page))) if byte]
    return page + (random.choice(said) if said else 0)


def _swap(one: Path, other: Path) -> None:
    """Sparse files stay so."""
    if one != other:
        aside = one.with_name(f"{one.name}.aside")
        one.rename(aside)
        other.rename(one)
        aside.rename(other)


def serve(stage: Stage, truth: Truth, tell: Told) -> None:
    """Start, ask, ingest, ask again. An announced error is a verdict; anything else that is not right is a violation."""
    shelf = shelf_of(truth.new)

    async def main() -> None:
        async with opened(stage.state) as rig:
            announced, wrong = await _ask_all(rig, shelf, stage.docs)
            if not announced:
                await rig.sync(stage.docs)
                again, more = await _ask_all(rig, shelf, stage.docs)
                announced, wrong = again, wrong + more
                wrong += [] if again else await check_settled(rig, truth)
            aside = any(stage.state.rglob("*.damaged"))
            harmless = "rebuilt" if aside else "harmless"
            tell({"verdict": f"told: {announced}" if announced else harmless, "wrong": wrong})

    try:
        asyncio.run(main())
    except GroundedError as error:
        tell({"verdict": f"refused: {error.code}"})


async def _ask_all(rig: Rig, shelf: Shelf, docs: Path) -> tuple[str | None, list[str]]:
    """The first announced error, and what was wrong although none was."""
    announced, wrong = None, list[str]()
    for name, question in questions(shelf).items():
        try:
            found = await rig.find(question)
        except GroundedError as error:
            announced = announced or error.code
            continue
        wrong += _unlike(found.passages, shelf, docs)
        if found.degraded:
            announced = announced or f"degraded {'+'.join(found.degraded)}"
        else:
            wrong += shelf.judge_answer(name, found)
    return announced, wrong


def _unlike(passages: Sequence[Passage], shelf: Shelf, docs: Path) -> list[str]:
    """Passages that do not say what the file of that name says, also when the answer is a degraded one."""
    chunks = {chunk.id: (name, chunk) for name, (edition,) in shelf.editions.items() for chunk in edition}
    wrong = []
    for p in passages:
        name, chunk = chunks.get(p.id, ("", None))
        same = chunk is not None and (p.name, p.text, p.start, p.end, p.ordinal, p.heading_path, p.document_id) == (
            name, chunk.text, chunk.start, chunk.end, chunk.ordinal, chunk.heading_path, chunk.document_id
        )  # fmt: skip
        wrong += [f"foreign: {p.name} is cited with what is not in it"] * (not same)
    return wrong
