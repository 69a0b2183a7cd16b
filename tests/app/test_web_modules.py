"""The page's pure modules, run by Node's own test runner. Users need no Node; without one these are skipped."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SUITES = sorted((Path(__file__).parents[1] / "web").glob("*.test.mjs"))
NODE = shutil.which("node")


def test_there_are_suites() -> None:
    assert SUITES


@pytest.mark.skipif(NODE is None, reason="no `node` on the PATH: the page's modules are tested where there is one")
@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_module_suite(suite: Path) -> None:
    assert NODE is not None
    run = subprocess.run(
        [NODE, "--test", str(suite)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1"},
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
