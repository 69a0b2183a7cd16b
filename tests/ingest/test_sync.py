"""What a folder holds against what is known: every change, renames, and nothing is deleted without evidence."""

import os
import random
from pathlib import Path

import pytest

from ingest.errors import FileError, Unreadable
from ingest.model import Known
from ingest.sync import Hashes, Patterns, Scan, diff, scan
from tests.ingest.trees import SPLITTER, changes, kinds, known, supported, write


def test_every_kind_of_change(tmp_path: Path) -> None:
    write(tmp_path, "same.md", "changed.md", "gone.md")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "changed.md").write_text("other")
    (tmp_path / "gone.md").unlink()
    write(tmp_path, "new.md")
    assert kinds(scan(tmp_path, Patterns(), supported), before) == {
        "changed.md": "updated",
        "gone.md": "deleted",
        "new.md": "added",
        "same.md": "unchanged",
    }


def test_patterns_delete_nothing_that_they_leave_out(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.txt")
    before = known(scan(tmp_path, Patterns(), supported))
    only_md = scan(tmp_path, Patterns(include=("*.md",)), supported)
    assert kinds(only_md, before) == {"a.md": "unchanged"}
    assert kinds(only_md, before, prune=True) == {"a.md": "unchanged"}


def test_one_file_deletes_none_of_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.txt")
    before = known(scan(tmp_path, Patterns(), supported))
    assert kinds(scan(tmp_path / "a.md", Patterns(), supported), before, prune=True) == {"a.md": "unchanged"}


def test_a_scan_that_found_nothing_is_no_evidence(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "a.md").unlink()
    empty = scan(tmp_path, Patterns(), supported)
    assert kinds(empty, before) == {}
    assert kinds(empty, before, prune=True) == {"a.md": "deleted"}


def test_a_folder_that_cannot_be_listed_is_named_and_is_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.md", "locked/b.md")
    before = known(scan(tmp_path, Patterns(), supported))
    real = os.scandir
    locked = (tmp_path / "locked").stat().st_ino

    def refusing(folder: int) -> object:
        if os.fstat(folder).st_ino == locked:
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    scanned = scan(tmp_path, Patterns(), supported)
    assert [name for name, _ in scanned.refused] == ["locked/"]
    assert kinds(scanned, before, prune=True) == {"a.md": "unchanged"}


def test_a_file_that_cannot_be_looked_at_is_named_and_is_no_evidence(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md", "gone.md")
    before = known(scan(tmp_path, Patterns(), supported))

    class Entry:
        def __init__(self, entry: "os.DirEntry[str]") -> None:
            self.name, self.stat_now = entry.name, entry.stat
            self.is_dir, self.is_file = entry.is_dir, entry.is_file

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            if self.name == "b.md":
                raise PermissionError(13, "Permission denied")
            if self.name == "gone.md":
                raise FileNotFoundError(2, "No such file or directory")
            return self.stat_now(follow_symlinks=follow_symlinks)

    real = os.scandir
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", lambda folder: [Entry(entry) for entry in real(folder)])
        scanned = scan(tmp_path, Patterns(), supported)
    assert [(name, error.message) for name, error in scanned.refused] == [
        ("b.md", "It cannot be read: Permission denied.")
    ]
    assert kinds(scanned, before) == {"a.md": "unchanged", "gone.md": "deleted"}


def test_one_file_alone_is_no_evidence_against_its_namesakes(tmp_path: Path) -> None:
    write(tmp_path, "README.md", "guide/README.md")
    before = known(scan(tmp_path, Patterns(), supported))
    alone = scan(tmp_path / "README.md", Patterns(), supported)
    assert kinds(alone, before) == kinds(alone, before, prune=True) == {"README.md": "unchanged"}


def test_another_splitter_or_force_cuts_again(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    scanned = scan(tmp_path, Patterns(), supported)
    before = known(scanned)
    assert [c.kind for c in diff(scanned, before, lambda _: "s-2", prune=None)] == ["updated"]
    assert [c.kind for c in diff(scanned, before, lambda _: SPLITTER, prune=None, force=True)] == ["updated"]


# ---- evidence


def doubts(scanned: Scan, before: dict[str, Known], prune: bool | None = None) -> dict[str, FileError]:
    return {c.name: c.error for c in diff(scanned, before, lambda _: SPLITTER, prune=prune) if c.error is not None}


def test_a_folder_that_holds_nothing_now_is_no_evidence_and_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "disk/b.md", "disk/deep/c.md", "gone/d.md")
    before = known(scan(tmp_path, Patterns(), supported))
    for name in ("disk/b.md", "disk/deep/c.md", "gone/d.md"):
        (tmp_path / name).unlink()
    for name in ("disk/deep", "gone"):
        (tmp_path / name).rmdir()
    scanned = scan(tmp_path, Patterns(), supported)
    assert kinds(scanned, before) == {"a.md": "unchanged", "gone/d.md": "deleted", "disk/": "failed"}
    error = doubts(scanned, before)["disk/"]
    assert error.code == "folder_emptied"
    assert "2 documents" in error.message
    assert "--prune" in error.next_step
    assert kinds(scanned, before, prune=False) == {"a.md": "unchanged"}
    pruned = kinds(scanned, before, prune=True)
    assert pruned == {"a.md": "unchanged", "gone/d.md": "deleted", "disk/b.md": "deleted", "disk/deep/c.md": "deleted"}


def test_hidden_files_do_not_speak_for_a_folder_that_is_empty_but_for_them(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "disk/b.md", "disk/.keep")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "disk/b.md").unlink()
    assert kinds(scan(tmp_path, Patterns(), supported), before) == {"a.md": "unchanged", "disk/": "failed"}


def test_a_folder_that_still_holds_anything_is_evidence(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "sub/b.md", "sub/picture.png")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "sub/b.md").unlink()
    assert kinds(scan(tmp_path, Patterns(), supported), before) == {"a.md": "unchanged", "sub/b.md": "deleted"}


