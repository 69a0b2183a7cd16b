"""The embedded engine keeps the contract, and what is its own."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from rank_bm25 import BM25Okapi

from ingest.errors import StorageFull
from retrieval.adapters.lexical_terms import MEAN_TERMS
from retrieval.adapters.qdrant_edge import QdrantEdgeIndex
from retrieval.model import Query
from tests.contracts.engine import HERE, D, DurableEngineContract, id_of, point


@contextmanager
def opened(folder: Path) -> Iterator[QdrantEdgeIndex]:
    engine = QdrantEdgeIndex(folder, D)
    try:
        yield engine
    finally:
        asyncio.run(engine.close())


def holes(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and p.stat().st_blocks * 512 < p.stat().st_size]


class TestQdrantEdge(DurableEngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[QdrantEdgeIndex]:
        with opened(tmp_path / "shard") as engine:
            yield engine

    @pytest.fixture
    def reopening(self, tmp_path: Path) -> Callable[[], AbstractContextManager[QdrantEdgeIndex]]:
        return lambda: opened(tmp_path / "shard")

    def test_scores_are_those_of_the_formula(self, engine: QdrantEdgeIndex) -> None:
        """BM25 (Robertson and Zaragoza 2009) with the engine's fixed mean length; for one word the idf is common."""
        texts = [
            "harbour lights guide ships",
            "ships sail past harbour walls when harbour bells ring",
            "harbour harbour harbour",
            "walls guard old towns",
        ]
        k, b, mean = 1.2, 0.75, MEAN_TERMS

        def weight(text: str) -> float:
            words = [word for word in text.split() if word != "when"]  # the one stop word
            tf = words.count("harbour")
            return tf * (k + 1) / (tf + k * (1 - b + b * len(words) / mean))

        async def main() -> None:
            await engine.upsert([point(text, text, 1, n) for n, text in enumerate(texts)])
            found = {r.id: r.score for r in await engine.search_lexical(Query("harbour", HERE), 9)}
            expected = {id_of(text): weight(text) for text in texts if "harbour" in text}
            assert found.keys() == expected.keys()
            idf = found[id_of(texts[0])] / expected[id_of(texts[0])]
            assert found == pytest.approx({i: idf * w for i, w in expected.items()}, rel=1e-3)

        asyncio.run(main())

    def test_three_words_rank_as_with_rank_bm25(self, engine: QdrantEdgeIndex) -> None:
        """Words that each text holds once, texts of one length: then the two differ in scale alone."""
        texts = ["ant bee cow dog", "ant bee fox gnu", "ant hen ibis jay", "kiwi lark mole newt", "owl pug rat seal"]
        oracle = BM25Okapi([text.split() for text in texts], k1=1.2, b=0.75)
        expected = sorted(zip(oracle.get_scores(["bee", "cow", "hen"]), texts, strict=True), reverse=True)

        async def main() -> None:
            await engine.upsert([point(text, text, 1, n) for n, text in enumerate(texts)])
            found = await engine.search_lexical(Query("bee cow hen", HERE), 9)
            assert [r.id for r in found] == [id_of(text) for score, text in expected if score > 0]

        asyncio.run(main())

    def test_what_a_cut_short_creation_left_behind_is_replaced(self, tmp_path: Path) -> None:
        folder = tmp_path / "half"
        (folder / "segments").mkdir(parents=True)
        with opened(folder) as engine:
            assert asyncio.run(engine.count()) == 0

    def test_a_damaged_shard_is_moved_aside_and_an_empty_one_takes_its_place(self, tmp_path: Path) -> None:
        folder = tmp_path / "shard"
        for _ in range(2):
            folder.mkdir(exist_ok=True)
            (folder / "edge_config.json").write_text("{")
            with opened(folder) as engine:
                assert asyncio.run(engine.count()) == 0
                asyncio.run(engine.upsert([point("x", "x", 1)]))
            assert (tmp_path / "shard.damaged" / "edge_config.json").read_text() == "{"

    def test_every_byte_of_its_files_has_a_place_on_the_disk(self, tmp_path: Path) -> None:
        """A hole in a mapped file has none, and on a full disk the process would be killed for touching it."""
        with opened(tmp_path / "shard") as engine:
            asyncio.run(engine.upsert([point(str(n), "word", 1, n) for n in range(300)]))
            assert not holes(tmp_path / "shard")
        with opened(tmp_path / "shard"):
            assert not holes(tmp_path / "shard")

    def test_a_full_disk_is_noticed_before_the_shard_is_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(tmp_path / "shard"):
            pass
        monkeypatch.setattr("retrieval.adapters.qdrant_edge._ROOM", 1 << 60)
        with pytest.raises(StorageFull):
            QdrantEdgeIndex(tmp_path / "shard", D)
