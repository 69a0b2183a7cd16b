"""Golden sets: which questions can be asked, and measures that are those of the books."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evals.golden import Golden, GoldenSet, Measured, difference, golden_set, hit, measured, ndcg
from app.evals.rows import BadEvalData
from ingest.adapters.sql_catalog import SqlCatalog
from ingest.model import collection_id
from retrieval.model import Found, Query, Scope
from tests.contracts.catalog import live

SCOPE = Scope(collection_id("default"), "default", None)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield catalog
    asyncio.run(catalog.close())


def file_of(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@given(st.lists(st.sampled_from("abcdefghijklmno"), max_size=15), st.sets(st.sampled_from("abcdefghij"), min_size=1))
def test_the_measures_are_those_of_ir_measures(found: list[str], wanted: set[str]) -> None:
    ranked = list(dict.fromkeys(found))
    run = {"q": {name: float(len(ranked) - n) for n, name in enumerate(ranked)} or {"nothing": 1.0}}
    judged = {"q": dict.fromkeys(wanted, 1)}
    expected = ir_measures.calc_aggregate([ir_measures.nDCG @ 10, ir_measures.Success @ 10], judged, run)
    assert ndcg(found, frozenset(wanted)) == pytest.approx(expected[ir_measures.nDCG @ 10])
    assert hit(found, frozenset(wanted)) == expected[ir_measures.Success @ 10]


def test_the_difference_is_paired() -> None:
    old = Measured((0.1, 0.5, 0.9), (0, 1, 1))
    new = Measured((0.2, 0.6, 1.0), (0, 1, 1))
    change, (low, high) = difference(new, old)
    assert change == low == high == 0.1
    assert new.scores == {"questions": 3, "ndcg@10": 0.6, "hit@10": 0.6667, "degraded": 0}


class TestRows:
    def test_a_row_may_name_a_file_several_files_or_a_collection(self, catalog: SqlCatalog, tmp_path: Path) -> None:
        async def main() -> GoldenSet:
            a = await live(catalog, "hr/a.md", "one", "h1")
            b = await live(catalog, "b.md", "two", "h2")
            path = file_of(
                tmp_path / "g.jsonl",
                {"question": "1", "file": "hr/a.md"},
                {"question": "2", "file": ["a.md", "b.md"]},
                {"question": "3", "doc_ids": ["docs/b.md"]},
                {"question": "4", "file": "gone.md"},
                {"question": "5", "file": "b.md", "collection": "other"},
                {"question": "6", "file": "b.md", "answerable": False},
                {"question": "7"},
            )
            found = await golden_set(catalog, path)
            assert found.questions == (
                Golden("1", SCOPE, frozenset((a.document.id,))),
                Golden("2", SCOPE, frozenset((a.document.id, b.document.id))),
                Golden("3", SCOPE, frozenset((b.document.id,))),
            )
            return found

        assert asyncio.run(main()).left_out == 2

    def test_a_folder_holds_several_files_and_no_path_none(self, catalog: SqlCatalog, tmp_path: Path) -> None:
        async def main() -> None:
            await live(catalog, "a.md", "one", "h1")
            for name in ("x", "y"):
                file_of(tmp_path / "golden" / f"{name}.jsonl", {"question": name, "file": "a.md"})
            (tmp_path / "golden" / "notes.txt").write_text("no questions")
            found = await golden_set(catalog, tmp_path / "golden")
            assert [golden.question for golden in found.questions] == ["x", "y"]
            assert await golden_set(catalog, None) == GoldenSet(())

        asyncio.run(main())

    @pytest.mark.parametrize("content", [None, "", "no json", '{"file": "a.md"}'])
    def test_a_file_that_is_named_must_be_one(self, catalog: SqlCatalog, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "g.jsonl"
        if content is not None:
            path.write_text(content)
        with pytest.raises(BadEvalData):
            asyncio.run(golden_set(catalog, path))


def test_searches_without_the_embedder_are_counted() -> None:
    class Searched:
        async def search(self, query: Query) -> Found:
            return Found((), (), None, ("embedder",) if query.text == "b" else ())

    found = asyncio.run(measured(Searched(), [Golden(text, SCOPE, frozenset(("x",))) for text in "ab"]))
    assert found.scores == {"questions": 2, "ndcg@10": 0.0, "hit@10": 0.0, "degraded": 1}
