"""Batches across callers: everything is computed once, nothing is overtaken for ever, who leaves takes their work along."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.adapters.micro_batches import Call, Item, MicroBatches, chosen


def line(*lengths: Sequence[int]) -> list[Item[str, int]]:
    """What waits: for each caller, items of these lengths."""
    calls = [Call[int](len(mine)) for mine in lengths]
    return [Item("", n, i, call) for call, mine in zip(calls, lengths, strict=True) for i, n in enumerate(mine)]


@given(st.lists(st.lists(st.integers(1, 600), min_size=1, max_size=8), min_size=1, max_size=6), st.integers(1, 1000))
def test_every_batch_fits_and_the_line_comes_to_its_end(lengths: list[list[int]], limit: int) -> None:
    waiting = line(*lengths)
    left = len(waiting)
    while waiting:
        batch = chosen(waiting, limit)
        assert len(batch) == 1 or len(batch) * max(item.length for item in batch) <= limit
        assert any(item.call is waiting[0].call for item in batch)
        waiting = [item for item in waiting if item not in batch]
        assert len(waiting) == left - len(batch)
        left = len(waiting)


def test_equals_share_a_batch_whoever_asked() -> None:
    waiting = line([100, 20], [100, 90], [200])
    assert [item.length for item in chosen(waiting, 300)] == [100, 100, 90]
    assert chosen([], 300) == []


class Model:
    """Doubles numbers, slowly if told to, and notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Event()
        self.threads: set[int] = set()

    def run(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.free.wait(60)
        if 13 in numbers:
            raise ArithmeticError
        return [2 * number for number in numbers]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def batches(model: Model) -> Iterator[MicroBatches[int, int]]:
    made = MicroBatches(model.run, 10, "test")
    yield made
    model.free.set()
    made.close()


def test_results_come_in_order(batches: MicroBatches[int, int], model: Model) -> None:
    numbers = list(range(20, 45))
    lengths = [n % 7 + 1 for n in numbers]
    assert asyncio.run(batches.results(numbers, lengths)) == [2 * n for n in numbers]
    assert sorted(n for batch in model.batches for n in batch) == numbers
    assert asyncio.run(batches.results([], [])) == []
    assert len(model.threads) == 1


async def _held(model: Model, batches: MicroBatches[int, int]) -> "asyncio.Task[list[int]]":
    """The model is busy with a first batch until it is set free."""
    model.free.clear()
    first = asyncio.create_task(batches.results([1], [10]))
    await asyncio.to_thread(model.begun.wait, 60)
    return first


def test_callers_who_wait_share_batches(batches: MicroBatches[int, int], model: Model) -> None:
    async def main() -> list[list[int]]:
        first = await _held(model, batches)
        others = [asyncio.create_task(batches.results([n, n + 1], [2, 2])) for n in (20, 30)]
        await asyncio.sleep(0.05)
        model.free.set()
        return [await first, *[await other for other in others]]

    assert asyncio.run(main()) == [[2], [40, 42], [60, 62]]
    assert [len(batch) for batch in model.batches] == [1, 4]


def test_who_leaves_takes_along_what_has_not_begun(batches: MicroBatches[int, int], model: Model) -> None:
    async def main() -> None:
        first = await _held(model, batches)
        gone = asyncio.create_task(batches.results([20, 21], [2, 2]))
        stays = asyncio.create_task(batches.results([30], [2]))
        await asyncio.sleep(0.05)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        model.free.set()
        assert await first == [2]
        assert await stays == [60]

    asyncio.run(main())
    assert model.batches == [[1], [30]]


def test_who_leaves_during_their_batch_hurts_nobody(batches: MicroBatches[int, int], model: Model) -> None:
    async def main() -> None:
        first = await _held(model, batches)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        model.free.set()
        assert await batches.results([5], [1]) == [10]

    asyncio.run(main())


def test_a_batch_that_fails_fails_its_callers_alone(batches: MicroBatches[int, int]) -> None:
    async def main() -> None:
        with pytest.raises(ArithmeticError):
            await batches.results([13, 7, 8, 9], [10, 10, 10, 10])
        assert await batches.results([5], [1]) == [10]

    asyncio.run(main())


def test_other_work_takes_its_turn_on_the_same_thread(batches: MicroBatches[int, int], model: Model) -> None:
    async def main() -> None:
        await batches.results([1], [1])
        assert await batches.once(threading.get_ident) in model.threads

    asyncio.run(main())
