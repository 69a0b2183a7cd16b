"""A dry run says exactly what the run then does, and after the run the index is that of a fresh ingest. Random trees, edits."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.pipeline import Ingest, Limits
from ingest.run import FileReport, Request, Summary
from ingest.scan import Patterns
from tests.ingest.memory import LineReader, LineSplitter, MemoryIndex

_FOLDERS = ("", "x/", "x/y/", "z/", "build/")
_NAMES = [f"{folder}{name}" for folder in _FOLDERS for name in ("a.md", "b.md", "c.txt", "draft.md", "photo.png")]
_RULES = ("", "build/\n", "draft.md\n", "*.txt\n!/c.txt\n", "/x/*\n!/x/a.md\n")


class Place:
    """A catalog and an index of their own, and runs over one folder."""

    def __init__(self, state: Path, folder: Path) -> None:
        state.mkdir()
        self.folder, self.index = folder, MemoryIndex()
        self.catalog = SqlCatalog(f"sqlite:///{state / 'catalog.sqlite'}")

    def run(self, *, dry: bool = False, path: Path | None = None) -> list[FileReport]:
        """What it reports, without what is unchanged."""
        return asyncio.run(self._run(Request(path or self.folder, patterns=Patterns(), dry_run=dry)))

    async def _run(self, request: Request) -> list[FileReport]:
        def supported(name: str) -> bool:
            return name.endswith((".md", ".txt"))

        limits = Limits(group_chunks=3, min_free=0)
        ingest = Ingest(self.catalog, self.index, LineReader(), LineSplitter(), supported, self.folder, limits)
        plan, summary = await ingest.plan(request), Summary()
        async with aclosing(ingest.run(request, plan, summary)) as reports:
            return [report async for report in reports if report.status != "unchanged"]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[Place]]:
    made: list[Place] = []
    yield made
    for place in made:
        asyncio.run(place.catalog.close())


def told(reports: list[FileReport]) -> set[tuple[str, str]]:
    assert len({report.path for report in reports}) == len(reports)
    return {(report.path, report.status) for report in reports}


def edit(root: Path, draw: random.Random) -> None:
    """Some files written, moved, removed; the rules changed; no folder left empty."""
    for name in draw.sample(_NAMES, 8):
        path, target = root / name, root / draw.choice(_NAMES)
        match draw.choice(["write", "write", "move", "remove"]):
            case "move" if path.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
            case "remove":
                path.unlink(missing_ok=True)
            case _:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(draw.choices(["one", "two", "three", "four"], k=draw.randint(1, 4))))
    if draw.random() < 0.4:
        (root / ".gitignore").write_text(draw.choice(_RULES))
    for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


@pytest.mark.parametrize("seed", range(20))
def test_a_dry_run_says_what_the_run_does_and_the_run_leaves_what_a_fresh_one_would(
    tmp_path: Path, places: list[Place], seed: int
) -> None:
    draw, folder = random.Random(seed), tmp_path / "docs"
    folder.mkdir()
    place = Place(tmp_path / "state", folder)
    places.append(place)
    for step in range(4):
        edit(folder, draw)
        (folder / "always.md").write_text("always")
        points = dict(place.index.points)
        said = told(place.run(dry=True))
        assert place.index.points == points, "a dry run writes nothing"
        assert told(place.run(dry=True)) == said, "and leaves the next one to say the same"
        assert told(place.run()) == said
        fresh = Place(tmp_path / f"fresh-{step}", folder)
        places.append(fresh)
        fresh.run()
        assert place.index.points.keys() == fresh.index.points.keys()
        again = told(place.run(dry=True))
        assert {status for _, status in again} <= {"skipped"}, "nothing is left to do"
