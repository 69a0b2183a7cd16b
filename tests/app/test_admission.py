"""Who is let in, in which order: work that nobody waits for never stands before a question that somebody waits for."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from app.admission import Admission, SpareAdmission
from app.errors import Overloaded, ShuttingDown


class Visit:
    """Somebody who asks to be let in, stays until told to go, and is written down when let in."""

    def __init__(self, name: str, door: AbstractAsyncContextManager[None], inside: list[str]) -> None:
        self._name, self._door, self._inside = name, door, inside
        self._go = asyncio.Event()
        self.task = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        async with self._door:
            self._inside.append(self._name)
            await self._go.wait()

    async def leave(self) -> None:
        self._go.set()
        await self.task


async def settled() -> None:
    """Everybody who can move has moved."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_places_are_limited_and_the_line_too() -> None:
    async def main() -> None:
        inside: list[str] = []
        admission = Admission(2, 1)
        visits = [Visit(name, admission.admit(), inside) for name in "abc"]
        await settled()
        assert inside == ["a", "b"]
        with pytest.raises(Overloaded):
            async with admission.admit():
                pass
        await visits[0].leave()
        await settled()
        assert inside == ["a", "b", "c"]
        for visit in visits[1:]:
            await visit.leave()

    run(main)


def test_a_batch_takes_only_what_is_to_spare() -> None:
    async def main() -> None:
        inside: list[str] = []
        admission = Admission(2, 8)
        spare = SpareAdmission(admission, 8)
        asked = [Visit(f"ask {n}", admission.admit(), inside) for n in range(2)]
        await settled()
        batch = [Visit(f"batch {n}", spare.admit(), inside) for n in range(3)]
        await settled()
        assert inside == ["ask 0", "ask 1"]
        await asked[0].leave()
        await settled()
        assert inside[2:] == ["batch 0"]
        await asked[1].leave()
        await settled()
        assert inside[3:] == ["batch 1"]
        for visit in batch:
            await visit.leave()
        assert inside[4:] == ["batch 2"]

    run(main)


def test_whoever_asks_never_waits_for_a_batch() -> None:
    async def main() -> None:
        inside: list[str] = []
        admission = Admission(2, 8)
        spare = SpareAdmission(admission, 8)
        batch = [Visit(f"batch {n}", spare.admit(), inside) for n in range(5)]
        await settled()
        assert inside == ["batch 0", "batch 1"]
        asked = [Visit(f"ask {n}", admission.admit(), inside) for n in range(3)]
        await settled()
        assert inside[2:] == ["ask 0", "ask 1"]  # at once, with both places in a batch's hands
        await batch[0].leave()
        await batch[1].leave()
        await settled()
        assert len(inside) == 4  # they did not make room for the batch's next ones: somebody waits
        await asked[0].leave()
        await settled()
        assert inside[4:] == ["ask 2"]
        for visit in asked[1:]:
            await visit.leave()
        await settled()
        assert inside[5:] == ["batch 2", "batch 3"]
        for visit in batch[2:]:
            await visit.leave()

    run(main)


def test_a_hundred_questions_beside_a_batch_are_let_in_as_if_there_were_none() -> None:
    async def order(batches: int) -> list[str]:
        inside: list[str] = []
        admission = Admission(3, 1000)
        spare = SpareAdmission(admission, 2)
        batch = [Visit(f"batch {n}", spare.admit(), inside) for n in range(batches)]
        await settled()
        asked = [Visit(f"ask {n}", admission.admit(), inside) for n in range(100)]
        steps = []
        for visit in asked:
            await settled()
            steps.append(sum(name.startswith("ask") for name in inside))
            await visit.leave()
        for visit in batch:
            await visit.leave()
        return [*[name for name in inside if name.startswith("ask")], *map(str, steps)]

    async def main() -> None:
        assert await order(0) == await order(50)

    run(main)


def test_at_most_so_many_of_a_batch_at_once() -> None:
    async def main() -> None:
        inside: list[str] = []
        spare = SpareAdmission(Admission(8, 8), 2)
        batch = [Visit(f"batch {n}", spare.admit(), inside) for n in range(4)]
        await settled()
        assert inside == ["batch 0", "batch 1"]
        for visit in batch:
            await visit.leave()

    run(main)


