"""Whom a search serves is decided in one place, `Scope.filter`: whatever it says confines every arm of every backend."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.filters import AllOf, AnyOf, Filter, OneOf
from retrieval.model import Query, Scope
from tests.contracts.engine import HERE, D, id_of, point, vector
from tests.fakes import MemoryEngine
from tests.retrieval.test_rank_bm25 import Corpus

MINE = Scope(HERE.collection_id, "here", frozenset({"hr"}))
POINTS = [
    point("open", "quokka", 1, access=["*"], tags=["a"]),
    point("hr", "quokka", 1, access=["hr"], tags=["b"]),
    point("board", "quokka", 1, access=["board"], tags=["a"]),
    point("silent", "quokka", 1, tags=["a"]),
]
ENGINES: dict[str, Callable[[Path], Any]] = {
    "qdrant_edge": lambda folder: QdrantEdgeIndex(folder / "shard", D),
    "rank_bm25": lambda _: Corpus(),
    "memory": lambda _: MemoryEngine(),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    engine = ENGINES[request.param](tmp_path)
    asyncio.run(engine.upsert(POINTS))
    yield engine
    if hasattr(engine, "close"):
        asyncio.run(engine.close())


@pytest.fixture(params=["dense", "bm25"])
def arm(request: pytest.FixtureRequest, engine: Any) -> Callable[[Query], set[str]]:
    """Ids that one arm finds."""

    def found(query: Query) -> set[str]:
        search = (
            engine.search_dense(vector(1), query, 9) if request.param == "dense" else engine.search_lexical(query, 9)
        )
        return {entry.id for entry in asyncio.run(search)}

    return found


def ids(*names: str) -> set[str]:
    return {id_of(name) for name in names}


def test_an_arm_finds_what_the_scope_lets_through_and_the_filters_below_it(arm: Callable[[Query], set[str]]) -> None:
    assert arm(Query("quokka", MINE)) == ids("open", "hr")
    assert arm(Query("quokka", MINE, OneOf("tags", ("a",)))) == ids("open")
    assert arm(Query("quokka", replace(MINE, groups=None))) == ids("open", "hr", "board", "silent")
    assert arm(Query("quokka", replace(MINE, collection_id="another"))) == set()


@pytest.mark.parametrize(
    ("says", "expected"),
    [(AnyOf(()), ()), (OneOf("access", ("board",)), ("board",)), (AllOf(()), ("open", "hr", "board", "silent"))],
)
def test_there_is_no_other_place(
    arm: Callable[[Query], set[str]], monkeypatch: pytest.MonkeyPatch, says: Filter, expected: tuple[str, ...]
) -> None:
    """With another `Scope.filter` every arm finds what that one lets through, and a client's filter does not widen it."""
    monkeypatch.setattr(Scope, "filter", property(lambda _: says))
    assert arm(Query("quokka", MINE)) == ids(*expected)
    assert arm(Query("quokka", MINE, AnyOf((AllOf(()), OneOf("access", ("hr",)))))) == ids(*expected)