def test_an_empty_folder_that_held_no_document_is_nobodys_business(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    (tmp_path / "sub").mkdir()
    assert kinds(scan(tmp_path, Patterns(), supported), known(scan(tmp_path, Patterns(), supported))) == {
        "a.md": "unchanged"
    }


def test_a_file_named_like_one_that_could_not_be_looked_at_is_still_evidence(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md")
    before = known(scan(tmp_path, Patterns(), supported))
    refused = Scan(
        tmp_path, Patterns(), scan(tmp_path / "a.md", Patterns(), supported).sources, (), (("b", Unreadable("")),)
    )
    assert refused.missing(before) == ["b.md"]
    assert refused.missing({"b/c.md": before["b.md"], "b": before["b.md"]}) == []


# ---- renames


def test_a_renamed_file_tells_its_former_name(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "a.md").rename(tmp_path / "c.md")
    found = changes(scan(tmp_path, Patterns(), supported), before)
    assert {name: (c.kind, c.renamed_from) for name, c in found.items()} == {
        "a.md": ("deleted", None),
        "b.md": ("unchanged", None),
        "c.md": ("added", "a.md"),
    }
    assert found["c.md"].known is None


def test_a_copy_is_no_rename_and_neither_is_a_change_on_the_way(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "copy.md").write_text("a.md")
    (tmp_path / "b.md").rename(tmp_path / "c.md")
    (tmp_path / "c.md").write_text("other")
    found = changes(scan(tmp_path, Patterns(), supported), before)
    assert found["copy.md"].renamed_from is None
    assert found["c.md"].renamed_from is None
    assert found["b.md"].kind == "deleted"


def test_of_equal_files_those_of_the_same_base_name_go_together_and_each_once(tmp_path: Path) -> None:
    for name in ("old/x.md", "old/y.md", "old/z.md"):
        write(tmp_path, name)
        (tmp_path / name).write_text("same")
    write(tmp_path, "a.md")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "new/x.md").rename(tmp_path / "new/b.md")
    (tmp_path / "new/c.md").write_text("same")
    found = changes(scan(tmp_path, Patterns(), supported), before)
    assert {name: c.renamed_from for name, c in found.items() if c.kind == "added"} == {
        "new/b.md": "old/x.md",
        "new/c.md": None,
        "new/y.md": "old/y.md",
        "new/z.md": "old/z.md",
    }


@pytest.mark.parametrize("status", ["failed", "empty_text", "pending"])
def test_only_a_live_document_is_renamed_and_only_if_it_goes(tmp_path: Path, status: str) -> None:
    write(tmp_path, "a.md", "keep.md")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "a.md").rename(tmp_path / "b.md")
    scanned = scan(tmp_path, Patterns(), supported)
    old = before["a.md"]
    dead = before | {"a.md": Known(old.document_id, old.name, old.sha256, SPLITTER, status)}
    assert changes(scanned, before)["b.md"].renamed_from == "a.md"
    assert changes(scanned, dead)["b.md"].renamed_from is None
    assert changes(scanned, before, prune=False)["b.md"].renamed_from is None


