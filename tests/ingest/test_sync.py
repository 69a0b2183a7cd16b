"""What a folder holds against what is known: nothing outside it is opened, and nothing is deleted without evidence."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.errors import FolderNotFound, TooLarge, Unreadable
from ingest.model import Known, Source
from ingest.sync import Patterns, Scan, content_hash, diff, read_bytes, scan

SPLITTER = "s-1"


def supported(name: str) -> bool:
    return name.endswith((".md", ".txt"))


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def known(scanned: Scan) -> dict[str, Known]:
    return {s.name: Known(f"id-{s.name}", s.name, content_hash(s), SPLITTER, "live") for s in scanned.sources}


def kinds(scanned: Scan, before: dict[str, Known], prune: bool | None = None) -> dict[str, str]:
    return {change.name: change.kind for change in diff(scanned, before, lambda _: SPLITTER, prune=prune)}


def test_names_are_sorted_and_hidden_and_unknown_ones_left_out(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "a/x.md", "a/y.bin", ".git/config.md", ".hidden.md")
    scanned = scan(tmp_path, Patterns(), supported)
    assert [source.name for source in scanned.sources] == ["a/x.md", "b.md"]
    assert scanned.skipped == ("a/y.bin",)


def test_links_and_pipes_are_never_followed(tmp_path: Path) -> None:
    write(tmp_path / "outside", "secret.md")
    write(tmp_path / "root", "a.md")
    (tmp_path / "root" / "link.md").symlink_to(tmp_path / "outside" / "secret.md")
    (tmp_path / "root" / "folder").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "root" / "pipe.md")
    assert [s.name for s in scan(tmp_path / "root", Patterns(), supported).sources] == ["a.md"]


def test_a_link_that_took_a_files_place_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "secret.txt")
    source = scan(tmp_path, Patterns(include=("a.md",)), supported).sources[0]
    (tmp_path / "a.md").unlink()
    (tmp_path / "a.md").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(Unreadable):
        read_bytes(source, 1000)


def test_a_pipe_that_took_a_files_place_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with pytest.raises(Unreadable):
        read_bytes(Source(tmp_path, "a.md", 0, datetime.now(UTC)), 1000)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (Patterns(), {"a.md", "b.txt", "guide/c.md"}),
        (Patterns(include=("*.md",)), {"a.md", "guide/c.md"}),
        (Patterns(include=("guide/*",)), {"guide/c.md"}),
        (Patterns(exclude=("*.md",)), {"b.txt"}),
        (Patterns(include=("*.md",), exclude=("guide/*",)), {"a.md"}),
    ],
)
def test_patterns(tmp_path: Path, patterns: Patterns, expected: set[str]) -> None:
    write(tmp_path, "a.md", "b.txt", "guide/c.md")
    assert {source.name for source in scan(tmp_path, patterns, supported).sources} == expected


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


def test_a_file_that_is_too_large_is_not_read_any_further(tmp_path: Path) -> None:
    with (tmp_path / "a.md").open("wb") as file:
        file.truncate(2**40)
    (source,) = scan(tmp_path, Patterns(), supported).sources
    with pytest.raises(TooLarge, match="the limit is"):
        read_bytes(source, 1000)
    (tmp_path / "a.md").write_bytes(b"x" * 1000)
    assert read_bytes(source, 1000) == b"x" * 1000
    (tmp_path / "a.md").write_bytes(b"x" * 1001)  # it has grown since the scan
    with pytest.raises(TooLarge):
        read_bytes(source, 1000)


def test_one_file_alone_is_no_evidence_against_its_namesakes(tmp_path: Path) -> None:
    write(tmp_path, "README.md", "guide/README.md")
    before = known(scan(tmp_path, Patterns(), supported))
    alone = scan(tmp_path / "README.md", Patterns(), supported)
    assert kinds(alone, before) == kinds(alone, before, prune=True) == {"README.md": "unchanged"}


def test_the_name_of_one_file_is_no_pattern(tmp_path: Path) -> None:
    write(tmp_path, "a[1].md")
    assert [source.name for source in scan(tmp_path / "a[1].md", Patterns(), supported).sources] == ["a[1].md"]


@pytest.mark.parametrize("name", [b"caf\xe9.md", b"two\nlines.md", b"\x1b[2Jclear.md"])
def test_a_name_that_cannot_be_kept_is_refused_and_its_neighbours_are_not(tmp_path: Path, name: bytes) -> None:
    write(tmp_path, "a.md")
    (tmp_path / os.fsdecode(name)).write_text("text")
    scanned = scan(tmp_path, Patterns(), supported)
    assert [source.name for source in scanned.sources] == ["a.md"]
    ((printable, error),) = scanned.refused
    assert "\N{REPLACEMENT CHARACTER}" in printable
    assert printable.isprintable()
    assert error.next_step == "Rename it, then run ingest again."


def test_a_folder_whose_name_cannot_be_kept(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    with pytest.raises(FolderNotFound) as caught:
        scan(folder, Patterns(), supported)
    assert caught.value.message.isascii() or "\N{REPLACEMENT CHARACTER}" in caught.value.message


def test_another_splitter_or_force_cuts_again(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    scanned = scan(tmp_path, Patterns(), supported)
    before = known(scanned)
    assert [c.kind for c in diff(scanned, before, lambda _: "s-2", prune=None)] == ["updated"]
    assert [c.kind for c in diff(scanned, before, lambda _: SPLITTER, prune=None, force=True)] == ["updated"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FolderNotFound):
        scan(tmp_path / "nowhere", Patterns(), supported)
