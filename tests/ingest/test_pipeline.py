"""A file's way with a real catalog: order of the writes, second runs, failures, deletions, and crashes at each step."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.errors import FolderEmpty, FolderNotFound, GenerationMismatch, IndexIncomplete, StorageFull
from ingest.model import ChunkedDocument, Parsed, Source, collection_id, document_id
from ingest.pipeline import Ingest, Limits
from ingest.ports import Written
from ingest.run import FileReport, Request, Summary
from ingest.sync import Patterns
from tests.ingest.memory import LineReader, LineSplitter, MemoryIndex


class Bench:
    """A folder, a catalog and an index, and a run over them."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "docs"
        self.folder.mkdir()
        self.catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
        self.index = MemoryIndex()
        self.reads: list[str] = []
        self.limits = Limits(group_chunks=3, min_free=0)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def ingest(self) -> Ingest:
        return Ingest(
            self.catalog,
            self.index,
            LineReader(self.reads),
            LineSplitter(),
            lambda name: name.endswith((".txt", ".md")),
            self.folder,
            self.limits,
        )

    def run(self, **options: Any) -> tuple[dict[str, str], Summary]:
        """Statuses by name, and the summary."""
        return asyncio.run(self.arun(**options))

    async def arun(self, **options: Any) -> tuple[dict[str, str], Summary]:
        summary, reports = Summary(), list[FileReport]()
        request = replace(Request(self.folder), **options)
        ingest = self.ingest()
        plan = await ingest.plan(request)
        async with aclosing(ingest.run(request, plan, summary)) as run:
            reports = [report async for report in run]
        assert len({report.path for report in reports}) == len(reports)
        return {report.path: report.status for report in reports}, summary

    def live_texts(self) -> set[str]:
        """Texts of the points whose chunk is live: what a search could answer from."""

        async def read() -> set[str]:
            collection = await self.catalog.collection("default")
            assert collection is not None
            return {
                c.chunk.text for c in (await self.catalog.live_chunks(collection, list(self.index.points))).values()
            }

        return asyncio.run(read())

    def orphans(self) -> int:
        return len(self.index.points) - len(self.live_texts())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    asyncio.run(bench.catalog.close())


