"""What the engine is not asked changes nothing of what it finds; and codes of a few bits find what vectors find."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.model import EmbeddedPassage, EmbeddedQuery, Query, Ranked, Scope
from retrieval.ports import Point
from tests.contracts.engine import HERE, THERE, D, id_of, point, vector

QUESTION = Query("harbour quokka w3", HERE)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[QdrantEdgeIndex]:
    engine = QdrantEdgeIndex(tmp_path / "shard", D)
    yield engine
    asyncio.run(engine.close())


def points(scope: Scope, count: int) -> list[Point]:
    name = scope.collection
    return [
        point(f"{name}{n}", f"harbour w{n % 7} " * (1 + n % 3), 1, n % 11, n, scope=scope, document=f"{name}-{n % 4}")
        for n in range(count)
    ]


async def both(engine: QdrantEdgeIndex, query: Query) -> tuple[list[Ranked], list[Ranked]]:
    return await engine.search_dense(vector(1, 2, 3), query, 30), await engine.search_lexical(query, 30)


async def scores(engine: QdrantEdgeIndex) -> list[list[float]]:
    """Which of equals are among the first 30 may differ."""
    return [[entry.score for entry in found] for found in await both(engine, QUESTION)]


def needs(engine: QdrantEdgeIndex, query: Query) -> bool:
    return engine._holdings.needed(query.confined) is not None


def test_a_shard_of_one_collection_is_not_asked_for_it(engine: QdrantEdgeIndex) -> None:
    async def main() -> None:
        await engine.upsert(points(HERE, 90))
        assert not needs(engine, QUESTION)
        assert engine._holdings.corpus(HERE.filter) is None
        bare = await both(engine, QUESTION)
        engine._holdings._collections.add("another")
        assert needs(engine, QUESTION)
        assert await both(engine, QUESTION) == bare
        assert len(bare[0]) == len(bare[1]) == 30

    asyncio.run(main())


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_statistics_forget_what_is_gone(tmp_path: Path, how: str) -> None:
    """As in a shard that never held it, also when it is opened again."""

    async def main() -> None:
        left = [each for each in points(HERE, 60) if each.payload["document_id"] != "here-2"]
        fresh = QdrantEdgeIndex(tmp_path / "fresh", D)
        await fresh.upsert(left)
        expected = await scores(fresh)
        await fresh.close()
        engine = QdrantEdgeIndex(tmp_path / "shard", D)
        await engine.upsert(left if how == "replaced" else points(HERE, 60))
        if how == "replaced":
            await engine.upsert(left)
        else:
            await engine.delete_document("here-2", ())
        for _ in range(2):
            assert not needs(engine, QUESTION)
            assert await scores(engine) == expected
            await engine.close()
            engine = QdrantEdgeIndex(tmp_path / "shard", D)
        await engine.close()

    asyncio.run(main())


def test_of_another_collection_nothing_is_found_from_its_first_point_on(engine: QdrantEdgeIndex) -> None:
    async def main() -> None:
        await engine.upsert(points(HERE, 20))
        assert not needs(engine, QUESTION)
        before = await both(engine, QUESTION)
        await engine.upsert(points(THERE, 50))
        assert needs(engine, QUESTION)
        assert await both(engine, QUESTION) == before
        assert await both(engine, Query("harbour", Scope("col-nowhere", "nowhere", None))) == ([], [])

    asyncio.run(main())


@pytest.mark.parametrize(("scopes", "asked"), [((HERE,), False), ((HERE, THERE), True)])
def test_what_a_shard_holds_is_known_when_it_is_opened_again(tmp_path: Path, scopes: list[Scope], asked: bool) -> None:
    engine = QdrantEdgeIndex(tmp_path / "shard", D)
    asyncio.run(engine.upsert([each for scope in scopes for each in points(scope, 12)]))
    before = asyncio.run(both(engine, QUESTION))
    asyncio.run(engine.close())
    engine = QdrantEdgeIndex(tmp_path / "shard", D)
    assert needs(engine, QUESTION) is asked
    assert asyncio.run(both(engine, QUESTION)) == before
    asyncio.run(engine.close())


class Mixed:
    """A shard into which points of two collections come, change their collection and go in any order, and what it holds."""

    def __init__(self, engine: QdrantEdgeIndex, seed: int) -> None:
        self.engine = engine
        self.held: dict[str, Scope] = {}
        self._draw = Random(seed)

    async def change(self) -> None:
        names = list(dict.fromkeys(str(self._draw.randrange(12)) for _ in range(self._draw.randint(1, 4))))
        await self._draw.choice((self._upsert, self._upsert, self._describe, self._delete))(names)

    async def found(self, scope: Scope) -> list[list[str]]:
        """Ids that each arm finds."""
        return [sorted(entry.id for entry in arm) for arm in await both(self.engine, Query("harbour", scope))]

    def expected(self, scope: Scope) -> list[str]:
        return sorted(id_of(name) for name, owner in self.held.items() if owner == scope)

    async def _upsert(self, names: list[str]) -> None:
        scope = self._draw.choice((HERE, HERE, HERE, THERE))
        await self.engine.upsert([self._point(name, scope) for name in names])
        self.held |= dict.fromkeys(names, scope)

    async def _describe(self, names: list[str]) -> None:
        scopes = {name: self._draw.choice((HERE, THERE)) for name in names}
        await self.engine.describe({id_of(name): self._point(name, scope).payload for name, scope in scopes.items()})
        self.held |= {name: scope for name, scope in scopes.items() if name in self.held}

    async def _delete(self, names: list[str]) -> None:
        await self.engine.delete_document(f"doc-{names[0]}", ())
        self.held.pop(names[0], None)

    def _point(self, name: str, scope: Scope) -> Point:
        return point(name, "harbour", 1, int(name), scope=scope, document=f"doc-{name}")


@pytest.mark.parametrize("seed", range(3))
def test_nothing_of_another_collection_is_found_whatever_was_written_before(tmp_path: Path, seed: int) -> None:
    """Each collection finds its own points by both arms, all of them and no others, also in a shard that was closed, or left
    behind by a kill, and opened again."""

    async def main() -> None:
        mixed = Mixed(QdrantEdgeIndex(tmp_path / "first", D), seed)
        for step in range(24):
            await mixed.change()
            if step == 8:  # as a kill leaves it
                shutil.copytree(tmp_path / "first", tmp_path / "left")
            if step in (8, 16):
                await mixed.engine.close()
                mixed.engine = QdrantEdgeIndex(tmp_path / "left", D)
            for scope in (HERE, THERE, Scope("col-nowhere", "nowhere", None)):
                assert await mixed.found(scope) == [mixed.expected(scope)] * 2
        await mixed.engine.close()

    asyncio.run(main())


def test_who_may_read_is_always_asked(engine: QdrantEdgeIndex) -> None:
    async def main() -> None:
        await engine.upsert([point("open", "harbour", 1, access=["*"]), point("closed", "harbour", 1, access=["boss"])])
        mine = Query("harbour", Scope(HERE.collection_id, HERE.collection, frozenset({"staff"})))
        assert not needs(engine, QUESTION)
        assert needs(engine, mine)
        assert [[r.id for r in found] for found in await both(engine, mine)] == [[id_of("open")]] * 2

    asyncio.run(main())


def test_codes_find_what_the_vectors_find(tmp_path: Path) -> None:
    """Vectors without any structure are the hardest: all are about as far from the question."""
    draw, size, wide = np.random.default_rng(5), 2000, 384
    made = draw.standard_normal((size, wide)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    payload = {"collection_id": HERE.collection_id, "document_id": "d"}
    ids = [id_of(str(n)) for n in range(size)]
    bits = np.zeros((1, wide // 8), dtype=np.uint8)
    engine = QdrantEdgeIndex(tmp_path / "shard", wide)

    async def main() -> None:
        stored = (Point(i, EmbeddedPassage(v, bits), "word", payload) for i, v in zip(ids, made, strict=True))
        await engine.upsert(list(stored))
        for drawn in draw.standard_normal((10, wide)).astype(np.float32):
            asked = drawn / np.linalg.norm(drawn)
            scores = made @ asked
            best = np.argsort(-scores)[:50]
            found = await engine.search_dense(EmbeddedQuery(asked, made[:0]), QUESTION, 50)
            assert len({r.id for r in found} & {ids[i] for i in best}) >= 49
            assert [r.id for r in found[:10]] == [ids[i] for i in best[:10]]
            assert found[0].score == pytest.approx(float(scores[best[0]]), abs=1e-5)  # of the vectors, not of the codes
        await engine.close()

    asyncio.run(main())
