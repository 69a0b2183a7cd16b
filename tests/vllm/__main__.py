"""`make test-vllm`: vLLM installed, its model made, a server started, the tests run against it, the server ended.

`python -m tests.vllm --serve` keeps the server until Ctrl-C, for a trial by hand; `--measure` prints figures instead of
running tests. Where vLLM cannot be installed or does not fit, the reason is told and nothing has failed.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from app.evals.corpus import progress
from tests.vllm.environment import Unavailable, check_machine, model_of, python_of
from tests.vllm.server import NAME, Server, serving

CACHE = Path("build") / "vllm"
_TRIAL = """Point Grounded at it from another terminal; Ctrl-C here ends it:
  GROUNDED_GENERATION__BACKEND=openai_chat GROUNDED_GENERATION__BASE_URL={url}/v1 GROUNDED_GENERATION__MODEL={name} \\
  GROUNDED_GENERATION__PRICE_INPUT=0 GROUNDED_GENERATION__PRICE_OUTPUT=0 grounded serve"""


def main(words: list[str]) -> int:
    """The exit code of the tests, or 0 where there was nothing to run them against."""
    options = _options(words)
    CACHE.mkdir(parents=True, exist_ok=True)
    cache = CACHE.resolve()
    try:
        check_machine(cache)
        python = python_of(cache)
    except Unavailable as reason:
        progress(f"SKIPPED the tests with vLLM: {reason}.")
        return 0
    model = model_of(cache, python)
    with serving(python, model, cache, options.threads) as server:
        if options.serve:
            return _serve(server)
        if options.measure:
            return subprocess.run([sys.executable, "-m", "tests.vllm.measure", server.url]).returncode
        return _test(server, python, model, options.pytest)


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.vllm", description="Grounded in front of a real vLLM.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--threads", type=int, default=max(1, cores - 1), help="cores that the model computes on")
    parser.add_argument("--serve", action="store_true", help="run no tests, keep the server until Ctrl-C")
    parser.add_argument("--measure", action="store_true", help="run no tests, print figures")
    parser.add_argument("pytest", nargs="*", help="what pytest is given, behind --")
    return parser.parse_args(words)


def _test(server: Server, python: Path, model: Path, more: list[str]) -> int:
    env = {
        **os.environ,
        "GROUNDED_TEST_VLLM_URL": server.url,
        "GROUNDED_TEST_VLLM_LOG": str(server.log),
        "GROUNDED_TEST_VLLM_PYTHON": str(python),
        "GROUNDED_TEST_VLLM_TOKENIZER": str(model / "tokenizer.json"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-m", "vllm", *(more or ["tests/vllm"])]
    return subprocess.run(command, env=env).returncode


def _serve(server: Server) -> int:
    progress(_TRIAL.format(url=server.url, name=NAME))
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the server is ended then too
    sys.exit(main(sys.argv[1:]))
