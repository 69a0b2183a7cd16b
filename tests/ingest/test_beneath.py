"""Whatever takes a file's or a folder's place while we work, nothing outside the folder is opened."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.errors import TooLarge, Unreadable
from ingest.model import Source
from ingest.sync import Patterns, content_hash, read_bytes, scan
from tests.ingest.trees import names, supported, write


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
