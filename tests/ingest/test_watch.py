"""When a folder is looked at again: real files, real notes of the system."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ingest import watch
from ingest.scan import Patterns
from ingest.watch import Look, Pace, Watch
from tests.patience import PATIENCE_S

PACE = Pace(quiet=0.05, longest=1.0, again=0, tick=0.1)
SOON = PATIENCE_S
QUIET = 0.4


class Seen:
    """The looks that a folder's changes led to, in order."""

    def __init__(self) -> None:
        self.looks: asyncio.Queue[Look] = asyncio.Queue()
        self.said: list[str] = []

    async def next(self) -> Look:
        return await asyncio.wait_for(self.looks.get(), SOON)

    async def nothing(self) -> None:
        """No look in a while."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.looks.get(), QUIET)

    async def settle(self) -> int:
        """All looks that are still coming; how many. There must be an end of them."""
        for number in range(20):
            try:
                await asyncio.wait_for(self.looks.get(), QUIET)
            except TimeoutError:
                return number
        raise AssertionError("a folder that is left alone is looked at without end")


@asynccontextmanager
async def watching(root: Path, patterns: Patterns | None = None, pace: Pace = PACE) -> AsyncIterator[Seen]:
    seen = Seen()
    folder = Watch(root, patterns or Patterns(), lambda name: name.endswith(".md"), pace, seen.said.append)

    async def collect() -> None:
        async for look in folder.looks():
            await seen.looks.put(look)

    task = asyncio.create_task(collect())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def move(old: Path, new: Path) -> None:
    old.rename(new)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "root", "a.md", "sub/b.md", "sub/deep/c.md")
    return tmp_path / "root"


def _append(root: Path) -> None:
    with (root / "sub/b.md").open("a") as file:
        file.write("more")


def _saved_by_an_editor(root: Path) -> None:
    write(root, "sub/.b.md.swp")
    (root / "sub/.b.md.swp").replace(root / "sub/b.md")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": lambda root: write(root, "sub/deep/new.md"),
    "a changed file": _append,
    "a saved file": _saved_by_an_editor,
    "a deleted file": lambda root: (root / "a.md").unlink(),
    "a renamed file": lambda root: (root / "a.md").rename(root / "sub/a.md"),
    "a deleted folder": lambda root: shutil.rmtree(root / "sub"),
    "a renamed folder": lambda root: (root / "sub").rename(root / "other"),
    "a changed .gitignore": lambda root: (root / ".gitignore").write_text("sub/"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_leads_to_a_look_and_then_there_is_quiet(root: Path, change: str) -> None:
    async def test() -> None:
        async with watching(root) as seen:
            assert await seen.next() == "start"
            CHANGES[change](root)
            assert await seen.next() in (
                "changed",
                "start",
            )  # start: the change was already among what is to be watched
            await seen.settle()

    run(test)


def test_a_new_folder_is_watched_too(root: Path, tmp_path: Path) -> None:
    async def test() -> None:
        async with watching(root) as seen:
            assert await seen.next() == "start"
            write(tmp_path / "elsewhere", "new/deep/d.md")
            move(tmp_path / "elsewhere/new", root / "new")
            while await seen.next() != "start":  # the new folders are watched now
                pass
            await seen.settle()
            write(root, "new/deep/e.md")
            assert await seen.next() == "changed"

    run(test)


def test_what_changes_during_a_look_is_told_after_it(root: Path) -> None:
    async def test() -> None:
        folder = Watch(root, Patterns(), lambda _: True, PACE, print)
        looks = folder.looks()
        assert await anext(looks) == "start"
        write(root, "during.md")  # while the caller looks
        await asyncio.sleep(0.3)
        assert await asyncio.wait_for(anext(looks), SOON) == "changed"
        await looks.aclose()

    run(test)


def test_a_burst_of_changes_is_few_looks(root: Path) -> None:
    async def test() -> None:
        async with watching(root, pace=replace(PACE, quiet=0.3, longest=5)) as seen:
            assert await seen.next() == "start"
            for n in range(50):
                write(root, f"sub/{n}.md")
                await asyncio.sleep(0.005)
            assert await seen.settle() < 5

    run(test)


@pytest.mark.parametrize(
    "name", ["sub/.hidden.md", "sub/b.txt~", "draft.md", "build/x.md", "build/deep/x.md", "node_modules/x.md"]
)
def test_what_a_scan_would_not_look_at_is_no_change(root: Path, name: str) -> None:
    (root / ".gitignore").write_text("draft.md\nbuild/\n")
    write(root, "build/deep/c.md", "node_modules/y.md", "draft.md")

    async def test() -> None:
        async with watching(root, Patterns(ignore=("node_modules/",))) as seen:
            assert await seen.next() == "start"
            write(root, name)
            await seen.nothing()
            write(root, "a.md")
            assert await seen.next() == "changed"

    run(test)


def test_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside", "deep/x.md")
    (root / "link").symlink_to(tmp_path / "outside")

    async def test() -> None:
        async with watching(root) as seen:
            assert await seen.next() == "start"
            write(tmp_path / "outside", "y.md", "deep/z.md")
            await seen.nothing()

    run(test)


def test_a_folder_that_goes_is_waited_for(root: Path) -> None:
    async def test() -> None:
        async with watching(root) as seen:
            assert await seen.next() == "start"
            aside = root.with_name("aside")
            move(root, aside)
            while (look := await seen.next()) != "gone":
                assert look == "changed"
            await seen.nothing()
            move(aside, root)
            assert await seen.next() == "start"
            await seen.settle()
            write(root, "a.md")
            assert await seen.next() == "changed"

    run(test)


def test_a_folder_that_takes_the_roots_place_is_looked_at(root: Path, tmp_path: Path) -> None:
    """As when a disk is mounted over it, or taken away from under it."""

    async def test() -> None:
        async with watching(root) as seen:
            assert await seen.next() == "start"
            write(tmp_path / "other", "x.md")
            move(root, tmp_path / "aside")
            move(tmp_path / "other", root)
            while (look := await seen.next()) != "start":
                assert look in ("changed", "gone")
            await seen.settle()
            write(root, "x.md")
            assert await seen.next() == "changed"

    run(test)


def test_without_any_change_there_is_a_look_now_and_then(root: Path) -> None:
    async def test() -> None:
        async with watching(root, pace=replace(PACE, again=0.3)) as seen:
            assert [await seen.next() for _ in range(3)] == ["start", "again", "again"]

    run(test)


def test_where_the_system_tells_of_nothing_the_folder_is_polled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = watch._notify

    def limited(paths: list[str], *, poll: bool) -> object:
        if not poll:
            raise OSError("OS file watch limit reached")
        return real(paths, poll=True)

    monkeypatch.setattr(watch, "_notify", limited)
    monkeypatch.setattr(watch, "_POLL_MS", 100)

    async def test() -> None:
        async with watching(root) as seen:
            assert await seen.next() == "start"
            assert "watch limit" in seen.said[0]
            await asyncio.sleep(1)
            write(root, "sub/new.md")
            assert await seen.next() == "changed"

    run(test)
