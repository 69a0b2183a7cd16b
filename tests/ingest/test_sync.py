"""What a folder holds against what is known: nothing outside it is opened, and nothing is deleted without evidence."""

import os
import random
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.errors import FileError, FolderNotFound, TooLarge, Unreadable
from ingest.model import Known, Source
from ingest.scan import _moment
from ingest.sync import Change, Hashes, Patterns, Scan, content_hash, diff, read_bytes, scan

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


# ---- what takes a file's or a folder's place while we work


SECRET = b"the canary sings"
SWAPS = 10_000


def test_a_folder_on_the_way_that_became_a_link_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "root/sub/deep/a.md", "outside/deep/a.md")
    (source,) = scan(tmp_path / "root", Patterns(), supported).sources
    (tmp_path / "root" / "sub").rename(tmp_path / "aside")
    (tmp_path / "root" / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(Unreadable, match="a link stands in its place"):
        read_bytes(source, 1000)
    with pytest.raises(Unreadable):
        content_hash(source)


def test_a_link_in_the_path_of_the_root_itself_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "real", "a.md")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (source,) = scan(tmp_path / "link", Patterns(), supported).sources
    assert source.root == tmp_path / "link"
    assert read_bytes(source, 1000) == b"a.md"


@pytest.mark.parametrize("name", ["../outside/a.md", "/etc/passwd", "sub/../../outside/a.md", "./a.md", ""])
def test_a_name_that_leads_out_of_the_root_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, "root/sub/b.md", "root/a.md", "outside/a.md")
    with pytest.raises(Unreadable):
        read_bytes(Source(tmp_path / "root", name, 0, datetime.now(UTC)), 1000)


def test_a_device_that_took_a_files_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        read_bytes(Source(Path("/dev"), "null", 0, datetime.now(UTC)), 1000)


_SWAPPER = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(int(sys.argv[3])):
    if sys.argv[2] == "file":
        os.symlink("../../outside/a.md", "new")
        os.replace("new", "sub/a.md")
        os.link("../good.md", "new")
        os.replace("new", "sub/a.md")
    else:
        os.rename("sub", "real")
        os.symlink("../outside", "sub")
        os.unlink("sub")
        os.rename("real", "sub")
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["file", "folder"])
def test_swapping_for_links_to_the_outside_never_shows_what_is_there(tmp_path: Path, what: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    (tmp_path / "good.md").write_bytes(b"good")
    (root / "sub" / "a.md").hardlink_to(tmp_path / "good.md")
    (outside / "a.md").write_bytes(SECRET)
    (outside / "canary.md").write_bytes(SECRET)
    source = Source(root, "sub/a.md", 4, datetime.now(UTC))
    seen: dict[bytes, int] = {}
    refused = scans = 0
    swapper = subprocess.Popen([sys.executable, "-S", "-c", _SWAPPER, root, what, str(SWAPS)])
    while swapper.poll() is None:
        try:
            data = read_bytes(source, 1000)
            seen[data] = seen.get(data, 0) + 1
        except Unreadable:
            refused += 1
        assert names(root) <= {"sub/a.md", "real/a.md"}
        scans += 1
    assert swapper.returncode == 0
    assert set(seen) == {b"good"}
    assert min(seen[b"good"], refused, scans) > 20, "the race was not on"


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


def changes(scanned: Scan, before: dict[str, Known], **options: bool) -> dict[str, Change]:
    return {c.name: c for c in diff(scanned, before, lambda _: SPLITTER, **{"prune": None, **options})}


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


# ---- .gitignore in a scan


def names(root: Path, patterns: Patterns | None = None) -> set[str]:
    return {source.name for source in scan(root, patterns or Patterns(), supported).sources}


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
