"""A virtual environment for each peer, pinned, made once and kept in a folder that git ignores."""

import hashlib
import subprocess
import sys
from pathlib import Path

from app.evals.corpus import progress

REQUIREMENTS = Path(__file__).parent / "requirements"
_STAMP = ".requirements"
_TOLD = 5  # last lines of what pip said


class NoEnvironment(Exception):
    """A peer's libraries cannot be installed here."""


def python_of(name: str | None, cache: Path) -> Path:
    """The interpreter of the environment with these requirements; without a name, our own. Raises NoEnvironment."""
    if name is None:
        return Path(sys.executable)
    folder = cache / "venv" / name
    python = folder / "bin" / "python"
    if not is_made(name, cache):
        progress(f"Installing what {name} needs ...")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS / f"{name}.txt")])
        (folder / _STAMP).write_text(_digest(name))
    return python


def is_made(name: str, cache: Path) -> bool:
    """Whether the environment is there, and as it is to be."""
    stamp = cache / "venv" / name / _STAMP
    return stamp.exists() and stamp.read_text() == _digest(name)


def _digest(name: str) -> str:
    requirements = (REQUIREMENTS / f"{name}.txt").read_text()
    return hashlib.sha256(f"{sys.version}\n{requirements}".encode()).hexdigest()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NoEnvironment(" ".join(done.stderr.strip().splitlines()[-_TOLD:]) or f"exit code {done.returncode}")
