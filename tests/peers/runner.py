"""Runs one peer as a process of its own, answers it when it asks for a question's vector, and ends it when it is late."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from argparse import ArgumentTypeError
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from retrieval.ports import Embedder
from tests.peers.environments import NoEnvironment, python_of
from tests.peers.measure import packed

ROOT = Path(__file__).parents[2]
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "LANGSMITH_TRACING": "false"}
_TOLD = 300  # characters of a failed peer's last line


@dataclass(frozen=True, slots=True)
class Peer:
    """A recipe of `tests.peers.recipes` in one variant; without requirements it runs in the project's own environment."""

    name: str
    label: str
    recipe: str
    variant: str = "default"
    requirements: str | None = None


PEERS = (
    Peer("grounded", "Grounded, reranked", "grounded"),
    Peer("floor", "numpy + bm25s + RRF", "floor", requirements="floor"),
    Peer("qdrant_edge", "Qdrant Edge, two bare queries", "qdrant_edge", requirements="qdrant_edge"),
    Peer("langchain", "LangChain", "langchain", requirements="langchain"),
    Peer("langchain_tuned", "LangChain, stemming", "langchain", "tuned", "langchain"),
    Peer("haystack", "Haystack", "haystack", requirements="haystack"),
    Peer("llamaindex", "LlamaIndex", "llamaindex", requirements="llamaindex"),
    Peer("llamaindex_tuned", "LlamaIndex, FAISS", "llamaindex", "tuned", "llamaindex"),
    Peer("txtai", "txtai, hybrid", "txtai", requirements="txtai"),
    Peer("txtai_tuned", "txtai, flat index", "txtai", "tuned", "txtai"),
    Peer("qdrant_local", "qdrant-client, local mode", "qdrant_local", requirements="qdrant_local"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run told, or why it told nothing."""

    peer: Peer
    result: dict[str, Any] | None
    failure: str | None = None


class Runner:
    """Runs peers over one corpus folder. `cap` is in seconds, for a whole run of one peer."""

    def __init__(
        self, folder: Path, cache: Path, cap: float, embedder: Embedder, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._folder = folder
        self._cache = cache
        self._cap = cap
        self._embedder = embedder
        self._loop = loop

    def run(self, peer: Peer) -> Outcome:
        """Never raises for what goes wrong on the peer's side: that is a result too."""
        try:
            python = python_of(peer.requirements, self._cache)
        except NoEnvironment as error:
            return Outcome(peer, None, f"not installed: {error}")
        scratch = tempfile.mkdtemp(prefix="run-", dir=self._folder)
        try:
            return self._run(peer, [str(python), "-m", f"tests.peers.recipes.{peer.recipe}"], scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _run(self, peer: Peer, command: list[str], scratch: str) -> Outcome:
        command = [*command, str(self._folder), scratch, peer.variant]
        said = self._cache / "logs" / f"{peer.name}.log"
        said.parent.mkdir(parents=True, exist_ok=True)
        with said.open("w+") as log, _started(command, scratch, log) as process:
            late = threading.Event()
            timer = threading.Timer(self._cap, _end, (process, late))
            timer.start()
            try:
                result = self._served(process)
                if result is None:
                    process.wait()  # until it has said why, or the timer ends it
            finally:
                timer.cancel()
                _kill(process)
            if result is not None:
                return Outcome(peer, result)
            return Outcome(peer, None, f"took more than {self._cap:g} s" if late.is_set() else _last_line(log, process))

    def _served(self, process: "subprocess.Popen[bytes]") -> dict[str, Any] | None:
        """Answers until the peer tells its result or ends."""
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if "result" in told:
                result: dict[str, Any] = told["result"]
                return result
            query = self._loop.run_until_complete(self._embedder.embed_query(told["embed"]))
            try:
                process.stdin.write(packed(query.vector, query.tokens))
                process.stdin.flush()
            except BrokenPipeError:
                return None
        return None


def chosen(names: str) -> tuple[Peer, ...]:
    """Those of this list, `a,b`. Raises ArgumentTypeError for a name that is none."""
    by_name = {peer.name: peer for peer in PEERS}
    unknown = [name for name in names.split(",") if name not in by_name]
    if unknown:
        raise ArgumentTypeError(f"no peer is called {', '.join(unknown)}; there are {', '.join(by_name)}")
    return tuple(by_name[name] for name in names.split(","))


def in_turns(peers: tuple[Peer, ...], repeats: int, run: Callable[[Peer], Outcome]) -> dict[str, list[Outcome]]:
    """Every peer once, then every peer again, so that the machine's mood hits all. What failed is not tried again."""
    found: dict[str, list[Outcome]] = {peer.name: [] for peer in peers}
    for _ in range(repeats):
        for peer in peers:
            if all(outcome.failure is None for outcome in found[peer.name]):
                found[peer.name].append(run(peer))
    return found


def _started(command: list[str], scratch: str, log: IO[str]) -> "subprocess.Popen[bytes]":
    """In a session of its own, so that what it starts ends with it."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=_environment(scratch),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    )


def _environment(scratch: str) -> dict[str, str]:
    """Ours without what would change Python or Grounded; temporary files go where they are removed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GROUNDED_", "PYTHON"))}
    return own | _OFFLINE | {"TMPDIR": scratch}


def _end(process: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """With all that it started; a peer that has told its result has nothing more to do."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(log: IO[str], process: "subprocess.Popen[bytes]") -> str:
    log.seek(0)
    said = [line.strip() for line in log if line.strip()]
    why = said[-1][:_TOLD] if said else "it said nothing"
    return f"exit code {process.returncode}: {why}"
