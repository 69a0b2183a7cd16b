"""Plants each bug of `plants.py` in a copy of the tree and runs the check that must catch it.

A check that also fails without the bug has caught nothing, so each is first run on a copy that is as it is.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, TypeVar

from tests.chaos.access_plants import ACCESS
from tests.chaos.budget_plants import BUDGETS
from tests.chaos.http_plants import HTTP
from tests.chaos.mutant import Mutant
from tests.chaos.plants import MUTANTS
from tests.chaos.stage import scratch

T, R = TypeVar("T"), TypeVar("R")
Verdict = Literal["passed", "failed", "broken"]

ROOT = Path(__file__).parents[2]
_PARTS = ("app", "generation", "ingest", "retrieval", "tests", "data/handbook", "data/evals", "pyproject.toml")
_WORKERS = 2
_LONGEST_S = 600.0
_TESTS_FAILED = 1  # pytest's exit code; others say that it could not run them


def sweep(n: int, _seed: int) -> dict[str, Any]:
    """The first `n` mutants, 0 for all."""
    return swept(MUTANTS[:n] if n else MUTANTS)


def access(n: int, _seed: int) -> dict[str, Any]:
    """Those of keys, tenants and groups alone."""
    return swept(ACCESS[:n] if n else ACCESS)


def http(n: int, _seed: int) -> dict[str, Any]:
    """Those of how requests are read and secrets kept alone."""
    return swept(HTTP[:n] if n else HTTP)


def budgets(n: int, _seed: int) -> dict[str, Any]:
    """Those of money and of waiting alone."""
    return swept(BUDGETS[:n] if n else BUDGETS)


def swept(mutants: Sequence[Mutant]) -> dict[str, Any]:
    """How many of them are caught, and what is wrong."""
    wrong = [f"stale: {mutant.name}: its text does not stand once in {mutant.file}" for mutant in stale(mutants)]
    with scratch() as root:
        trees = [_copied(root / str(k)) for k in range(_WORKERS)]
        checks = sorted({mutant.check for mutant in mutants})
        sound = dict(zip(checks, _spread(checks, trees, run), strict=True))
        wrong += [
            f"unsound: {check} {verdict} without a bug" for check, verdict in sound.items() if verdict != "passed"
        ]
        tried = [m for m in mutants if m not in stale(mutants) and sound[m.check] == "passed"]
        verdicts = _spread(tried, trees, planted)
    wrong += [f"missed: {m.name} ({m.check} {v})" for m, v in zip(tried, verdicts, strict=True) if v != "failed"]
    return {"planted": len(mutants), "caught": verdicts.count("failed"), "wrong": wrong}


def stale(mutants: Iterable[Mutant]) -> list[Mutant]:
    """Those whose text no longer stands in the product."""
    return [m for m in mutants if (ROOT / m.file).read_text().count(m.old) != 1 or m.old == m.new]


def planted(mutant: Mutant, tree: Path) -> Verdict:
    """What its check says of a tree with the bug; the tree is put back."""
    file = tree / mutant.file
    before = file.read_text()
    file.write_text(before.replace(mutant.old, mutant.new))
    try:
        return run(mutant.check, tree)
    finally:
        file.write_text(before)


def run(check: str, tree: Path) -> Verdict:
    """A test that hangs has noticed something too."""
    words = check.split()
    is_test = words[0].startswith("tests/")
    options = ["-x", "-q", "-p", "no:cacheprovider"]
    command = ["pytest", *words, *options] if is_test else ["tests.chaos", words[0], "--n", words[1]]
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-m", *command], cwd=tree, capture_output=True, text=True, timeout=_LONGEST_S
        )
    except subprocess.TimeoutExpired:
        return "failed"
    if done.returncode == 0:
        return "passed"
    noticed = done.returncode == _TESTS_FAILED if is_test else _told_misses(done.stdout)
    return "failed" if noticed else "broken"


def _told_misses(stdout: str) -> bool:
    try:
        return bool(json.loads(stdout.splitlines()[-1]).get("misses"))
    except (IndexError, ValueError):
        return False


def _copied(tree: Path) -> Path:
    for part in _PARTS:
        source, target = ROOT / part, tree / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tree


def _spread(items: Iterable[T], trees: Iterable[Path], work: Callable[[T, Path], R]) -> list[R]:
    """Each item on a tree that nobody else works on."""
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def one(item: T) -> R:
        tree = free.get()
        try:
            return work(item, tree)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(one, items))
