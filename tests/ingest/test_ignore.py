"""`.gitignore` as git means it: by a table, against git itself, and without a pattern that stalls the scan."""

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ingest.ignore import ignored, rules
from ingest.scan import Patterns, scan

GIT = shutil.which("git")


def ignores(lines: str, name: str, prefix: str = "") -> bool:
    return ignored(name.removesuffix("/"), [rules(prefix, lines)], folder=name.endswith("/"))


@pytest.mark.parametrize(
    ("lines", "yes", "no"),
    [
        ("*.log", ["a.log", "x/y/a.log", "a.log/"], ["a.log2", "log", "a.md"]),
        ("build", ["build", "build/", "x/build"], ["builds", "rebuild"]),
        ("build/", ["build/", "x/build/"], ["build", "x/build"]),
        ("/build", ["build", "build/"], ["x/build"]),
        ("doc/a", ["doc/a"], ["x/doc/a", "doc/ab"]),
        ("**/doc/a", ["doc/a", "x/doc/a", "x/y/doc/a"], ["xdoc/a"]),
        ("doc/**", ["doc/a", "doc/b/c"], ["doc/", "x/doc/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "x/a/b"]),
        ("a*/b", ["a/b", "ax/b"], ["a/x/b"]),
        ("doc/*.md", ["doc/a.md"], ["doc/x/a.md"]),
        ("a?c", ["abc", "aéc"], ["ac", "abbc"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
        ("[!a-c]x", ["dx", "-x"], ["ax"]),
        ("[]-]x", ["]x", "-x"], ["ax"]),
        ("[[:digit:]]x", ["1x"], ["ax", ":x"]),
        ("[a", [], ["[a", "a"]),
        ("a\\", [], ["a", "a\\"]),
        (r"\#a", ["#a"], ["a"]),
        (r"\!a", ["!a"], ["a"]),
        (r"\*", ["*"], ["a"]),
        ("# *.md", [], ["a.md"]),
        ("*.md  ", ["a.md"], []),
        ("a\\ ", ["a "], ["a", "a\\ "]),
        ("*.md\r\n*.txt\r\n", ["a.md", "a.txt"], []),
        ("\ufeff*.md", ["a.md"], []),
        ("*.md\n!a.md", ["b.md"], ["a.md", "x/a.md"]),
        ("!a.md\n*.md", ["a.md"], []),
        ("!", [], ["!", "a"]),
        ("/", [], ["a", "a/"]),
        ("", [], ["a"]),
    ],
)
def test_a_pattern(lines: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes if not ignores(lines, name)] == []
    assert [name for name in no if ignores(lines, name)] == []


def test_an_inner_file_wins_over_an_outer_one_and_speaks_of_what_is_below_it() -> None:
    outer, inner = rules("", "*.md\n/top.txt"), rules("sub/", "!keep.md\n/top.txt")
    assert ignored("sub/a.md", [outer, inner], folder=False)
    assert not ignored("sub/keep.md", [outer, inner], folder=False)
    assert ignored("sub/top.txt", [outer, inner], folder=False)
    assert not ignored("sub/x/top.txt", [outer, inner], folder=False)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 100 + "*b", "a" * 255),
        ("x" + "*a*b" * 60, "x" + "ab" * 120 + "c"),
        ("**/a*" * 200 + "/b", "/".join(["aaaa"] * 800)),
        ("**/*a*/" * 60 + "z", "/".join(["a" * 60] * 60)),
        ("*a*/" * 50 + "b", "/".join(["a" * 80] * 50)),
        ("[a-z]" * 200 + "*" * 50 + "9", "a" * 250),
    ],
)
def test_no_pattern_takes_long(pattern: str, name: str) -> None:
    start = time.process_time()
    assert not ignores(pattern, name)
    assert time.process_time() - start < 1  # milliseconds; trying every place of every star would take years


_NAMES = ["a", "b", "ab", "foo", "bar", "a.md", "b.md", "x]", "a b", "doc", "f!", "c-d", "*z", "d ", "[q", "é.md"]
_PARTS = [*_NAMES[:7], "*", "**", "?", "/", ".md", "[ab]", "[!a]", "[a-c]", "\\a", "!", "#", "[]x]", "/**", "**/", "["]
_PARTS += ["[[:alpha:]]", " ", "-", "\\*", "[a", "[^b-]", "[\\]x]", "\\ ", "\r", "é*"]


@pytest.mark.skipif(GIT is None, reason="git is the oracle")
@pytest.mark.parametrize("seed", range(30))
def test_random_trees_are_read_as_git_reads_them(tmp_path: Path, seed: int) -> None:
    """Files that git calls neither tracked nor ignored, over files, folders and `.gitignore` files of every kind."""
    draw = random.Random(seed)
    subprocess.run([str(GIT), "init", "-q", tmp_path], check=True)
    _fill(tmp_path, draw, 0)
    for folder in [tmp_path, *(path for path in tmp_path.rglob("[!.]*") if path.is_dir() and ".git" not in path.parts)]:
        if folder == tmp_path or draw.random() < 0.4:
            lines = ["".join(draw.choices(_PARTS, k=draw.randint(1, 5))) for _ in range(draw.randint(1, 5))]
            (folder / ".gitignore").write_bytes("\n".join(lines).encode())
    listed = subprocess.run(
        [str(GIT), "-C", tmp_path, "ls-files", "-o", "-z", "--exclude-per-directory=.gitignore"],
        capture_output=True,
        check=True,
    )
    theirs = {
        name for name in listed.stdout.decode().split("\0") if name and not name.rpartition("/")[2].startswith(".")
    }
    assert {source.name for source in scan(tmp_path, Patterns(), lambda _: True).sources} == theirs


def _fill(folder: Path, draw: random.Random, depth: int) -> None:
    for name in draw.sample(_NAMES, draw.randint(1, 5)):
        if depth < 3 and draw.random() < 0.5:
            (folder / name).mkdir()
            _fill(folder / name, draw, depth + 1)
        else:
            (folder / name).write_text("text")
