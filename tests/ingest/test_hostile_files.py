"""Files that want to harm their reader get a verdict in time, and their neighbours are read."""

import pytest

from tests.ingest.hostile_packages import packages
from tests.ingest.hostile_pdfs import pdfs
from tests.ingest.hostile_texts import texts
from tests.ingest.verdicts import Sweep, swept

IN_TIME = 10.0  # seconds for a file of up to a megabyte
BUSY = 60.0  # more that a machine may need to start a process, and to notice the time, while others work on it


def _holds(sweep: Sweep) -> None:
    assert sweep.read_well == sweep.neighbours == len(sweep.verdicts)
    assert sweep.slowest.seconds < IN_TIME + BUSY, sweep.slowest
    assert sweep.peak_mb <= 512


def test_some_of_each_kind():
    """The rest is in the slow tests."""
    _holds(swept([*[*pdfs(bombs=False)][::5], *[*texts()][2::9]]))


@pytest.mark.slow
def test_packages():
    sweep = swept(packages())
    _holds(sweep)
    assert len(sweep.verdicts) >= 130
    said = sweep.said()
    bombs = {
        name: code
        for name, code in said.items()
        if name.startswith(("flat bomb", "bomb in", "many members", "overlap"))
    }
    assert len(bombs) == 28
    assert set(bombs.values()) == {"archive_bomb"}
    assert {code for name, code in said.items() if name.startswith(("traversal", "cut off", "lying"))} == {
        "broken_file"
    }
    assert {code for name, code in said.items() if name.startswith("archives in archives")} == {"read"}, "never opened"


@pytest.mark.slow
def test_pdfs():
    sweep = swept(pdfs())
    _holds(sweep)
    assert len(sweep.verdicts) >= 70
    said = sweep.said()
    for name in ("flat bomb", "bomb in a bomb", "packed ten times", "many small bombs"):
        assert said[f"{name}.pdf"] == "archive_bomb"
    assert said["bomb in letters.pdf"] == "resource_limit"
    assert {verdict.name for verdict in sweep.verdicts if verdict.said == "reader_crashed"} == set()


@pytest.mark.slow
def test_texts():
    sweep = swept(texts())
    _holds(sweep)
    assert len(sweep.verdicts) >= 110
    assert {verdict.name for verdict in sweep.verdicts if verdict.said == "reader_crashed"} == set()
