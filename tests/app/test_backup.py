"""Backup while serving, restore into an empty folder: the same answers, and not one text embedded again."""

import asyncio
import tarfile
from pathlib import Path

import pytest

from app.backup import backup, read_manifest, restore
from app.errors import BackupDamaged, FileExists, StateEmpty, StateNotEmpty
from app.pipeline import Question
from app.state import StateFolder
from app.wiring import Grounded, opened
from tests.app.serving import fake_embedder, ingest, product, settings_for, write
from tests.fakes import FakeEmbedder

FILES = {f"{n}.md": f"# Part {n}\n\nThe {word} number is {n}.\n" for n, word in enumerate(["red", "green", "blue"] * 7)}
QUESTIONS = ["Which red number?", "What is number 4?", "Part 7", "nothing of the sort"]


async def found(grounded: Grounded) -> list[list[tuple[str, str]]]:
    """What each question retrieves: ids and texts, in order."""
    scope = await grounded.pipeline.scope("default")
    retrieved = [await grounded.pipeline.retrieve(Question(question), scope) for question in QUESTIONS]
    return [[(passage.id, passage.text) for passage in context.passages] for _, context, _ in retrieved]


def reopened(state: Path) -> tuple[list[list[tuple[str, str]]], list[str], tuple[int, int]]:
    """What a state retrieves, what was embedded for it, and points beside live chunks."""

    async def main(embedder: FakeEmbedder) -> tuple[list[list[tuple[str, str]]], list[str], tuple[int, int]]:
        async with opened(settings_for(state), StateFolder(state)) as grounded:
            await grounded.upkeep
            points, (_, chunks) = await grounded.points.count(), await grounded.catalog.count_live()
            return await found(grounded), list(embedder.embedded), (points, chunks)

    with fake_embedder() as embedder, StateFolder(state).owned():
        return asyncio.run(main(embedder))


def test_a_restored_state_retrieves_the_same_and_embeds_nothing(tmp_path: Path) -> None:
    async def main() -> list[list[tuple[str, str]]]:
        async with product(tmp_path, FILES) as grounded:
            backup(StateFolder(tmp_path / "state"), tmp_path / "b.tar")  # while everything is open
            return await found(grounded)

    with fake_embedder():
        before = asyncio.run(main())
    there = StateFolder(tmp_path / "elsewhere")
    with there.owned():
        manifest = restore(tmp_path / "b.tar", there)
    assert (manifest.documents, manifest.chunks, manifest.to_embed) == (21, 21, 0)
    after, embedded, (points, chunks) = reopened(there.root)
    assert after == before
    assert embedded == []
    assert points == chunks == 21


def test_a_backup_taken_in_the_middle_of_an_ingest_is_one_moment(tmp_path: Path) -> None:
    """Files come and go in another thread all the while; what is restored is whole, whatever the moment was."""

    async def churn(grounded: Grounded, done: asyncio.Event) -> None:
        round_ = 0
        while not done.is_set():
            round_ += 1
            for path in (tmp_path / "docs").glob("*.md"):
                path.unlink()
            write(tmp_path / "docs", {f"{n}-{round_}.md": f"# R{round_}\n\nNumber {n} of {round_}." for n in range(6)})
            await ingest(grounded, tmp_path / "docs")

    async def main() -> None:
        async with product(tmp_path, FILES) as grounded:
            done = asyncio.Event()
            churning = asyncio.create_task(churn(grounded, done))
            for number in range(5):
                await asyncio.to_thread(backup, StateFolder(tmp_path / "state"), tmp_path / f"{number}.tar")
            done.set()
            await churning

    with fake_embedder():
        asyncio.run(main())
    for number in range(5):
        there = StateFolder(tmp_path / f"restored-{number}")
        with there.owned():
            manifest = restore(tmp_path / f"{number}.tar", there)
        _, embedded, (points, chunks) = reopened(there.root)
        assert points == chunks == manifest.chunks
        assert len(embedded) <= manifest.to_embed


def made(tmp_path: Path) -> Path:
    async def main() -> None:
        async with product(tmp_path, {"a.md": "# A\n\nOne thing.\n"}):
            pass

    with fake_embedder():
        asyncio.run(main())
    uploads = tmp_path / "state" / "uploads" / "c"
    uploads.mkdir(parents=True)
    (uploads / "a.md").write_text("uploaded")
    backup(StateFolder(tmp_path / "state"), tmp_path / "b.tar")
    return tmp_path / "b.tar"


def test_uploaded_files_come_along(tmp_path: Path) -> None:
    there = StateFolder(tmp_path / "elsewhere")
    with there.owned():
        restore(made(tmp_path), there)
    assert (there.root / "uploads" / "c" / "a.md").read_text() == "uploaded"
    assert not list(there.root.glob("restoring-*"))


def test_no_file_is_overwritten_and_none_is_left_half_written(tmp_path: Path) -> None:
    file = made(tmp_path)
    before = file.read_bytes()
    with pytest.raises(FileExists):
        backup(StateFolder(tmp_path / "state"), file)
    assert file.read_bytes() == before
    backup(StateFolder(tmp_path / "state"), file, force=True)
    assert read_manifest(file).documents == 1
    assert not list(tmp_path.glob(".grounded-backup-*"))
    with pytest.raises(StateEmpty):
        backup(StateFolder(tmp_path / "nothing"), tmp_path / "c.tar")


def test_a_state_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    file = made(tmp_path)
    state = StateFolder(tmp_path / "state")
    before = state.catalog.read_bytes()
    with state.owned(), pytest.raises(StateNotEmpty):
        restore(file, state)
    assert state.catalog.read_bytes() == before


@pytest.mark.parametrize("damage", range(0, 100, 7))
def test_a_damaged_backup_puts_nothing_there(tmp_path: Path, damage: int) -> None:
    """A bit flipped anywhere in a member, the file cut anywhere, or no backup at all."""
    file = made(tmp_path)
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        largest = max(archive.getmembers(), key=lambda member: member.size)
    at = largest.offset_data + largest.size * damage // 100
    for broken in (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[:at], b"no backup at all"):
        file.write_bytes(broken)
        there = StateFolder(tmp_path / "elsewhere")
        with there.owned(), pytest.raises(BackupDamaged):
            restore(file, there)
        assert not there.catalog.exists()


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = made(tmp_path)
    content = file.read_bytes().replace(b"uploads/c/a.md", b"../aaaaaaaa.md")
    file.write_bytes(content)
    there = StateFolder(tmp_path / "elsewhere")
    with there.owned(), pytest.raises(BackupDamaged):
        restore(file, there)
    assert not list(tmp_path.glob("**/aaaaaaaa.md"))