def _edit(root: Path, name: str, other: str, draw: random.Random) -> None:
    path, target = root / name, root / other
    match draw.choice(["write", "remove", "move"]):
        case "write":
            write(root, name)
            path.write_text(draw.choice("abcd"))
        case "remove":
            path.unlink(missing_ok=True)
        case "move" if path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


def test_random_edits_yield_a_change_set_that_leads_from_the_one_tree_to_the_other(tmp_path: Path) -> None:
    """Applying the changes to the names and contents that were known gives those that are there; renames are true."""
    for seed in range(40):
        draw, root = random.Random(seed), tmp_path / str(seed)
        names = [f"{folder}{n}.md" for folder in ("", "x/", "x/y/", "z/") for n in range(4)]
        write(root, "always.md")
        for name in draw.sample(names, 8):
            write(root, name)
            (root / name).write_text(draw.choice("abc"))
        first = scan(root, Patterns(), supported)
        before, texts = known(first), {s.name: (root / s.name).read_text() for s in first.sources}
        for name in draw.sample(names, 8):
            _edit(root, name, draw.choice(names), draw)
        second = scan(root, Patterns(), supported)
        after = {source.name: (root / source.name).read_text() for source in second.sources}
        found = changes(second, before, prune=True)
        applied = {name: text for name, text in texts.items() if found[name].kind != "deleted"}
        for name, change in found.items():
            if change.kind == "unchanged":
                assert texts[name] == after[name]
            elif change.source is not None:
                applied[name] = after[name]
            if change.renamed_from is not None:
                assert found[change.renamed_from].kind == "deleted"
                assert texts[change.renamed_from] == after[name]
        assert applied == after
        taken = [change.renamed_from for change in found.values() if change.renamed_from is not None]
        assert len(taken) == len(set(taken))


# ---- hashes that outlive a run


def test_a_hash_is_taken_again_when_anything_about_the_file_has_changed(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    long_ago = 10**18
    os.utime(tmp_path / "a.md", ns=(long_ago, long_ago))
    hashes = Hashes()

    def digest() -> str:
        scanned = scan(tmp_path, Patterns(), supported)
        mark = (*scanned.marks["a.md"][:-1], long_ago)  # as if it had been at rest for long
        return hashes.of(scanned.sources[0], mark)

    first = digest()
    (tmp_path / "a.md").write_text("b.md")  # same size
    os.utime(tmp_path / "a.md", ns=(long_ago, long_ago))
    assert digest() == first, "with the same mark the file is not read"
    os.utime(tmp_path / "a.md", ns=(long_ago + 1, long_ago + 1))
    assert digest() != first


def test_a_file_that_was_just_written_is_read_every_time(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    scanned = scan(tmp_path, Patterns(), supported)
    (source,), mark, hashes = scanned.sources, scanned.marks["a.md"], Hashes()
    first = hashes.of(source, mark)
    (tmp_path / "a.md").write_text("b.md")  # within the same tick of a coarse clock the mark would be the same
    assert hashes.of(source, mark) != first
