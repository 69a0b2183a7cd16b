"""The page's vendored code is what THIRD_PARTY.md says, and the page stays small."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "app" / "web"
VENDOR = WEB / "vendor"
ROW = re.compile(r"^\| `(?P<file>[^`]+)` \|.*\| (?P<licences>`[^|]+`) \| `(?P<sha256>[0-9a-f]{64})` \|$", re.MULTILINE)
ROWS = [match.groupdict() for match in ROW.finditer((VENDOR / "THIRD_PARTY.md").read_text("utf-8"))]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_vendored_file_has_the_listed_hash(row: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / row["file"]).read_bytes()).hexdigest() == row["sha256"]


def test_nothing_unlisted_is_vendored_and_every_licence_lies_beside() -> None:
    licences = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row["licences"])}
    assert all(name.startswith("LICENSE-") for name in licences)
    listed = {row["file"] for row in ROWS} | licences | {"THIRD_PARTY.md"}
    assert {path.name for path in VENDOR.iterdir()} == listed


def test_the_script_that_the_page_loads_is_below_60_kib_compressed() -> None:
    """All but what is imported when it is asked for, and all of it is at most a little more. It was 60,000 bytes until a
    sentence that its source contradicts got a sign and words of its own: who reads must not have to ask for those."""
    later = {
        name for path in WEB.glob("*.js") for name in re.findall(r'import\("\./([^"]+)"\)', path.read_text("utf-8"))
    }
    assert later == {"why.js"}
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in WEB.rglob("*.js")}
    assert sum(size for name, size in sizes.items() if name not in later) <= 60 * 1024
    assert sum(sizes.values()) <= 62_000


def test_nothing_in_the_page_is_inline_or_from_elsewhere() -> None:
    page = (WEB / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
    for target in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert target.startswith("/web/"), target
        assert (WEB / target.removeprefix("/web/")).is_file(), target
    for path in WEB.glob("*.js"):
        source = path.read_text("utf-8")
        assert not re.search(
            r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval)\b|new Function", source
        ), path
        for module in re.findall(r"""(?:from|import)\s+["']([^"']+)["']""", source):
            assert module.startswith("./"), (path, module)
            assert (WEB / module).is_file(), (path, module)
    assert not re.search(r"@import|url\((?!['\"]?data:)", (WEB / "style.css").read_text("utf-8"))
