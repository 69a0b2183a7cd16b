"""A model's batches across callers: what several ask for at the same time is computed together, on one thread.

A caller who leaves takes along what has not begun; the batch that runs ends on its own. Nobody is overtaken for ever: each
batch begins with the oldest caller's longest item and is filled up with the longest that fit beside it.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")


@dataclass(eq=False, slots=True)
class Call(Generic[R]):
    """One caller's items, with what is known of them so far."""

    missing: int
    results: dict[int, R] = field(default_factory=dict)
    future: "Future[list[R]]" = field(default_factory=Future)

    def take(self, place: int, result: R) -> None:
        """The last result ends the wait of whoever is still there."""
        self.results[place] = result
        self.missing -= 1
        if not self.missing and self.future.set_running_or_notify_cancel():
            self.future.set_result([self.results[i] for i in range(len(self.results))])

    def fail(self, error: BaseException) -> None:
        """One part that failed fails the whole; twice is as once."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


@dataclass(frozen=True, eq=False, slots=True)
class Item(Generic[T, R]):
    """Something to compute: `length` tokens of work for a caller, at a place of theirs."""

    content: T
    length: int
    place: int
    call: Call[R]


class MicroBatches(Generic[T, R]):
    """`run` computes the results of a batch, in order, on our thread. A batch has at most `batch_tokens` tokens with its
    padding: its longest item times their number."""

    def __init__(self, run: Callable[[Sequence[T]], Sequence[R]], batch_tokens: int, name: str) -> None:
        self._run = run
        self._batch_tokens = batch_tokens
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._waiting: list[Item[T, R]] = []

    async def results(self, contents: Sequence[T], lengths: Sequence[int]) -> list[R]:
        """One result for each, in order. Raises what `run` raises."""
        if not contents:
            return []
        call: Call[R] = Call(len(contents))
        pairs = zip(contents, lengths, strict=True)
        items = [Item(content, length, i, call) for i, (content, length) in enumerate(pairs)]
        with self._lock:
            self._waiting += items
        self._thread.submit(self._work)
        return await asyncio.wrap_future(call.future)

    async def once(self, work: Callable[[], S]) -> S:
        """Something else on the same thread, in line with the batches."""
        return await asyncio.wrap_future(self._thread.submit(work))

    def close(self) -> None:
        """End the thread; what waits is dropped, and told so."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            left, self._waiting = self._waiting, []
        for item in left:
            item.call.future.cancel()

    def _work(self) -> None:
        """One batch; then in line again, so that whatever else is to be done on this thread gets its turn."""
        with self._lock:
            present = [item for item in self._waiting if not item.call.future.done()]
            batch = chosen(present, self._batch_tokens)
            taken = set(map(id, batch))
            self._waiting = [item for item in present if id(item) not in taken]
        if batch:
            self._compute(batch)
        if self._waiting:
            self._thread.submit(self._work)

    def _compute(self, batch: Sequence[Item[T, R]]) -> None:
        try:
            results = self._run([item.content for item in batch])
            for item, result in zip(batch, results, strict=True):
                item.call.take(item.place, result)
        except Exception as error:  # noqa: BLE001  whatever the model raises belongs to those who asked
            for item in batch:
                item.call.fail(error)


def chosen(waiting: Sequence[Item[T, R]], batch_tokens: int) -> list[Item[T, R]]:
    """The next batch of those that wait, oldest caller first: a function of the line alone."""
    if not waiting:
        return []
    oldest = waiting[0].call
    first = max((item for item in waiting if item.call is oldest), key=lambda item: item.length)
    others = [item for item in waiting if item is not first and item.length <= first.length]
    longest_first = [first, *sorted(others, key=lambda item: -item.length)]
    return longest_first[: max(1, batch_tokens // max(first.length, 1))]
