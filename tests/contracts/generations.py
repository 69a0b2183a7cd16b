"""What every store of generations must do. Inherit, and give a `rows` fixture that knows none."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from ingest.generation import Generation, Generations

T = TypeVar("T")
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def states(rows: Generations) -> dict[str, str]:
    return {found.fingerprint: found.state for found in await rows.all()}


async def one(rows: Generations, name: str) -> Generation:
    return next(found for found in await rows.all() if found.fingerprint == name)


class GenerationsContract:
    """At most one generation is live, whatever is called in whatever order, and every call may be made twice."""

    def test_there_is_none_at_first(self, rows: Generations) -> None:
        assert run(rows.all()) == []
        assert run(rows.live()) is None

    def test_the_first_is_live_at_once_and_comes_back_as_it_went_in(self, rows: Generations) -> None:
        async def main() -> None:
            for _ in range(2):
                await rows.found("a", {"model": "minilm", "query_prefix": "q: "}, 384)
            live = await rows.live()
            assert live is not None
            assert (live.fingerprint, live.state, live.dimension) == ("a", "live", 384)
            assert live.recipe == {"model": "minilm", "query_prefix": "q: "}
            assert live.swapped_at is not None
            assert live.swapped_at.tzinfo is UTC
            assert await rows.all() == [live]

        run(main())

    def test_another_recipe_of_the_same_embedder_changes_nothing_else(self, rows: Generations) -> None:
        async def main() -> None:
            await rows.found("a", {}, 0)
            await rows.begin("b", {}, 128)
            await rows.swap("b")
            before = await one(rows, "a")
            await rows.remember("a", {"model": "/elsewhere"}, 384)
            assert await one(rows, "a") == replace(before, recipe={"model": "/elsewhere"}, dimension=384)
            assert await states(rows) == {"a": "retired", "b": "live"}

        run(main())

    def test_what_holds_nothing_gives_way(self, rows: Generations) -> None:
        async def main() -> None:
            await rows.found("a", {}, 384)
            await rows.begin("b", {}, 128)
            await rows.found("c", {}, 64)
            assert await states(rows) == {"a": "dropped", "b": "dropped", "c": "live"}
            await rows.found("a", {}, 384)
            assert (await states(rows))["a"] == "live"

        run(main())

    def test_from_building_to_live_and_back(self, rows: Generations) -> None:
        async def main() -> None:
            await rows.found("a", {}, 384)
            assert (await rows.begin("b", {"dimensions": 128}, 128)).state == "building"
            assert (await one(rows, "b")).in_step_at is None
            await rows.in_step("b", WHEN)
            assert ((await one(rows, "b")).state, (await one(rows, "b")).in_step_at) == ("ready", WHEN)
            for _ in range(2):
                await rows.swap("b")
                assert await states(rows) == {"a": "retired", "b": "live"}
            former, live = await one(rows, "a"), await one(rows, "b")
            assert former.retired_at is not None
            assert former.in_step_at == former.retired_at
            assert live.in_step_at is None
            await rows.swap("a")
            assert await states(rows) == {"a": "live", "b": "retired"}

        run(main())

    def test_an_attempt_that_is_begun_again_keeps_what_is_known(self, rows: Generations) -> None:
        async def main() -> None:
            await rows.found("a", {}, 384)
            await rows.begin("b", {}, 128)
            await rows.in_step("b", WHEN)
            again = await rows.begin("b", {}, 128)
            assert (again.state, again.in_step_at) == ("building", WHEN)
            await rows.drop("b")
            assert (await rows.begin("b", {}, 128)).in_step_at is None  # its files may be half gone

        run(main())

    def test_the_live_one_is_neither_begun_anew_nor_dropped_nor_behind(self, rows: Generations) -> None:
        async def main() -> None:
            before = await rows.found("a", {}, 384)
            assert await rows.begin("a", {"other": 1}, 7) == before
            await rows.drop("a")
            await rows.forget("a")
            await rows.in_step("a", WHEN)
            assert await rows.all() == [before]

        run(main())

    def test_a_swap_to_one_that_is_not_there_changes_nothing(self, rows: Generations) -> None:
        async def main() -> None:
            await rows.found("a", {}, 384)
            with pytest.raises(KeyError):
                await rows.swap("b")
            assert await states(rows) == {"a": "live"}

        run(main())

    def test_a_dropped_one_is_known_until_it_is_forgotten(self, rows: Generations) -> None:
        async def main() -> None:
            await rows.found("a", {}, 384)
            await rows.begin("b", {}, 128)
            await rows.forget("b")
            assert (await states(rows))["b"] == "building"
            await rows.drop("b")
            assert (await states(rows))["b"] == "dropped"
            for _ in range(2):
                await rows.forget("b")
            assert await states(rows) == {"a": "live"}

        run(main())

    def test_scores_are_kept(self, rows: Generations) -> None:
        async def main() -> None:
            await rows.found("a", {}, 384)
            await rows.score("a", {"ndcg@10": 0.75, "questions": 3})
            assert (await one(rows, "a")).scores == {"ndcg@10": 0.75, "questions": 3}

        run(main())