def test_a_second_run_embeds_nothing(bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo")
    bench.write("b/a.txt", "three")
    statuses, summary = bench.run()
    assert statuses == {"a.txt": "added", "b/a.txt": "added"}
    assert (summary.chunks, summary.embedded) == (3, 3)
    ids = set(bench.index.points)
    statuses, summary = bench.run()
    assert statuses == {"a.txt": "unchanged", "b/a.txt": "unchanged"}
    assert summary.embedded == 0
    assert set(bench.index.points) == ids


def test_files_of_one_name_in_two_folders_are_two_documents(bench: Bench) -> None:
    bench.write("a/x.md", "first")
    bench.write("b/x.md", "second")
    bench.run()
    assert bench.live_texts() == {"first", "second"}


def test_a_renamed_file_is_another_document_and_embeds_nothing(bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo")
    bench.run()
    (bench.folder / "a.txt").rename(bench.folder / "b.txt")
    statuses, summary = bench.run()
    assert statuses == {"a.txt": "deleted", "b.txt": "added"}
    assert (summary.chunks, summary.embedded) == (2, 0)
    assert bench.live_texts() == {"one", "two"}
    assert bench.orphans() == 0


def test_of_a_changed_file_only_the_changed_chunks_are_embedded(bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo\nthree")
    bench.run()
    bench.write("a.txt", "zero\none\ntwo\nTHREE")
    _, summary = bench.run()
    assert (summary.chunks, summary.embedded) == (4, 2)
    assert bench.live_texts() == {"zero", "one", "two", "THREE"}
    assert bench.orphans() == 0


def test_a_change_replaces_the_old_version_whole(bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo\nthree")
    bench.run()
    bench.write("a.txt", "uno")
    statuses, summary = bench.run()
    assert statuses == {"a.txt": "updated"}
    assert summary.embedded == 1
    assert bench.live_texts() == {"uno"}
    assert bench.orphans() == 0


def test_points_are_written_and_counted_before_readers_see_them_and_collected_after(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.run()
    bench.index.log.clear()
    bench.write("a.txt", "two")
    flip = bench.catalog.flip

    async def noted(versions: Any) -> None:
        bench.index.log.append("flip")
        await flip(versions)

    bench.catalog.flip = noted  # type: ignore[method-assign]
    bench.run()
    assert bench.index.log == ["put 1", "count", "flip", "collect 1"]


def test_a_vanished_file_is_no_longer_answered_from(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "two")
    bench.run()
    (bench.folder / "a.txt").unlink()
    statuses, _ = bench.run()
    assert statuses == {"a.txt": "deleted", "b.txt": "unchanged"}
    assert bench.live_texts() == {"two"}
    assert bench.orphans() == 0


def test_an_emptied_folder_deletes_nothing_unless_told_to(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.run()
    (bench.folder / "a.txt").unlink()
    with pytest.raises(FolderEmpty):
        bench.run()
    assert bench.live_texts() == {"one"}
    statuses, _ = bench.run(prune=True)
    assert statuses == {"a.txt": "deleted"}
    assert bench.live_texts() == set()


@pytest.mark.parametrize("text", ["uno", "now broken"])
def test_a_file_that_is_back_after_a_crash_in_its_deletion_leaves_no_points_behind(bench: Bench, text: str) -> None:
    bench.write("a.txt", "one\ntwo")
    bench.write("b.txt", "three")
    bench.run()
    document = document_id(collection_id("default"), bench.folder, "a.txt")
    asyncio.run(bench.catalog.retire(document))  # and here it died
    bench.write("a.txt", text)
    bench.run()
    assert bench.orphans() == 0


def test_no_prune_keeps_what_is_gone(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "two")
    bench.run()
    (bench.folder / "a.txt").unlink()
    assert bench.run(prune=False)[0] == {"b.txt": "unchanged"}
    assert bench.live_texts() == {"one", "two"}


def test_a_dry_run_tells_the_change_set_and_changes_nothing(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "two")
    bench.run()
    bench.write("a.txt", "uno")
    bench.write("c.md", "three")
    (bench.folder / "b.txt").unlink()
    planned, _ = bench.run(dry_run=True)
    assert bench.live_texts() == {"one", "two"}
    done, _ = bench.run()
    assert planned == done == {"a.txt": "updated", "b.txt": "deleted", "c.md": "added"}


def test_a_bad_file_stops_nothing_and_is_mended_when_it_changes(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "this is broken")
    bench.write("c.bin", "\x00")
    statuses, summary = bench.run()
    assert statuses == {"a.txt": "added", "b.txt": "failed", "c.bin": "skipped"}
    assert summary.counts["failed"] == 1
    bench.write("b.txt", "mended")
    assert bench.run()[0]["b.txt"] == "added"
    assert bench.live_texts() == {"one", "mended"}


def test_a_file_that_breaks_keeps_its_old_version_answering(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.run()
    bench.write("a.txt", "now broken")
    assert bench.run()[0] == {"a.txt": "failed"}
    assert bench.live_texts() == {"one"}
    bench.write("a.txt", "one")
    bench.run()
    assert bench.live_texts() == {"one"}


def test_what_harms_its_reader_is_quarantined_and_left_alone_until_it_changes(bench: Bench) -> None:
    bench.write("a.txt", "a bomb")
    bench.write("b.txt", "good")
    for _ in range(2):
        statuses, summary = bench.run()
        assert statuses["a.txt"] == "quarantined"
        assert summary.counts["quarantined"] == 1
    assert bench.reads.count("a.txt") == 1
    bench.run(force=True)
    assert bench.reads.count("a.txt") == 2
    bench.write("a.txt", "harmless")
    assert bench.run()[0]["a.txt"] == "added"


def test_fail_fast_stops_behind_the_first_bad_file_and_keeps_what_was_done(bench: Bench) -> None:
    for name, text in (("a.txt", "one"), ("b.txt", "broken"), ("c.txt", "three")):
        bench.write(name, text)
    assert bench.run(fail_fast=True)[0] == {"a.txt": "added", "b.txt": "failed"}
    assert bench.live_texts() == {"one"}


def test_a_failing_put_leaves_the_old_version_and_a_rerun_repairs(bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo")
    bench.run()
    bench.write("a.txt", "uno\ndue")
    bench.index.fail_on = "due"
    with pytest.raises(OSError, match="embedder died"):
        bench.run()
    assert bench.live_texts() == {"one", "two"}
    bench.index.fail_on = None
    assert bench.run()[0] == {"a.txt": "updated"}
    assert bench.live_texts() == {"uno", "due"}
    assert bench.orphans() == 0


def test_missing_points_are_noticed_before_readers_see_the_version(bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo")
    bench.index.lose = 1
    with pytest.raises(IndexIncomplete):
        bench.run()
    assert bench.live_texts() == set()
    bench.index.lose = 0
    bench.run()
    assert bench.live_texts() == {"one", "two"}
    assert bench.orphans() == 0


class Crash(BaseException):
    """The process dies here."""


STEPS: dict[str, Callable[[Bench], tuple[Any, str]]] = {
    "begin": lambda b: (b.catalog, "begin"),
    "put": lambda b: (b.index, "put"),
    "count": lambda b: (b.index, "count"),
    "flip": lambda b: (b.catalog, "flip"),
    "collect points": lambda b: (b.index, "collect"),
    "collect rows": lambda b: (b.catalog, "collect"),
    "retire": lambda b: (b.catalog, "retire"),
    "forget": lambda b: (b.catalog, "forget"),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_shows_whole_versions_and_the_next_run_converges(
    bench: Bench, step: str, when: str
) -> None:
    bench.write("a.txt", "one\ntwo")
    bench.write("gone.txt", "bye")
    bench.run()
    bench.write("a.txt", "uno\ndue\ntre")
    bench.write("new.txt", "fresh")
    (bench.folder / "gone.txt").unlink()
    owner, name = STEPS[step](bench)
    original = getattr(owner, name)

    async def dies(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            await original(*args, **kwargs)
        raise Crash

    setattr(owner, name, dies)
    with pytest.raises(Crash):
        bench.run()
    setattr(owner, name, original)
    seen = bench.live_texts()
    assert {"one", "two"} <= seen or {"uno", "due", "tre"} <= seen
    assert not ({"one", "two"} & seen and {"uno", "due", "tre"} & seen)
    bench.run()
    assert bench.live_texts() == {"uno", "due", "tre", "fresh"}
    assert bench.orphans() == 0
    assert asyncio.run(bench.catalog.unfinished()) == []
    assert asyncio.run(bench.catalog.retired()) == []


def test_a_resumed_run_does_not_embed_again_what_was_written(bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo")
    flip = bench.catalog.flip

    async def dies(versions: Any) -> None:
        raise Crash

    bench.catalog.flip = dies  # type: ignore[method-assign]
    with pytest.raises(Crash):
        bench.run()
    bench.catalog.flip = flip  # type: ignore[method-assign]
    assert bench.run()[1].embedded == 0
    assert bench.live_texts() == {"one", "two"}


@pytest.mark.parametrize("update", [False, True])
def test_what_an_attempt_has_embedded_outlasts_runs_over_other_files(bench: Bench, update: bool) -> None:
    """Uploads are jobs of their own: one that was cut off waits in line behind others."""
    bench.write("a.txt", "one")
    bench.write("b.txt", "two")
    if update:
        bench.run()
        bench.write("b.txt", "due\ntre")
    only = {name: Patterns(include=(name,)) for name in ("a.txt", "b.txt")}
    with patch.object(bench.catalog, "flip", side_effect=Crash), pytest.raises(Crash):
        bench.run(patterns=only["b.txt"])
    bench.run(patterns=only["a.txt"])
    assert bench.live_texts() == ({"one", "two"} if update else {"one"})
    assert bench.run(patterns=only["b.txt"])[1].embedded == 0
    assert bench.live_texts() == ({"one", "due", "tre"} if update else {"one", "two"})
    assert bench.orphans() == 0
    assert asyncio.run(bench.catalog.unfinished()) == []


def test_what_another_run_did_not_collect_is_collected(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "two")
    bench.run()
    bench.write("b.txt", "due")
    with patch.object(bench.catalog, "collect", side_effect=Crash), pytest.raises(Crash):
        bench.run()
    bench.run(patterns=Patterns(include=("a.txt",)))
    assert bench.orphans() == 0
    assert asyncio.run(bench.catalog.unfinished()) == []


def test_another_embedder_is_refused(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.run()
    bench.index.fingerprint = "memory-2"
    with pytest.raises(GenerationMismatch):
        bench.run()


def test_a_disk_that_is_nearly_full_stops_before_anything_is_written(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.limits = Limits(min_free=2**62)
    with pytest.raises(StorageFull):
        bench.run()
    assert bench.index.points == {}


def test_no_folder_and_nothing_in_it(bench: Bench) -> None:
    with pytest.raises(FolderEmpty):
        bench.run()
    with pytest.raises(FolderNotFound):
        bench.run(path=bench.folder / "nowhere")


def test_a_single_file_is_the_same_document_as_in_its_folder(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "two")
    bench.run(path=bench.folder / "a.txt")
    assert bench.live_texts() == {"one"}
    assert bench.run()[0] == {"a.txt": "unchanged", "b.txt": "added"}


def test_stopping_in_the_middle_keeps_what_was_committed(bench: Bench) -> None:
    for n in range(9):
        bench.write(f"{n}.txt", f"text {n}\nmore {n}")

    async def main() -> None:
        ingest = bench.ingest()
        plan = await ingest.plan(Request(bench.folder))
        async with aclosing(ingest.run(Request(bench.folder), plan, Summary())) as run:
            async for report in run:
                assert report.status == "added"
                break

    asyncio.run(main())
    seen = bench.live_texts()
    assert {"text 0", "more 0", "text 1", "more 1"} <= seen
    assert all((f"text {n}" in seen) == (f"more {n}" in seen) for n in range(9))
    bench.run()
    assert len(bench.live_texts()) == 18
    assert bench.orphans() == 0


def test_two_runs_give_the_same_ids_as_a_fresh_one(tmp_path: Path, bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo")
    bench.write("b.txt", "three")
    bench.run()
    bench.write("a.txt", "one")
    bench.run()
    bench.write("a.txt", "one\ntwo")
    bench.run()
    ids = set(bench.index.points)
    bench.index.points.clear()
    fresh = SqlCatalog(f"sqlite:///{tmp_path / 'fresh.sqlite'}")
    old, bench.catalog = bench.catalog, fresh
    bench.run()
    asyncio.run(old.close())
    assert set(bench.index.points) == ids


def test_a_failed_file_is_not_tried_again_until_it_changes(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "this is broken")
    bench.run()
    reads: list[str] = []
    real = LineReader.read

    async def counted(self: LineReader, source: Source, data: bytes) -> Parsed:
        reads.append(source.name)
        return await real(self, source, data)

    LineReader.read = counted  # type: ignore[method-assign]
    try:
        assert bench.run()[0] == {"a.txt": "unchanged", "b.txt": "failed"}
        assert reads == []
        assert bench.run(force=True)[0]["b.txt"] == "failed"
        assert reads == ["a.txt", "b.txt"]
    finally:
        LineReader.read = real  # type: ignore[method-assign]


def test_a_file_without_text_is_skipped_and_says_so(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "empty")
    statuses, summary = bench.run()
    assert statuses == {"a.txt": "added", "b.txt": "empty_text"}
    assert summary.counts["failed"] == 0
    assert bench.run()[0] == {"a.txt": "unchanged", "b.txt": "empty_text"}


def test_a_file_that_was_emptied_is_no_longer_answered_from(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "two")
    bench.run()
    bench.write("a.txt", "empty")
    assert bench.run()[0]["a.txt"] == "empty_text"
    assert bench.live_texts() == {"two"}
    assert bench.orphans() == 0
    bench.write("a.txt", "one")
    assert bench.run()[0]["a.txt"] == "added"
    assert bench.live_texts() == {"one", "two"}


def test_an_index_that_was_lost_is_put_back_without_the_files(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("b.txt", "two\nthree")
    bench.run()
    whole = dict(bench.index.points)
    bench.index.points.clear()
    (bench.folder / "a.txt").unlink()
    assert asyncio.run(bench.ingest().reconcile()) == 3
    assert bench.index.points == whole
    assert bench.live_texts() == {"one", "two", "three"}
    assert asyncio.run(bench.ingest().reconcile()) == 0


def test_a_dry_run_knows_what_is_broken_and_empty_and_remembers_nothing(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("was good.txt", "two")
    bench.run()
    bench.write("was good.txt", "empty")
    bench.write("b.txt", "broken")
    bench.write("c.txt", "a bomb")
    (bench.folder / "a.txt").rename(bench.folder / "d.txt")
    promised = bench.run(dry_run=True)[0]
    assert bench.live_texts() == {"one", "two"}
    assert bench.run(dry_run=True)[0] == promised
    assert bench.run()[0] == promised
    assert promised == {
        "a.txt": "deleted",
        "b.txt": "failed",
        "c.txt": "quarantined",
        "d.txt": "added",
        "was good.txt": "empty_text",
    }


def test_a_folder_inside_a_known_one_is_a_part_of_it(bench: Bench) -> None:
    bench.write("a.txt", "one")
    bench.write("sub/b.txt", "two")
    bench.run()
    bench.write("sub/b.txt", "zwei")
    statuses, _ = bench.run(path=bench.folder / "sub")
    assert statuses == {"sub/b.txt": "updated"}
    assert bench.live_texts() == {"one", "zwei"}
    assert len(bench.index.points) == 2


def test_a_folder_around_a_known_one_takes_its_documents_over(bench: Bench) -> None:
    """Under their new names, with the vectors they have; a file that is not found from outside stays as it was."""
    bench.write("a.txt", "one")
    bench.write("sub/b.txt", "two")
    bench.write("sub/c.txt", "three")
    bench.run(path=bench.folder / "sub")
    _, summary = bench.run(patterns=Patterns(exclude=("c.txt",)))
    assert summary.embedded == 1
    assert bench.live_texts() == {"one", "two", "three"}
    assert len(bench.index.points) == 3
    bench.run()
    assert bench.live_texts() == {"one", "two", "three"}
    assert len(bench.index.points) == 3


def watch_overlap(bench: Bench) -> list[int]:
    """How many groups were being written when each began; a write takes long enough for another run to come by."""
    real, writing, seen = bench.index.put, 0, list[int]()

    async def put(documents: Sequence[ChunkedDocument]) -> Written:
        nonlocal writing
        writing += 1
        seen.append(writing)
        await asyncio.sleep(0.05)
        written = await real(documents)
        writing -= 1
        return written

    bench.index.put = put  # type: ignore[method-assign]
    return seen


def test_two_runs_at_once_do_not_interleave(bench: Bench) -> None:
    bench.write("a.txt", "one\ntwo")
    ingest = bench.ingest()

    async def run() -> Summary:
        summary, request = Summary(), Request(bench.folder)
        plan = await ingest.plan(request)
        async with aclosing(ingest.run(request, plan, summary)) as reports:
            async for _ in reports:
                pass
        return summary

    async def main() -> list[Summary]:
        return await asyncio.gather(run(), run(), run())

    at_once = watch_overlap(bench)
    assert sorted(summary.embedded for summary in asyncio.run(main())) == [0, 0, 2]
    assert max(at_once) == 1
    assert bench.live_texts() == {"one", "two"}
    assert bench.orphans() == 0


def test_threads_take_short_turns_for_as_long_as_it_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = sys.getswitchinterval(), list[float]()
    read = LineReader.read

    async def noted(self: LineReader, source: Source, data: bytes) -> Parsed:
        seen.append(sys.getswitchinterval())
        return await read(self, source, data)

    monkeypatch.setattr(LineReader, "read", noted)
    bench.write("a.txt", "one")
    bench.write("b.txt", "empty")
    bench.run()
    assert len(seen) == 2
    assert max(seen) < before
    assert sys.getswitchinterval() == before
