"""What every engine behind VectorIndex, LexicalIndex and PointStore must do. Inherit and override `engine`."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.filters import AllOf, AnyOf, Filter, Not, OneOf, parsed
from retrieval.model import EmbeddedPassage, EmbeddedQuery, Query, Scope
from retrieval.ports import Point
from tests.contracts.filtering import ELSEWHERE, FILTERS, NOW, ORDERED, RECORDS, VALUES, passes

D = 16
HERE, THERE = Scope("col-here", "here", None), Scope("col-there", "there", None)


def vector(*weights: float) -> EmbeddedQuery:
    values = np.zeros(D, dtype=np.float32)
    values[: len(weights)] = weights
    return EmbeddedQuery(values / np.linalg.norm(values), np.zeros((0, D), dtype=np.float32))


def id_of(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))


def point(name: str, text: str, *weights: float, scope: Scope = HERE, document: str = "doc", **more: Any) -> Point:
    embedded = EmbeddedPassage(vector(*weights).vector, np.zeros((1, D // 8), dtype=np.uint8))
    payload = {"collection_id": scope.collection_id, "document_id": document, "filename": "a.md", **more}
    return Point(id_of(name), embedded, text, payload)


def filled(engine: Any) -> dict[str, str]:
    """Ids of points by id of document, after all documents of both collections were written."""
    embedded = EmbeddedPassage(vector(1).vector, np.zeros((1, D // 8), dtype=np.uint8))
    points = {r.id: Point(id_of(r.id), embedded, "quokka", r.payload()) for r in (*RECORDS, *ELSEWHERE)}
    asyncio.run(engine.upsert(list(points.values())))
    return {document: point.id for document, point in points.items()}


def found_by(engine: Any, scope: Scope, wire: dict[str, Any]) -> set[str]:
    """Ids that both arms find."""

    async def main() -> set[str]:
        query = Query("quokka", scope, parsed(wire, NOW))
        dense = await engine.search_dense(vector(1), query, 99)
        lexical = await engine.search_lexical(query, 99)
        assert {r.id for r in dense} == {r.id for r in lexical}
        return {r.id for r in dense}

    return asyncio.run(main())


class EngineContract:
    """Both arms find nothing but points of the query's collection that pass its filters, and what is written is found at
    once. One engine, opened fresh for each test."""

    @pytest.fixture
    def engine(self) -> Iterator[Any]:
        raise NotImplementedError

    def test_dense_search_gives_the_nearest_first(self, engine: Any) -> None:
        async def main() -> None:
            await engine.upsert([point("x", "x", 1, 0), point("y", "y", 0, 1), point("xy", "xy", 1, 1)])
            found = await engine.search_dense(vector(1, 0.1), Query("", HERE), 2)
            assert [r.id for r in found] == [id_of("x"), id_of("xy")]
            assert found[0].score > found[1].score

        asyncio.run(main())

    def test_an_empty_engine_finds_nothing(self, engine: Any) -> None:
        async def main() -> None:
            assert await engine.search_dense(vector(1), Query("", HERE), 5) == []
            assert await engine.search_lexical(Query("word", HERE), 5) == []
            assert await engine.existing([]) == set()
            assert await engine.count() == 0

        asyncio.run(main())

    @pytest.mark.parametrize(
        "exact", ["ERR_CONN_REFUSED_443", "--max-num-seqs", "app.add_middleware", "GROUNDED_RETRIEVAL__RRF_K"]
    )
    def test_exact_identifiers_are_found_first(self, engine: Any, exact: str) -> None:
        texts = ["connection errors and refusals", "maximum number of sequences", "middleware of an app", "settings"]

        async def main() -> None:
            others = [point(text, text, 1, n) for n, text in enumerate(texts)]
            await engine.upsert([*others, point("it", f"Set {exact} when needed.", 0, 1)])
            found = await engine.search_lexical(Query(f"What does {exact} do?", HERE), 5)
            assert found[0].id == id_of("it")

        asyncio.run(main())

    def test_lexical_search_prefers_rare_words(self, engine: Any) -> None:
        async def main() -> None:
            common = [point(f"c{n}", "the invoice was sent to the customer", 1, n) for n in range(9)]
            await engine.upsert([*common, point("rare", "the invoice mentions a quokka", 0, 1)])
            found = await engine.search_lexical(Query("invoice quokka", HERE), 3)
            assert found[0].id == id_of("rare")
            assert len({r.id for r in found}) == len(found) == 3

        asyncio.run(main())

    def test_a_question_without_words_finds_nothing(self, engine: Any) -> None:
        async def main() -> None:
            await engine.upsert([point("x", "word", 1)])
            assert await engine.search_lexical(Query("?!", HERE), 3) == []

        asyncio.run(main())

    def test_no_search_crosses_a_collection(self, engine: Any) -> None:
        async def main() -> None:
            await engine.upsert([point("mine", "quokka", 1), point("theirs", "quokka", 1, scope=THERE)])
            dense = await engine.search_dense(vector(1), Query("", HERE), 9)
            lexical = await engine.search_lexical(Query("quokka", HERE), 9)
            assert [r.id for r in dense] == [r.id for r in lexical] == [id_of("mine")]
            assert await engine.count(HERE.collection_id) == 1

        asyncio.run(main())

    def test_another_collection_does_not_change_the_weight_of_a_word(self, engine: Any) -> None:
        async def main() -> None:
            await engine.upsert([point("a", "quokka river", 1), point("b", "river", 1)])
            before = await engine.search_lexical(Query("quokka", HERE), 3)
            await engine.upsert([point(f"t{n}", "quokka", 1, scope=THERE) for n in range(20)])
            assert await engine.search_lexical(Query("quokka", HERE), 3) == before

        asyncio.run(main())

    def test_filters_mean_in_both_arms_what_they_say(self, engine: Any) -> None:
        ids = filled(engine)

        @given(st.sampled_from((HERE, THERE)), FILTERS)
        @settings(max_examples=200, deadline=None)
        def holds(scope: Scope, wire: dict[str, Any]) -> None:
            mine = [r for r in (*RECORDS, *ELSEWHERE) if r.collection_id == scope.collection_id]
            assert found_by(engine, scope, wire) == {ids[r.id] for r in mine if passes(r, wire)}

        holds()

    def test_every_operator_on_every_field(self, engine: Any) -> None:
        ids = filled(engine)
        operators = {key: ("eq", "ne", "gt", "gte", "lt", "lte") if key in ORDERED else ("eq", "ne") for key in VALUES}
        for key, value in ((key, value) for key, values in VALUES.items() for value in values):
            for operator in operators[key]:
                wire = {"type": operator, "key": key, "value": value}
                assert found_by(engine, HERE, wire) == {ids[r.id] for r in RECORDS if passes(r, wire)}, wire

    def test_all_of_nothing_is_everything_and_any_of_nothing_is_nothing(self, engine: Any) -> None:
        cases: list[tuple[Filter, bool]] = [
            (AllOf(()), True),
            (AnyOf(()), False),
            (Not(AnyOf(())), True),
            (AllOf((AnyOf(()),)), False),
            (AnyOf((AnyOf(()), AllOf(()))), True),
            (OneOf("filename", ()), False),
            (Not(OneOf("page", ())), True),
        ]

        async def main() -> None:
            await engine.upsert([point("x", "quokka", 1)])
            for wanted, found in cases:
                query = Query("quokka", HERE, wanted)
                assert bool(await engine.search_dense(vector(1), query, 3)) is found, wanted
                assert bool(await engine.search_lexical(query, 3)) is found, wanted

        asyncio.run(main())

    @pytest.mark.parametrize("groups", [(), ("hr",), ("board",), ("hr", "board"), ("*",), ("nobody",)])
    def test_nobody_finds_what_is_not_for_their_groups(self, engine: Any, groups: tuple[str, ...]) -> None:
        ids = filled(engine)
        scope = Scope(HERE.collection_id, "here", frozenset(groups))
        mine = [r for r in RECORDS if not r.metadata.access or set(r.metadata.access) & set(groups)]
        assert 0 < len(mine) < len(RECORDS) or set(groups) >= {"hr", "board"}

        @given(FILTERS)
        @settings(max_examples=60, deadline=None)
        def holds(wire: dict[str, Any]) -> None:
            assert found_by(engine, scope, wire) == {ids[r.id] for r in mine if passes(r, wire)}

        holds()
        assert found_by(engine, scope, {}) == {ids[r.id] for r in mine}

    def test_a_point_that_does_not_say_who_may_read_it_is_for_nobody(self, engine: Any) -> None:
        async def main() -> None:
            await engine.upsert([point("x", "quokka", 1)])

        asyncio.run(main())
        assert found_by(engine, HERE, {}) == {id_of("x")}
        assert found_by(engine, Scope(HERE.collection_id, "here", frozenset({"hr"})), {}) == set()

    def test_what_one_may_not_read_does_not_change_the_weight_of_a_word(self, engine: Any) -> None:
        asker = Scope(HERE.collection_id, "here", frozenset({"hr"}))

        async def main() -> None:
            mine = [point("a", "quokka river", 1, access=["*"]), point("b", "river", 1, access=["hr"])]
            await engine.upsert(mine)
            before = await engine.search_lexical(Query("quokka", asker), 3)
            assert before
            await engine.upsert([point(f"t{n}", "quokka", 1, access=["board"]) for n in range(20)])
            assert await engine.search_lexical(Query("quokka", asker), 3) == before

        asyncio.run(main())

    def test_what_is_known_of_a_point_can_be_changed_alone(self, engine: Any) -> None:
        payload = {"collection_id": HERE.collection_id, "document_id": "doc", "filename": "a.md"}

        async def main() -> None:
            await engine.upsert([point("x", "quokka", 1, tags=["old"], page=3), point("y", "quokka", 1, tags=["old"])])
            assert await engine.describe({id_of("x"): {**payload, "tags": ["new"]}, id_of("absent"): payload}) == 1
            assert await engine.describe({id_of("x"): {**payload, "tags": ["new"]}}) == 0
            assert await engine.describe({}) == 0
            assert await engine.existing([id_of("absent")]) == set()

        asyncio.run(main())
        assert found_by(engine, HERE, {"tags": "new"}) == {id_of("x")}
        assert found_by(engine, HERE, {"tags": "old"}) == {id_of("y")}
        assert found_by(engine, HERE, {"page": 3}) == set()
        assert found_by(engine, HERE, {"filename": "a.md"}) == {id_of("x"), id_of("y")}

    def test_upsert_twice_is_once_and_the_last_wins(self, engine: Any) -> None:
        async def main() -> None:
            await engine.upsert([point("x", "old", 1, 0)])
            await engine.upsert([point("x", "new", 0, 1)])
            assert await engine.count() == 1
            assert await engine.search_lexical(Query("old", HERE), 3) == []
            assert [r.id for r in await engine.search_lexical(Query("new", HERE), 3)] == [id_of("x")]

        asyncio.run(main())

    def test_deleting_a_document_keeps_what_is_to_be_kept(self, engine: Any) -> None:
        async def main() -> None:
            await engine.upsert([point(n, "word", 1, document="d1") for n in ("a", "b", "c")])
            await engine.upsert([point("other", "word", 1, document="d2")])
            gone = await engine.delete_document("d1", {id_of("b")})
            assert set(gone) == {id_of("a"), id_of("c")}
            assert await engine.existing([id_of(n) for n in ("a", "b", "c", "other")]) == {id_of("b"), id_of("other")}
            assert await engine.delete_document("d1", {id_of("b")}) == []

        asyncio.run(main())


class DurableEngineContract(EngineContract):
    """Engines that keep their points when they are closed. Override `reopening`."""

    @pytest.fixture
    def reopening(self) -> Callable[[], AbstractContextManager[Any]]:
        raise NotImplementedError

    def test_points_outlive_the_engine(self, reopening: Callable[[], AbstractContextManager[Any]]) -> None:
        def within(work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
            with reopening() as engine:
                return asyncio.run(work(engine))

        within(lambda engine: engine.upsert([point("x", "quokka", 1)]))
        found = within(lambda engine: engine.search_lexical(Query("quokka", HERE), 3))
        assert [r.id for r in found] == [id_of("x")]
