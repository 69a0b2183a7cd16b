"""vLLM's own virtual environment and its model's folder, made once under a folder that git ignores.

vLLM pins fastapi, torch and transformers to other releases than ours, so it never shares an environment with us.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from app.evals.corpus import progress

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
CONVERT = HERE / "smollm2.py"
NEEDED_MEMORY = 5 * 2**30  # bytes: 2 GiB of key-value cache, the model, and two Python processes with torch
NEEDED_DISK = 6 * 2**30  # bytes: what is installed takes half of it
_TOLD = 5  # last lines of what a command said
_STAMP = ".made"
_MADE_IN_S = 1800


class Unavailable(Exception):
    """vLLM cannot run on this machine; the message is the reason."""


def check_machine(cache: Path) -> None:
    """Raises Unavailable where vLLM would not fit."""
    if sys.platform != "linux":
        raise Unavailable(f"vLLM runs on Linux, and this is {sys.platform}")
    memory, disk = psutil.virtual_memory().available, shutil.disk_usage(cache).free
    if memory < NEEDED_MEMORY:
        raise Unavailable(f"{_gb(memory)} of memory are free, and {_gb(NEEDED_MEMORY)} are needed")
    if disk < NEEDED_DISK and not (cache / "venv" / _STAMP).exists():
        raise Unavailable(f"{_gb(disk)} of disk are free, and {_gb(NEEDED_DISK)} are needed")


def python_of(cache: Path) -> Path:
    """The interpreter of vLLM's environment, which is made where it is not there as pinned. Raises Unavailable."""
    folder = cache / "venv"
    python = folder / "bin" / "python"
    digest = _digest(sys.version, REQUIREMENTS.read_text())
    if not _is(folder, digest):
        progress("Installing vLLM for the CPU into its own environment (3 GB; some minutes) ...")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        # Without dependencies: the list is whole, and what is not in it is left out on purpose (see its first lines).
        pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        _run([*pip, "--requirement", str(REQUIREMENTS)])
        (folder / _STAMP).write_text(digest)
    return python


def model_of(cache: Path, python: Path) -> Path:
    """The model's folder, which is made from the GGUF file in the environment and tried once. Raises RuntimeError where
    the model makes no sense: then its weights were read wrongly, and no test of an answer would mean anything."""
    folder = cache / "model"
    digest = _digest(CONVERT.read_text(), REQUIREMENTS.read_text())
    if not _is(folder, digest):
        progress("Turning the model's GGUF file into a folder that vLLM loads ...")
        new = cache / "model.new"
        shutil.rmtree(new, ignore_errors=True)
        made = subprocess.run([python, CONVERT, new], capture_output=True, text=True, env=quiet(1), timeout=_MADE_IN_S)
        if made.returncode:
            raise RuntimeError(f"The model could not be made: {_end(made.stderr)}")
        progress(made.stdout.strip())
        shutil.rmtree(folder, ignore_errors=True)
        (new / _STAMP).write_text(digest)
        new.rename(folder)
    return folder


def quiet(threads: int) -> dict[str, str]:
    """The environment of what runs there: nothing is fetched, nothing is reported, and few cores are taken."""
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }


def _is(folder: Path, digest: str) -> bool:
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text() == digest


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MADE_IN_S)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"vLLM's packages were not installed within {_MADE_IN_S // 60} minutes") from None
    if done.returncode:
        raise Unavailable(f"vLLM's packages cannot be installed: {_end(done.stderr) or f'exit {done.returncode}'}")


def _end(said: str) -> str:
    return " ".join(said.strip().splitlines()[-_TOLD:])


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
