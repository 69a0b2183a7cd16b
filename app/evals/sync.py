"""The `sync` section of `grounded eval bench`: what it costs to look at many files of which none, or one, has changed.

Each figure is a whole process of the real command, from its start to its end.
"""

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from app.errors import CommandError
from app.evals.corpus import progress

BUDGET_S = {"unchanged": 3.0, "one changed": 4.0}
_ROUNDS = 3
_PER_FOLDER = 100
_GROUNDED = (sys.executable, "-c", "from app.cli import main; main()")
_THINGS = ("river", "stone", "lamp", "walk", "paper", "cloud", "engine", "salt", "window", "garden", "music", "coin")


async def sync(files: int, seed: int) -> dict[str, Any]:
    """Seconds of a first run, of runs without a change and of runs with one changed file; medians of three."""
    draw = random.Random(seed)  # noqa: S311  texts, no secret
    with tempfile.TemporaryDirectory(prefix="grounded-bench-") as made:
        folder, state = Path(made) / "docs", Path(made) / "state"
        names = [_write(folder, number, draw) for number in range(files)]
        first, _ = await _run(folder, state, {"added": files})
        progress(f"{files} files: {first:.1f} s")
        unchanged = [(await _run(folder, state, {"unchanged": files, "embedded": 0}))[0] for _ in range(_ROUNDS)]
        changed = []
        for number in range(_ROUNDS):
            names[number].write_text(f"It was changed: {_sentence(files + number, draw)}", encoding="utf-8")
            changed.append((await _run(folder, state, {"updated": 1, "unchanged": files - 1, "embedded": 1}))[0])
    return {
        "files": files,
        "first_seconds": round(first, 3),
        "unchanged_seconds": round(statistics.median(unchanged), 3),
        "one_changed_seconds": round(statistics.median(changed), 3),
        "budget_seconds": BUDGET_S,
    }


def _write(folder: Path, number: int, draw: random.Random) -> Path:
    path = folder / f"{number // _PER_FOLDER:04}" / f"{number:06}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_sentence(number, draw), encoding="utf-8")
    return path


def _sentence(number: int, draw: random.Random) -> str:
    one, other = draw.sample(_THINGS, 2)
    return f"Note {number} says that the {one} and the {other} cost {draw.randrange(1000)} euros.\n"


async def _run(folder: Path, state: Path, expected: dict[str, int]) -> tuple[float, dict[str, Any]]:
    """Seconds and summary. Raises CommandError when the run did something else than is measured."""
    environment = {**os.environ, "GROUNDED_STATE": str(state)}
    start = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *_GROUNDED, "ingest", str(folder), "--json", "--quiet",
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        raise CommandError(f"The measured ingest ended with {process.returncode}: {err.decode()[-300:]}")
    summary: dict[str, Any] = orjson.loads(out)
    if any(summary[name] != value for name, value in expected.items()):
        found = {name: summary[name] for name in expected}
        raise CommandError(f"The measured ingest did {found}, not {expected}.")
    return seconds, summary
