"""Damages that once were not caught, each by itself; `bitrot` looks for others."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.checks import Truth, check_settled
from tests.chaos.corpus import edition, lay_out, name_of
from tests.chaos.rig import cut_all, opened
from tests.chaos.stage import scratch

FILES = {name_of(d): edition(d, 1) for d in range(6)}


def overwrite(path: Path) -> None:
    """With what the engine's own bounds do not expect."""
    size = path.stat().st_size
    path.write_bytes(b'{"settings": "of another file"}'.ljust(min(size, 64)))


def scramble(path: Path) -> None:
    """Every byte that is not zero gets one bit flipped."""
    data = path.read_bytes()
    path.write_bytes(bytes(byte ^ 1 if byte else 0 for byte in data))


def fill(path: Path) -> None:
    """The first page is all ones."""
    path.write_bytes((b"\xff" * 4096 + path.read_bytes()[4096:])[: path.stat().st_size])


def damaged_and_opened(name: str, harm: Callable[[Path], None], *, sealed: bool) -> list[str]:
    """What is wrong after `harm` was done to the shard's files of that name, and the service started again."""

    async def main(root: Path) -> list[str]:
        docs, state = root / "docs", root / "state"
        truth = cut_all(docs, FILES)
        async with opened(state) as rig:
            lay_out(docs, FILES)
            await rig.sync(docs)
            before = {name: [p.id for p in (await rig.find(f"book0{d}")).passages] for d, name in enumerate(FILES)}
        seals = list(state.rglob("*.seal"))
        assert seals
        if not sealed:
            seals[0].unlink()
        harmed = [path for path in state.rglob(f"segments/*/{name}") if path.stat().st_size]
        harmed = harmed or [path for path in state.rglob("*") if path.match(name) and path.is_file()]
        assert harmed
        for path in harmed:
            harm(path)
        async with opened(state) as rig:
            wrong = await check_settled(rig, Truth(truth, truth))
            after = {name: [p.id for p in (await rig.find(f"book0{d}")).passages] for d, name in enumerate(FILES)}
            return wrong + [f"changed: {name} is found otherwise" for name in FILES if before[name] != after[name]]

    with scratch() as root:
        return asyncio.run(main(root))


@pytest.mark.parametrize("harm", [overwrite, scramble, fill])
@pytest.mark.parametrize(
    "name",
    [
        "vector_storage-bm25/store/tracker.dat",
        "payload_index/*-map/tracker.dat",
        "payload_index/*-map/page_0.dat",
        "vector_storage-dense/**/chunk_0.mmap",
    ],
)
def test_a_damaged_shard_is_made_again(name: str, harm: Callable[[Path], None]) -> None:
    """The engine panics on some of these, and says nothing at all on others."""
    assert damaged_and_opened(name, harm, sealed=True) == []


@pytest.mark.parametrize("name", ["payload_index/*-map/tracker.dat", "mutable_id_tracker.mappings"])
def test_a_shard_that_the_engine_cannot_load_is_made_again(name: str) -> None:
    """A killed process left no seal: the engine panics on the first of these, and raises on the second."""
    assert damaged_and_opened(name, overwrite, sealed=False) == []
