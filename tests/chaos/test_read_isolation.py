"""A document changes in the middle of a search: at the worst moment, every time, not at some moment, now and then."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.errors import GroundedError
from ingest.model import document_id
from retrieval import search
from retrieval.model import Query
from retrieval.search import HybridSearch
from tests.chaos.corpus import book_of, lay_out, name_of, text
from tests.chaos.reading import shelf_of
from tests.chaos.rig import PATIENT, SCOPE, Rig, cut_all, opened
from tests.chaos.stage import scratch
from tests.fakes import WordReranker

NAME = name_of(0)
OLD, NEW = {NAME: text(0, 1, 12)}, {NAME: text(0, 2, 12)}


def search_of(rig: Rig, read_closely: int) -> HybridSearch:
    limits = replace(PATIENT, read_closely=read_closely)
    return HybridSearch(rig.embedder, rig.points, rig.points, rig.catalog, rig.tokens, WordReranker(), limits)


def once_after(monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, then: Any, nth: int = 1) -> None:
    """The `nth` call is followed by `then` before its result is handed over."""
    real, calls = getattr(owner, method), 0

    async def called(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        chosen = calls == nth
        result = await real(*arguments)
        if chosen:
            await then()
        return result

    monkeypatch.setattr(owner, method, called)


async def half_done(rig: Rig, docs: Path) -> None:
    """The new version's points are written, and the process that wrote them has failed before the flip."""
    with pytest.MonkeyPatch.context() as patch:

        async def refuse(_: object) -> None:
            raise GroundedError("before the flip")

        patch.setattr(rig.catalog, "flip", refuse)
        with pytest.raises(GroundedError, match="before the flip"):
            await rig.sync(docs)


@pytest.mark.parametrize("read", [1, 2, 3])
@pytest.mark.parametrize("read_closely", [1, 3, 8])
def test_no_answer_holds_two_versions(monkeypatch: pytest.MonkeyPatch, read_closely: int, read: int) -> None:
    """The flip comes between the reads of two slices of hits. The points of the new version lie in the index, so each try
    reads twice; after the third read of two tries there is no other one that would hide a mix."""
    monkeypatch.setattr(search, "_TRIES", 2)

    async def main(root: Path) -> list[str]:
        docs = root / "docs"
        shelf = shelf_of(cut_all(docs, OLD), cut_all(docs, NEW))
        async with opened(root / "state") as rig:
            lay_out(docs, OLD)
            await rig.sync(docs)
            lay_out(docs, NEW)
            await half_done(rig, docs)
            once_after(monkeypatch, rig.catalog, "live_chunks", lambda: rig.sync(docs), read)
            found = await search_of(rig, read_closely).search(Query(book_of(0), SCOPE))
            ids = {passage.id for passage in found.passages}
            torn = not any(ids <= {chunk.id for chunk in edition} for edition in shelf.editions[NAME])
            return ["gap"] * (not ids) + ["torn"] * torn

    with scratch() as root:
        assert asyncio.run(main(root)) == []


def test_no_answer_misses_a_document_that_was_never_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole update happens between the ranking and the reading of its hits."""

    async def main(root: Path) -> set[str]:
        docs = root / "docs"
        async with opened(root / "state") as rig:
            lay_out(docs, OLD)
            await rig.sync(docs)
            lay_out(docs, NEW)
            once_after(monkeypatch, rig.points, "search_lexical", lambda: rig.sync(docs))
            found = await search_of(rig, 20).search(Query(book_of(0), SCOPE))
            return {passage.name for passage in found.passages}

    with scratch() as root:
        assert asyncio.run(main(root)) == {NAME}


def test_a_document_that_changes_again_and_again_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the first four searches is followed by a whole update."""
    editions = [{NAME: text(0, version, 12)} for version in range(1, 6)]

    async def main(root: Path) -> set[str]:
        docs, later = root / "docs", iter(editions[1:])
        async with opened(root / "state") as rig:
            lay_out(docs, editions[0])
            await rig.sync(docs)
            real = rig.points.search_lexical

            async def followed(*arguments: Any) -> Any:
                found = await real(*arguments)
                if edition := next(later, None):
                    lay_out(docs, edition)
                    await rig.sync(docs)
                return found

            monkeypatch.setattr(rig.points, "search_lexical", followed)
            found = await search_of(rig, 20).search(Query(book_of(0), SCOPE))
            return {passage.name for passage in found.passages}

    with scratch() as root:
        assert asyncio.run(main(root)) == {NAME}


def test_points_that_wait_for_their_flip_cost_one_search_more_and_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second search was begun when it was known that they are not live, so it has missed nothing."""

    async def main(root: Path) -> int:
        docs, calls = root / "docs", 0
        async with opened(root / "state") as rig:
            lay_out(docs, OLD)
            await rig.sync(docs)
            lay_out(docs, NEW)
            await half_done(rig, docs)
            real = rig.points.search_lexical

            async def counted(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                return await real(*arguments)

            monkeypatch.setattr(rig.points, "search_lexical", counted)
            await search_of(rig, 20).search(Query(book_of(0), SCOPE))
            return calls

    with scratch() as root:
        assert asyncio.run(main(root)) == 2


def test_behind_every_transaction_a_document_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second connection looks after each commit of an update: it sees one version, and never none."""

    async def main(root: Path) -> list[frozenset[str]]:
        docs, seen = root / "docs", list[frozenset[str]]()
        async with opened(root / "state") as rig, aclosing(_Onlooker(root / "state")) as onlooker:
            lay_out(docs, OLD)
            await rig.sync(docs)
            lay_out(docs, NEW)
            real = rig.catalog._run

            async def looked_at(work: Any) -> Any:
                result = await real(work)
                seen.append(await onlooker.live(docs))
                return result

            monkeypatch.setattr(rig.catalog, "_run", looked_at)
            await rig.sync(docs)
        return list(dict.fromkeys(seen))

    with scratch() as root:
        docs = root / "docs"
        editions = [frozenset(chunk.id for chunk in cut_all(docs, edition)[NAME]) for edition in (OLD, NEW)]
        assert asyncio.run(main(root)) == editions


class _Onlooker:
    """Reads what is committed, on a connection of its own."""

    def __init__(self, state: Path) -> None:
        self._catalog = SqlCatalog(f"sqlite:///{state / 'catalog.sqlite'}")

    async def live(self, docs: Path) -> frozenset[str]:
        return frozenset(await self._catalog.live_ids(document_id(SCOPE.collection_id, docs, NAME)))

    async def aclose(self) -> None:
        await self._catalog.close()
