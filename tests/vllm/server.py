"""A vLLM server of our own: started on a free port, watched until it answers, ended by its process id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from app.evals.corpus import progress
from tests.vllm.environment import quiet
from tests.vllm.smollm2 import ADAPTER

NAME, ADAPTED = "smollm2", "smollm2-adapted"
STARTS_IN_S = 300
_TOLD_EVERY_S = 10
_ENDS_IN_S = 20
_LOG_LINES = 20
# Few at once and a short queue, so that a handful of questions is an overload; usage that tells what was cached; a line in
# the log for each request and its end.
FLAGS = (
    *("--served-model-name", NAME),
    *("--max-model-len", "4096"),
    *("--max-num-batched-tokens", "4096"),
    *("--max-num-seqs", "2"),
    *("--max-num-queued-reqs", "6"),
    *("--max-loras", "1"),
    *("--max-lora-rank", "8"),
    *("--structured-outputs-config.backend", "xgrammar"),
    *("--structured-outputs-config.disable_any_whitespace", "true"),
    *("--dtype", "bfloat16"),
    *("--seed", "0"),
    "--enforce-eager",
    "--enable-lora",
    "--enable-prefix-caching",
    "--enable-chunked-prefill",
    "--enable-prompt-tokens-details",
    "--enable-log-requests",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers. `url` has no `/v1`."""

    url: str
    log: Path
    pid: int


def command(python: Path, model: Path, port: int) -> list[str]:
    """Started as a module: the distribution for the CPU is not called vllm, which its own command does not find."""
    module = [str(python), "-m", "vllm.entrypoints.openai.api_server"]
    adapter = ["--lora-modules", f"{ADAPTED}={model / ADAPTER}"]
    return [*module, "--model", str(model), *adapter, "--host", "127.0.0.1", "--port", str(port), *FLAGS]


@contextlib.contextmanager
def serving(python: Path, model: Path, cache: Path, threads: int) -> Iterator[Server]:
    """A server for as long as the context lasts. Raises RuntimeError where it does not come up, with the end of its log."""
    port, log = free_port(), cache / "server.log"
    env = quiet(threads) | {
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CONFIG_ROOT": str(cache / "config"),
        "VLLM_CACHE_ROOT": str(cache / "cache"),
    }
    with log.open("wb") as out:
        # A session of its own, so that its engine, a process of its own, can be ended with it.
        process = subprocess.Popen(
            command(python, model, port), stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", log, process.pid)
        _wait(process, server)
        yield server
    finally:
        _end(process)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], server: Server) -> None:
    begun, told = time.monotonic(), 0.0
    while (waited := time.monotonic() - begun) < STARTS_IN_S:
        if process.poll() is not None:
            raise RuntimeError(f"vLLM ended with code {process.returncode} while it started:\n{_tail(server.log)}")
        if _is_up(server.url):
            progress(f"vLLM answers at {server.url} after {waited:.0f} s.")
            return
        if waited - told >= _TOLD_EVERY_S:
            told = waited
            progress(f"vLLM starts, {waited:.0f} s so far ...")
        time.sleep(0.2)
    raise RuntimeError(f"vLLM did not answer within {STARTS_IN_S} s:\n{_tail(server.log)}")


def _is_up(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_ENDS_IN_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # whoever of its session is left, and only they
    process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
