"""CPU time by part: which code counts for which, and that what a thread took is found."""

import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from app.evals.parts import LOOP, WAITING, Sampler, part_of, within

ROOT = Path(__file__).parents[2]
ROWS = [
    (1.0, {"a": {"http": 2.0}}),
    (2.0, {"a": {"http": 1.0}, "b": {"catalog": 4.0}}),
    (3.0, {"a": {"http": 8.0}, "b": {"catalog": 1.0, "rerank": 3.0, WAITING: 4.0}, "c": {WAITING: 1.0}}),
]


def frame_of(*files: str, name: str = "outer") -> FrameType:
    """The frame that runs in the first file, called from the second, and so on."""
    inner: Any = sys._getframe
    for file in files:
        names = {"inner": inner}
        exec(compile(f"def {name}():\n    return inner()", file.replace("~", str(ROOT)), "exec"), names)
        inner = names[name]
    found: FrameType = inner()
    return found


@pytest.mark.parametrize(
    ("files", "part"),
    [
        (("~/retrieval/search.py",), "retrieval"),
        (("~/retrieval/adapters/qdrant_edge.py", "~/retrieval/search.py"), "dense and BM25"),
        (("~/retrieval/adapters/bert.py", "~/retrieval/search.py"), "embedding"),
        (("/lib/json/encoder.py", "~/app/api/encoders/native.py", "~/app/pipeline.py"), "http"),
        (("/l/site-packages/h11/_writers.py", "/l/site-packages/uvicorn/protocols/http/h11_impl.py"), "http"),
        (
            (
                "/l/site-packages/h11/_readers.py",
                "/l/site-packages/httpcore2/_async/http11.py",
                "~/generation/retry.py",
            ),
            "generation",
        ),
        (("~/generation/filters/pii.py", "~/app/filtering.py"), "filters"),
        (("/lib/selectors.py", "~/app/pipeline.py"), WAITING),
    ],
)
def test_a_library_counts_for_whoever_called_it(files: tuple[str, ...], part: str) -> None:
    assert part_of(frame_of(*files)) == part


def test_behind_a_turn_of_the_event_loop_stands_only_who_started_it() -> None:
    assert part_of(frame_of("/lib/asyncio/base_events.py", "~/app/commands/output.py", name="_run_once")) == LOOP


def test_what_a_thread_took_is_found() -> None:
    code = "def work(stopping):\n    while not stopping.is_set():\n        sum(range(1000))"
    names: dict[str, Any] = {}
    exec(compile(code, str(ROOT / "retrieval/fusion.py"), "exec"), names)
    stopping = threading.Event()
    sampler = Sampler()
    sampler.start()
    worker = threading.Thread(target=names["work"], args=(stopping,))
    worker.start()
    ends = time.monotonic() + 60
    while time.monotonic() < ends and "retrieval" not in within(sampler.rows, 0, time.monotonic()):
        time.sleep(0.01)
    stopping.set()
    worker.join()
    sampler.stop()
    assert within(sampler.rows, 0, time.monotonic())["retrieval"] > 0


def test_rows_of_a_time_are_summed_the_dearest_first() -> None:
    assert within(ROWS, 0, 2) == {"catalog": 4.0, "http": 3.0}
    assert list(within(ROWS, 0, 2)) == ["catalog", "http"]
    assert within(ROWS, 1, 2) == {"catalog": 4.0, "http": 1.0}


def test_what_a_thread_took_before_it_waited_is_shared_out_as_the_rest_of_its_own() -> None:
    assert within(ROWS, 2, 9) == {"http": 8.0, "rerank": 6.0, "catalog": 2.0, LOOP: 1.0}
