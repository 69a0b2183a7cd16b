"""What a scan finds in a folder, what it leaves out, and under which names."""

import os
import subprocess
import unicodedata
from pathlib import Path

import pytest

from ingest.errors import FolderNotFound, Unreadable
from ingest.scan import _moment
from ingest.sync import Patterns, scan
from tests.ingest.trees import changes, kinds, known, names, supported, write


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


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FolderNotFound):
        scan(tmp_path / "nowhere", Patterns(), supported)


# ---- .gitignore in a scan


def test_gitignore_is_honoured_in_every_folder_but_not_above_the_root(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md", "docs/draft.md", "docs/sub/b.md", "docs/sub/draft.md", "docs/build/c.md")
    (tmp_path / ".gitignore").write_text("*.md\n")
    (tmp_path / "docs/.gitignore").write_text("draft.md\nbuild/\n")
    (tmp_path / "docs/sub/.gitignore").write_text("!draft.md\nb.md\n")
    assert names(tmp_path / "docs") == {"a.md", "sub/draft.md"}
    every = {"a.md", "draft.md", "sub/b.md", "sub/draft.md", "build/c.md"}
    assert names(tmp_path / "docs", Patterns(gitignore=False)) == every


def test_the_patterns_of_the_settings_yield_to_a_gitignore(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "node_modules/b.md", "sub/node_modules/c.md")
    patterns = Patterns(ignore=("node_modules/",))
    assert names(tmp_path, patterns) == {"a.md"}
    (tmp_path / ".gitignore").write_text("!/node_modules/\n")
    assert names(tmp_path, patterns) == {"a.md", "node_modules/b.md"}


def test_what_a_gitignore_leaves_out_now_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md", "sub/c.md")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / ".gitignore").write_text("b.md\nsub/\n")
    found = kinds(scan(tmp_path, Patterns(), supported), before)
    assert found == {"a.md": "unchanged", "b.md": "deleted", "sub/c.md": "deleted"}


def test_a_gitignore_that_cannot_be_read_closes_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "root/a.md", "root/sub/b.md", "root/big/c.md", "outside.txt")
    before = known(scan(tmp_path / "root", Patterns(), supported))
    (tmp_path / "root/sub/.gitignore").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "root/big/.gitignore").write_text("#" * 70_000)
    scanned = scan(tmp_path / "root", Patterns(), supported)
    assert [name for name, _ in scanned.refused] == ["big/", "sub/"]
    assert all(".gitignore" in error.message and "--no-gitignore" in error.next_step for _, error in scanned.refused)
    assert kinds(scanned, before) == {"a.md": "unchanged"}
    (tmp_path / "root/.gitignore").mkdir()
    with pytest.raises(Unreadable, match="gitignore"):
        scan(tmp_path / "root", Patterns(), supported)


def test_a_file_that_is_named_itself_is_taken_whatever_is_ignored(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    (tmp_path / ".gitignore").write_text("*.md\n")
    assert names(tmp_path / "a.md") == {"a.md"}


def test_our_own_state_is_never_looked_into(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "data/state/owner.txt", "data/b.md")
    assert names(tmp_path, Patterns(apart=tmp_path / "data" / "state")) == {"a.md", "data/b.md"}


# ---- folders within folders


def test_a_part_of_a_known_folder_keeps_its_names(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md", "docs/sub/b.md", "docs/sub/gone.md", "docs/sub/draft.md", "docs/subway.md")
    (tmp_path / "docs/.gitignore").write_text("draft.md")
    docs = tmp_path / "docs"
    before = known(scan(docs, Patterns(), supported))
    (docs / "sub/gone.md").unlink()
    (docs / "a.md").unlink()
    part = scan(docs / "sub", Patterns(), supported, [docs, tmp_path / "other"])
    assert part.root == docs
    assert kinds(part, before) == {"sub/b.md": "unchanged", "sub/gone.md": "deleted"}
    one = scan(docs / "sub" / "b.md", Patterns(), supported, [docs])
    assert (one.root, [s.name for s in one.sources]) == (docs, ["sub/b.md"])
    assert kinds(one, before, prune=True) == {"sub/b.md": "unchanged"}


def test_the_globs_of_a_part_speak_of_names_below_it(tmp_path: Path) -> None:
    write(tmp_path, "sub/guide/a.md", "sub/b.md", "sub/guide/gone.md")
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / "sub/guide/gone.md").unlink()
    (tmp_path / "sub/b.md").unlink()
    part = scan(tmp_path / "sub", Patterns(include=("guide/*",)), supported, [tmp_path])
    assert kinds(part, before) == {"sub/guide/a.md": "unchanged", "sub/guide/gone.md": "deleted"}


@pytest.mark.parametrize("inner", ["link", ".hidden", "build"])
def test_what_a_scan_of_the_outer_folder_would_not_come_to_is_a_folder_of_its_own(tmp_path: Path, inner: str) -> None:
    write(tmp_path, "docs/a.md", "docs/.hidden/x/b.md", "docs/build/x/b.md", "elsewhere/x/b.md")
    (tmp_path / "docs/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "docs/.gitignore").write_text("build/")
    docs = tmp_path / "docs"
    for path, name in ((docs / inner / "x", "b.md"), (docs / inner / "x" / "b.md", "b.md")):
        scanned = scan(path, Patterns(), supported, [docs])
        assert (scanned.root, [s.name for s in scanned.sources]) == (docs / inner / "x", [name])


def test_the_outermost_known_folder_is_the_one(tmp_path: Path) -> None:
    write(tmp_path, "a/b/c/d.md")
    scanned = scan(tmp_path / "a/b/c", Patterns(), supported, [tmp_path / "a/b", tmp_path / "a", tmp_path / "a/b/c"])
    assert (scanned.root, [s.name for s in scanned.sources]) == (tmp_path / "a", ["b/c/d.md"])


# ---- names


def test_names_are_kept_as_they_are_on_disk_and_globs_do_not_mind(tmp_path: Path) -> None:
    composed, apart = unicodedata.normalize("NFC", "caf\u00e9.md"), unicodedata.normalize("NFD", "th\u00e9.md")
    write(tmp_path, composed, apart)
    assert names(tmp_path) == {composed, apart}
    for form in ("NFC", "NFD"):
        include = tuple(unicodedata.normalize(form, glob) for glob in ("caf\u00e9*", "*\u00e9.md"))
        assert names(tmp_path, Patterns(include=include)) == {composed, apart}
    before = known(scan(tmp_path, Patterns(), supported))
    (tmp_path / apart).rename(tmp_path / unicodedata.normalize("NFC", apart))
    found = changes(scan(tmp_path, Patterns(), supported), before)
    assert found[unicodedata.normalize("NFC", apart)].renamed_from == apart


def test_folders_nested_without_end_cost_themselves_alone(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    scanned = scan(tmp_path, Patterns(), supported)
    assert [source.name for source in scanned.sources] == ["a.md"]
    ((name, error),) = scanned.refused
    assert name.count("/") == 101
    assert "folders deep" in error.message
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # deeper than Python removes


@pytest.mark.parametrize("seconds", [2.0**60, -(2.0**60)])
def test_a_time_that_no_calendar_holds_costs_nothing(seconds: float) -> None:
    assert _moment(seconds).year == 1970