def test_one_that_is_canceled_leaves_its_place() -> None:
    async def main() -> None:
        inside: list[str] = []
        admission = Admission(1, 8)
        spare = SpareAdmission(admission, 8)
        asked = Visit("ask", admission.admit(), inside)
        await settled()
        batch = [Visit(f"batch {n}", spare.admit(), inside) for n in range(3)]
        await settled()
        batch[0].task.cancel()
        await asyncio.gather(batch[0].task, return_exceptions=True)
        await asked.leave()
        await settled()
        assert inside == ["ask", "batch 1"]
        batch[1].task.cancel()
        await asyncio.gather(batch[1].task, return_exceptions=True)
        await settled()
        assert inside == ["ask", "batch 1", "batch 2"]
        await batch[2].leave()

    run(main)


def test_at_the_end_nobody_of_a_batch_is_let_in_and_nobody_told_off() -> None:
    async def main() -> None:
        inside: list[str] = []
        admission = Admission(1, 8)
        asked = Visit("ask", admission.admit(), inside)
        await settled()
        waits = Visit("batch", SpareAdmission(admission, 1).admit(), inside)
        await settled()
        admission.close()
        with pytest.raises(ShuttingDown):
            async with admission.admit():
                pass
        await asked.leave()
        await settled()
        assert inside == ["ask"]
        assert not waits.task.done()
        waits.task.cancel()
        await asyncio.gather(waits.task, return_exceptions=True)

    run(main)


def test_one_key_does_not_take_the_whole_line() -> None:
    async def main() -> None:
        inside: list[str] = []
        admission = Admission(1, 4)
        first = Visit("a0", admission.admit("a"), inside)
        await settled()
        many = [Visit(f"a{n}", admission.admit("a"), inside) for n in range(1, 5)]
        await settled()
        with pytest.raises(Overloaded):
            async with admission.admit("a"):
                pass
        stranger = Visit("b1", admission.admit("b"), inside)
        await settled()
        last = many.pop()  # of those who had most waiting
        assert last.task.done()
        with pytest.raises(Overloaded):
            await last.task
        for visit in (first, many[0], stranger, *many[1:]):  # and keys take turns
            await visit.leave()
        assert inside == ["a0", "a1", "b1", "a2", "a3"]

    run(main)


def test_who_waits_too_long_is_turned_away() -> None:
    async def main() -> None:
        inside: list[str] = []
        admission = Admission(1, 4, max_wait_s=0.05)
        first = Visit("a", admission.admit(), inside)
        await settled()
        late = Visit("b", admission.admit(), inside)
        with pytest.raises(Overloaded):
            await late.task
        await first.leave()
        async with admission.admit():  # nobody holds the place that it did not get
            pass

    run(main)


def test_a_refusal_tells_when_to_come_again_by_how_fast_the_line_goes() -> None:
    async def main() -> None:
        at, inside = 0.0, list[str]()
        admission = Admission(1, 2, 30.0, clock=lambda: at)
        visits = [Visit(str(n), admission.admit(), inside) for n in range(3)]
        await settled()
        with pytest.raises(Overloaded) as unknown:
            async with admission.admit():
                pass
        assert unknown.value.retry_after is None
        assert unknown.value.details == {"waiting": 2, "running": 1}
        at += 6
        await visits[0].leave()
        visits.append(Visit("3", admission.admit(), inside))
        await settled()
        with pytest.raises(Overloaded) as known:
            async with admission.admit():
                pass
        assert known.value.retry_after == 18  # three before it, six seconds each
        at += 30
        with pytest.raises(Overloaded):  # the line stands still: nobody would get in while they may wait
            async with admission.admit():
                pass
        for visit in visits[1:]:
            await visit.leave()

    run(main)


def test_a_place_that_is_given_to_somebody_who_leaves_is_not_lost() -> None:
    async def main() -> None:
        inside: list[str] = []
        admission = Admission(1, 4)
        first = Visit("a", admission.admit(), inside)
        await settled()
        second = Visit("b", admission.admit(), inside)
        third = Visit("c", admission.admit(), inside)
        await settled()
        first._go.set()
        await asyncio.sleep(0)
        second.task.cancel()  # whether the place is theirs by now or not
        await asyncio.gather(second.task, return_exceptions=True)
        await settled()
        assert inside[-1] == "c"
        await third.leave()
        await first.task

    run(main)
