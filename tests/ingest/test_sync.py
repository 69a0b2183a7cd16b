"""What a folder holds against what is known: nothing outside it is opened, and nothing is deleted without evidence."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.errors import FolderNotFound, Unreadable
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
    return {change.name: change.kind for change in diff(scanned, before, SPLITTER, prune=prune)}


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
        read_bytes(source)


def test_a_pipe_that_took_a_files_place_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with pytest.raises(Unreadable):
        read_bytes(Source(tmp_path, "a.md", 0, datetime.now(UTC)))


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

    def refusing(path: os.PathLike[str]) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    scanned = scan(tmp_path, Patterns(), supported)
    assert scanned.unlisted == ("locked",)
    assert kinds(scanned, before, prune=True) == {"a.md": "unchanged"}


def test_another_splitter_or_force_cuts_again(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    scanned = scan(tmp_path, Patterns(), supported)
    before = known(scanned)
    assert [c.kind for c in diff(scanned, before, "s-2", prune=None)] == ["updated"]
    assert [c.kind for c in diff(scanned, before, SPLITTER, prune=None, force=True)] == ["updated"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FolderNotFound):
        scan(tmp_path / "nowhere", Patterns(), supported)
