"""`python -m tests.peers --data DIR [--size N] [--peers a,b]`: Grounded beside other libraries, on one corpus, in one run.

Prints a table for each size and writes everything as JSON. Needs a package index for the peers' environments, once.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from app.errors import CommandError
from app.evals.corpus import opened_anew, progress
from app.settings import Settings
from retrieval.ports import Embedder
from tests.peers.corpus import Judged, judged, padding_of, prepare
from tests.peers.report import add, lines, write_page
from tests.peers.runner import PEERS, Outcome, Peer, Runner, chosen, in_turns
from tests.peers.table import Row, row_of

CACHE = Path(__file__).parents[2] / "build" / "peers"


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        _compare(options)
    except CommandError as error:
        progress(f"error[{error.code}]: {error.message} {error.next_step}")
        return 2
    return 0


def _compare(options: argparse.Namespace) -> None:
    """Each size by itself, told and written when it is done. Raises BadEvalData."""
    data = judged(options.data)
    others = sorted(_others(options.data)) if options.padding is None else options.padding
    padding = padding_of(others)
    about: dict[str, Any] = {"data": options.data.name, "padding": [folder.name for folder in others]}
    about["texts"] = len(data.texts) + len(padding)
    about |= {name: getattr(options, name) for name in ("repeats", "rounds", "cap")}
    with _loop() as loop, _embedder(loop) as embedder:
        for size in options.size:
            report = add(options.out, size, _one_size(size, data, padding, embedder, loop, options), **about)
            sys.stdout.write("\n".join(lines({str(size): report[str(size)]})) + "\n")
            sys.stdout.flush()
            if options.page is not None:
                write_page(options.page, report)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    option = parser.add_argument
    option("--data", type=Path, required=True, help="folder in BEIR form: what is judged")
    option("--size", type=_sizes, default=[25_000], help="chunks, with the padding; several with commas")
    option("--peers", type=chosen, default=PEERS, help="some of them, by name, with commas")
    option("--padding", type=Path, nargs="*", help="other folders in BEIR form (default: those beside --data)")
    option("--repeats", type=int, default=2, help="runs of each peer, in turns")
    option("--rounds", type=int, default=2, help="times that a run asks all questions")
    option("--cap", type=float, default=1800, help="seconds that a run may take")
    option("--slow-ms", type=float, default=1000, help="a peer whose median question takes longer is asked less")
    option("--slow-questions", type=int, default=20, help="how many questions it is asked then")
    option("--seed", type=int, default=0)
    option("--page", type=Path, help="page of the manual whose tables are written anew")
    option("--out", type=Path, default=CACHE / "peers.json", help="where all figures are written")
    return parser.parse_args(arguments)


def _sizes(said: str) -> list[int]:
    return [int(size) for size in said.split(",")]


def _others(data: Path) -> Iterator[Path]:
    for file in data.absolute().parent.glob("*/corpus.jsonl"):
        if file.parent != data.absolute():
            yield file.parent


def _one_size(
    size: int,
    data: Judged,
    padding: list[str],
    embedder: Embedder,
    loop: asyncio.AbstractEventLoop,
    options: argparse.Namespace,
) -> list[Row]:
    """The corpus is made for the run and removed after it."""
    with tempfile.TemporaryDirectory(prefix="grounded-peers-") as made:
        folder = Path(made)
        loop.run_until_complete(prepare(folder, data, padding, size, embedder, CACHE / "vectors", options.seed))
        _plan(folder, data, options)
        runner = Runner(folder, CACHE, options.cap, embedder, loop)

        def run(peer: Peer) -> Outcome:
            progress(f"{size} chunks: {peer.label} ...")
            return runner.run(peer)

        found = in_turns(options.peers, options.repeats, run)
    return [row_of(outcomes, data.qrels) for outcomes in found.values()]


def _plan(folder: Path, data: Judged, options: argparse.Namespace) -> None:
    questions = [{"id": i, "text": text} for i, text in data.questions.items()]
    names = ("rounds", "slow_ms", "slow_questions")
    plan = {"questions": questions, **{name: getattr(options, name) for name in names}}
    (folder / "plan.json").write_text(json.dumps(plan))


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


@contextmanager
def _embedder(loop: asyncio.AbstractEventLoop) -> Iterator[Embedder]:
    """The product's own, as it is configured."""
    opened = opened_anew(Settings())
    grounded = loop.run_until_complete(opened.__aenter__())
    try:
        yield grounded.embedder
    finally:
        loop.run_until_complete(opened.__aexit__(None, None, None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
