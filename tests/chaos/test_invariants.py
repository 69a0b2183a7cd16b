"""What the attacks rest on, each by itself, so that a planted bug has a smallest check that catches it."""

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ingest.errors import CatalogCorrupt, GroundedError
from tests.chaos.checks import Truth, check_index, check_search, compare, live
from tests.chaos.corpus import edition, lay_out, name_of
from tests.chaos.mutants import ROOT, stale
from tests.chaos.plants import MUTANTS
from tests.chaos.rig import Rig, cut_all, opened
from tests.chaos.stage import scratch

FILES = {name_of(d): edition(d, 1) for d in range(3)}


async def stay(rig: Rig, truth: Truth) -> list[str]:
    found = await live(rig)
    return compare(found, truth, truth.new) + await check_index(rig, found) + await check_search(rig, found, truth)


def test_nothing_is_collected_before_the_flip(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(root: Path) -> list[str]:
        docs = root / "docs"
        lay_out(docs, FILES)
        async with opened(root / "state") as rig:
            await rig.sync(docs)
            truth = cut_all(docs, FILES)
            lay_out(docs, {name: data + b"\nMore of it.\n" for name, data in FILES.items()})

            async def refuse(_: object) -> None:
                raise GroundedError("before the flip")

            monkeypatch.setattr(rig.catalog, "flip", refuse)
            with pytest.raises(GroundedError, match="before the flip"):
                await rig.sync(docs)
            return await stay(rig, Truth(truth, truth))

    with scratch() as root:
        assert asyncio.run(main(root)) == []


async def ingested(root: Path) -> Truth:
    lay_out(root / "docs", FILES)
    async with opened(root / "state") as rig:
        await rig.sync(root / "docs")
    truth = cut_all(root / "docs", FILES)
    return Truth(truth, truth)


def changed(file: Path, *statements: str) -> None:
    """As a disk would, behind everyone's back."""
    with closing(sqlite3.connect(file)) as db, db:
        for statement in statements:
            assert db.execute(statement).rowcount > 0


def test_a_row_of_another_document_is_never_shown() -> None:
    """Names are swapped: each row is whole, and together they would cite the wrong file."""

    async def main(root: Path) -> None:
        await ingested(root)
        one, other = sorted(FILES)[:2]
        changed(
            root / "state" / "catalog.sqlite",
            f"UPDATE documents SET name = 'aside' WHERE name = '{one}'",
            f"UPDATE documents SET name = '{one}' WHERE name = '{other}'",
            f"UPDATE documents SET name = '{other}' WHERE name = 'aside'",
        )
        with pytest.raises(CatalogCorrupt):
            async with opened(root / "state") as rig:
                await live(rig)

    with scratch() as root:
        asyncio.run(main(root))


def test_damaged_vectors_are_not_believed() -> None:
    async def main(root: Path) -> tuple[set[str], set[str]]:
        truth = await ingested(root)
        file = root / "state" / "index" / "chaos" / "vectors.sqlite"
        changed(file, "UPDATE vectors SET bits = zeroblob(length(bits))")
        async with opened(root / "state") as rig:
            return set(await rig.tokens.get(sorted(truth.ids))), truth.ids

    with scratch() as root:
        kept, ids = asyncio.run(main(root))
        assert kept in (set(), ids)  # absent, or made again
        if kept:
            assert asyncio.run(_bits(root)) > 0


def test_vectors_under_another_id_are_missed() -> None:
    """Their number is right, so that counting does not tell."""

    async def main(root: Path) -> tuple[set[str], set[str], int]:
        truth = await ingested(root)
        file = root / "state" / "index" / "chaos" / "vectors.sqlite"
        changed(file, "UPDATE vectors SET id = 'x' || substr(id, 2) WHERE id = (SELECT min(id) FROM vectors)")
        async with opened(root / "state") as rig:
            return await rig.tokens.existing(sorted(truth.ids)), truth.ids, await rig.tokens.count()

    with scratch() as root:
        kept, ids, stored = asyncio.run(main(root))
        assert kept == ids
        assert stored == len(ids)


async def _bits(root: Path) -> int:
    async with opened(root / "state") as rig:
        found = await rig.tokens.get(sorted(i for chunks in (await live(rig)).values() for i in (c.id for c in chunks)))
        return min(int(bits.sum()) for bits in found.values())


def test_a_catalog_that_lost_chunks_is_not_opened() -> None:
    """A torn document would be shown as if it were whole."""

    async def main(root: Path) -> None:
        await ingested(root)
        changed(root / "state" / "catalog.sqlite", "DELETE FROM chunks WHERE rowid = (SELECT min(rowid) FROM chunks)")
        with pytest.raises(CatalogCorrupt):
            async with opened(root / "state"):
                pass

    with scratch() as root:
        asyncio.run(main(root))


def test_every_bug_that_is_planted_still_has_its_place() -> None:
    """`python -m tests.chaos mutants` plants them; text that has changed would plant nothing."""
    assert [f"{mutant.name}: {mutant.file}" for mutant in stale(MUTANTS)] == []


def test_every_check_of_a_planted_bug_is_there() -> None:
    """The last part of its name is a test, of a contract perhaps, or a class of tests."""
    named = [mutant.check.replace(" -k ", "::").split("::") for mutant in MUTANTS if "::" in mutant.check]
    shared = "".join(path.read_text() for path in (ROOT / "tests" / "contracts").glob("*.py"))
    texts = {file: (ROOT / file).read_text() + shared for file, *_ in named}
    assert [name for file, *_, name in named if not re.search(rf"(def|class) {name}\b", texts[file])] == []
