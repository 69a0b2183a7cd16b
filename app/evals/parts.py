"""Where a running service spends its CPU time: by part of the product, over all of its threads.

A signal comes whenever the process has taken some milliseconds of the CPU, and what each thread has taken since the last one is
laid to the part whose code it is in: the innermost frame that belongs to one. So a library's time counts for who called it. A
thread that waits by then has worked before: that time is shared out as the rest of its own.

A thread that looks at the others would see them only where they let it: where they wait.
"""

import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import FrameType

_TICK_S = 0.004  # of CPU time; most systems count it no finer
_ROW_S = 0.1  # what was taken within so long is one row
_TURN = "_run_once"  # of an event loop
_WAITING_IN = ("selectors.py", "threading.py", "queue.py", "concurrent/futures/thread.py")
LOOP, NATIVE, SELF, WAITING = "event loop", "native threads", "measuring", "waiting"
Row = tuple[float, dict[str, dict[str, float]]]
_ROOT = f"{Path(__file__).parents[2]}/"
# Code by part, the closer paths first: ours, and libraries by their name. What is not here counts for whoever called it.
_PARTS = (
    ("app/evals/", SELF),
    ("app/api/", "http"),
    ("uvicorn/", "http"),
    ("starlette/", "http"),
    ("fastapi/", "http"),
    ("retrieval/adapters/qdrant_", "dense and BM25"),
    ("retrieval/adapters/edge_", "dense and BM25"),
    ("retrieval/adapters/lexical_terms", "dense and BM25"),
    ("retrieval/adapters/vector_", "token vectors"),
    ("retrieval/adapters/late_interaction", "rerank"),
    ("retrieval/adapters/token_places", "rerank"),
    ("retrieval/adapters/cross_encoder", "rerank"),
    ("retrieval/adapters/http_rerank", "rerank"),
    ("retrieval/adapters/", "embedding"),
    ("retrieval/", "retrieval"),
    ("sqlalchemy/", "catalog"),
    ("ingest/adapters/", "catalog"),
    ("app/adapters/", "catalog"),
    ("openai/", "generation"),
    ("httpx2/", "generation"),
    ("httpcore2/", "generation"),
    ("generation/filters/", "filters"),
    ("app/filtering", "filters"),
    ("generation/verif", "verification"),
    ("generation/checks", "verification"),
    ("generation/policy", "verification"),
    ("generation/", "generation"),
    ("app/recount", "records"),
    ("app/explanations", "records"),
    ("structlog/", "records"),
    ("app/", "pipeline"),
    ("ingest/", "pipeline"),
)


def part_of(frame: FrameType | None) -> str:
    """The part whose code runs here; the event loop's own where no part's does, and WAITING where nothing runs."""
    if frame is not None and frame.f_code.co_filename.endswith(_WAITING_IN):
        return WAITING
    while frame is not None and frame.f_code.co_name != _TURN:  # behind it stands only who started the loop
        if (part := _part_of_file(frame.f_code.co_filename)) is not None:
            return part
        frame = frame.f_back
    return LOOP


@lru_cache(maxsize=4096)
def _part_of_file(name: str) -> str | None:
    path = name.rpartition("/site-packages/")[2].removeprefix(_ROOT)
    return next((part for begins, part in _PARTS if path.startswith(begins)), None)


class Sampler:
    """Looks until it is stopped; to be started and stopped by the main thread. `rows` then has, for each tenth of a second,
    when it ended in seconds of the monotonic clock, and for each thread the milliseconds of CPU time by part."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._clocks: dict[int, tuple[int, float]] = {}  # by thread: its CPU clock, and what it said at the last look
        self._row: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._begun, self._whole = 0.0, 0.0
        self._looking = False

    def start(self) -> None:
        """Begin."""
        self._look(None)
        self._row.clear()
        self._begun, self._whole = time.monotonic(), time.process_time()
        signal.signal(signal.SIGPROF, self._tick)
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, _TICK_S, _TICK_S)

    def stop(self) -> None:
        """End, with the last row."""
        self._looking = True
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        self._look(None)
        self._next_row()

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        if self._looking:  # a signal that comes while one is looked after changes what that one counts
            return
        self._looking = True
        self._look(frame)
        if time.monotonic() - self._begun >= _ROW_S:
            self._next_row()
        self._looking = False

    def _look(self, main: FrameType | None) -> None:
        """`main` is where the main thread was when it was interrupted."""
        here = threading.get_ident()
        for thread, frame in sys._current_frames().items():  # noqa: SLF001  the only door there is
            self._row[str(thread)][part_of(main if thread == here else frame)] += self._spent_ms(thread)

    def _spent_ms(self, thread: int) -> float:
        """CPU time of a thread since the last look. One that has ended meanwhile took next to nothing."""
        try:
            clock, before = self._clocks.get(thread) or (time.pthread_getcpuclockid(thread), 0.0)
            now = time.clock_gettime(clock)
        except OSError:
            self._clocks.pop(thread, None)
            return 0.0
        self._clocks[thread] = (clock, now)
        return (now - before) * 1e3

    def _next_row(self) -> None:
        """What the process took besides is that of threads without a line of Python: the engine's and the model's."""
        now, whole = time.monotonic(), time.process_time()
        seen = sum(sum(parts.values()) for parts in self._row.values())
        self._row[NATIVE][NATIVE] = max((whole - self._whole) * 1e3 - seen, 0.0)
        told = {thread: {p: round(ms, 3) for p, ms in parts.items() if ms} for thread, parts in self._row.items()}
        self.rows.append((now, {thread: parts for thread, parts in told.items() if parts}))
        self._row.clear()
        self._begun, self._whole = now, whole


def within(rows: Iterable[Row], start: float, end: float) -> dict[str, float]:
    """Milliseconds by part of the rows that ended between two moments, the dearest part first."""
    threads: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for at, row in rows:
        for thread, parts in row.items() if start < at <= end else ():
            for part, ms in parts.items():
                threads[thread][part] += ms
    total: defaultdict[str, float] = defaultdict(float)
    for parts in threads.values():
        for part, ms in _shared_out(parts).items():
            total[part] += ms
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def _shared_out(parts: Mapping[str, float]) -> dict[str, float]:
    """What a thread took, with what it took before it was seen to wait."""
    seen = {part: ms for part, ms in parts.items() if part != WAITING}
    unseen, known = parts.get(WAITING, 0.0), sum(seen.values())
    if not known:
        return {LOOP: unseen} if unseen else {}
    return {part: ms * (known + unseen) / known for part, ms in seen.items()}
