"""Bugs of other people's ingestion, each tried on ours. Beside every test stands where it was seen.

Catalog, shard, vector store, splitter and pipeline are the real ones; the embedder is made of hashes and can be told to
fail.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from app.settings import Settings
from app.state import StateFolder
from app.wiring import opened as product
from ingest.errors import GenerationMismatch, GroundedError
from ingest.model import chunk_id, collection_id, document_id
from ingest.ports import DocumentRow
from ingest.run import FileReport, Request, Summary
from retrieval.errors import EmbedderUnavailable, IndexUnavailable
from retrieval.model import EmbeddedPassage, Query, Scope
from tests.chaos.checks import Truth, check_index, check_search, check_settled, compare, live
from tests.chaos.corpus import book_of, edition, lay_out, name_of, text
from tests.chaos.reading import Readers, asking, shelf_of
from tests.chaos.rig import COLLECTION, SCOPE, Rig, cut_all, opened
from tests.chaos.stage import scratch
from tests.fakes import FakeEmbedder

T = TypeVar("T")


class Folder:
    """A folder of documents and the state beside it."""

    def __init__(self, root: Path) -> None:
        self.docs, self.state = root / "docs", root / "state"
        self.docs.mkdir()
        self.files: dict[str, bytes] = {}

    def lay(self, *versions: int) -> Truth:
        """Documents 0, 1, 2, ... in these versions, 0 for absent; what was there before and what must come of it."""
        old = self.files
        self.files = {name_of(d): edition(d, v) for d, v in enumerate(versions) if v}
        lay_out(self.docs, self.files)
        return Truth(cut_all(self.docs, old), cut_all(self.docs, self.files))

    def work(self, what: Callable[[Rig], Awaitable[T]], group_chunks: int = 8) -> T:
        """Open the state, do something, close it."""

        async def main() -> T:
            async with opened(self.state, group_chunks=group_chunks) as rig:
                return await what(rig)

        return asyncio.run(main())

    def sync(self) -> Summary:
        return self.work(lambda rig: rig.sync(self.docs))


@pytest.fixture
def folder() -> Iterator[Folder]:
    with scratch() as root:
        yield Folder(root)


def failing_from(
    call: int, rig: Rig, error: Exception | None = None, after: Callable[[], Awaitable[int]] | None = None
) -> None:
    """The embedder works so many times less one, then fails; `after` something is there, if asked."""
    real, calls = rig.embedder.embed_passages, 0

    async def embed(texts: list[str]) -> list[EmbeddedPassage]:
        nonlocal calls
        calls += 1
        if calls >= call:
            while after is not None and not await after():  # noqa: ASYNC110  a store sets no event
                await asyncio.sleep(0.001)
            raise error or EmbedderUnavailable("429 Too Many Requests")
        return await real(texts)

    rig.embedder.embed_passages = embed  # type: ignore[method-assign,assignment]


async def failed(work: Coroutine[Any, Any, Any]) -> GroundedError:
    with pytest.raises(GroundedError) as caught:
        await work
    return caught.value


async def whole(rig: Rig, truth: Truth) -> list[str]:
    """Everything that was live before is live still, can be found, and nothing else can."""
    found = await live(rig)
    before = Truth(truth.old, truth.old)
    return compare(found, before, before.new) + await check_index(rig, found) + await check_search(rig, found, before)


def test_retry_does_not_mint_new_ids(folder: Folder) -> None:
    """rowboatlabs/rowboat#603: random point ids, so every retry leaves orphans."""
    truth = folder.lay(1, 1, 1, 1, 1, 1)

    async def twice(rig: Rig) -> list[str]:
        failing_from(2, rig, after=rig.points.count)
        await failed(rig.sync(folder.docs))
        assert 0 < await rig.points.count() < len(truth.ids)
        del rig.embedder.embed_passages  # type: ignore[misc]
        await rig.sync(folder.docs)
        return await check_settled(rig, truth)  # ids as computed without any store, and not one more

    assert folder.work(twice) == []


def test_half_ingested_is_not_a_duplicate(folder: Folder) -> None:
    """DeytaHQ/khora#1464: a crash mid-way, and the matching checksum skips the file for ever."""
    truth = folder.lay(1)

    async def crash(rig: Rig) -> None:
        failing_from(1, rig)
        await failed(rig.sync(folder.docs))

    folder.work(crash)
    assert folder.sync().counts["added"] == 1
    assert folder.work(lambda rig: check_settled(rig, truth)) == []


def test_old_version_outlives_a_failed_new_one(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """RailtownAI/railtracks#1187: the old version is deleted after the first good batch of the new."""
    monkeypatch.setattr("retrieval.index._SLICE", 1)
    folder.lay(2)
    folder.sync()
    truth = folder.lay(1)

    async def crash(rig: Rig) -> list[str]:
        failing_from(2, rig)
        await failed(rig.sync(folder.docs))
        assert await rig.points.count() == len(truth.old[name_of(0)]) + 1  # one slice of the new version is in
        return await whole(rig, truth)

    assert len(truth.new[name_of(0)]) > 1
    assert folder.work(crash) == []
    folder.sync()
    assert folder.work(lambda rig: check_settled(rig, truth)) == []


def test_embed_before_delete(folder: Folder) -> None:
    """agno-agi/agno#9814: upsert deletes, then the embedder fails, and five searchable chunks are none."""
    folder.lay(1, 1, 1)
    folder.sync()
    truth = folder.lay(2, 2, 0)

    async def crash(rig: Rig) -> list[str]:
        rig.embedder.broken = True
        await failed(rig.sync(folder.docs))
        rig.embedder.broken = False  # questions are embedded too
        return await whole(rig, truth)

    assert folder.work(crash) == []


@pytest.mark.parametrize("lost", ["points", "shard", "vectors", "index"])
def test_catalog_and_index_reconcile(folder: Folder, lost: str) -> None:
    """linagora/openrag#378, ThalesGroup/fred#2234: two databases drift, and nothing brings them together."""
    truth = folder.lay(1, 1, 1)
    folder.sync()

    async def drop(rig: Rig) -> None:
        await rig.points.delete_document(document_id(SCOPE.collection_id, folder.docs, name_of(1)), keep=())

    if lost == "points":
        folder.work(drop)
    else:
        names = {"shard": "shard", "vectors": "vectors.sqlite", "index": "."}
        path = folder.state / "index" / "chaos" / names[lost]
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    async def look(rig: Rig) -> tuple[list[str], int]:
        return await check_settled(rig, truth), len(rig.embedder.embedded)

    wrong, embedded = folder.work(look)  # no file is read again and nobody ingests: opening is enough
    assert wrong == []
    assert (embedded > 0) == (lost in ("vectors", "index"))  # the shard alone is filled again for nothing


def test_index_that_knows_more_than_the_catalog_shows_nothing_of_it(folder: Folder) -> None:
    """The other direction of the same drift: points that no live version stands behind."""
    folder.lay(1, 1)
    folder.sync()

    async def forget(rig: Rig) -> None:
        """The catalog's part of a deletion, without the index's."""
        await rig.catalog.retire(document_id(SCOPE.collection_id, folder.docs, name_of(1)))

    async def look(rig: Rig) -> tuple[set[str], int, int]:
        found = await rig.find(book_of(1))
        chunks = len(cut_all(folder.docs, {name_of(0): edition(0, 1)})[name_of(0)])
        return {passage.name for passage in found.passages}, await rig.points.count(), chunks

    folder.work(forget)
    shown, points, chunks = folder.work(look)
    assert shown <= {name_of(0)}
    assert points == chunks


def test_recreated_name_sees_no_old_points(folder: Folder) -> None:
    """linagora/openrag#658: a deleted partition, made again under its name, exposes the former tenant's chunks."""
    folder.lay(1)
    folder.sync()
    again = Scope(collection_id(COLLECTION, incarnation=1), COLLECTION, None)

    async def look(rig: Rig) -> None:
        question = Query(book_of(0), again)
        assert await rig.points.search_lexical(replace(question, scope=SCOPE), 10)
        assert await rig.points.search_lexical(question, 10) == []
        assert await rig.points.search_dense(await rig.embedder.embed_query(question.text), question, 10) == []
        assert (await rig.search.search(question)).passages == ()
        assert await rig.points.count(again.collection_id) == 0

    folder.work(look)
    ids = [document_id(scope.collection_id, folder.docs, "a.md") for scope in (SCOPE, again)]
    assert len({chunk_id(s.collection_id, d, "0", "x", 0) for s, d in zip((SCOPE, again), ids, strict=True)}) == 2


def test_a_fresh_catalog_beside_an_old_index_shows_nothing_of_it(folder: Folder) -> None:
    """The same with the name's catalog gone: ids may be the same again, and still nothing old is shown."""
    folder.lay(1, 1)
    folder.sync()
    for path in folder.state.glob("catalog.sqlite*"):
        path.unlink()
    truth = replace(folder.lay(2, 0), old={})

    async def look(rig: Rig) -> list[str]:
        assert (await rig.find(book_of(1))).passages == ()
        await rig.sync(folder.docs)
        found = await live(rig)
        return compare(found, truth, truth.new) + await check_search(rig, found, truth)

    assert folder.work(look) == []


def test_one_conflict_does_not_drop_the_batch(folder: Folder) -> None:
    """GoogleCloudPlatform/agent-starter-pack#878: one "already exists" rejects all; old and new chunks mix."""
    truth = folder.lay(1, 1, 1, 1)

    async def run(rig: Rig) -> list[str]:
        failing_from(2, rig, after=rig.points.count)
        await failed(rig.sync(folder.docs))
        assert await rig.points.count() > 0  # these are in already
        del rig.embedder.embed_passages  # type: ignore[misc]
        await rig.sync(folder.docs)
        return await check_settled(rig, truth)

    assert folder.work(run, group_chunks=1) == []


def test_one_bad_file_does_not_drop_its_neighbours(folder: Folder) -> None:
    folder.lay(1, 1)
    bad = folder.docs / "bad.md"
    bad.write_bytes(b"\x00\x01\xff no text" * 50)
    counts = folder.sync().counts
    assert (counts["added"], counts["failed"]) == (2, 1)


@pytest.mark.parametrize("before", [0, 1])
def test_hash_is_stamped_last(folder: Folder, before: int) -> None:
    """FalkorDB/GraphRAG-SDK#309, QuixiAI/Hexis#85: the content hash is written although the run failed."""
    if before:
        folder.lay(before)
        folder.sync()
    former = {name: hashlib.sha256(data).hexdigest() for name, data in folder.files.items()}
    folder.lay(2)

    async def crash(rig: Rig) -> str:
        failing_from(1, rig)
        await failed(rig.sync(folder.docs))
        return (await rig.catalog.known(SCOPE.collection_id, folder.docs))[name_of(0)].sha256

    assert folder.work(crash) == former.get(name_of(0), "")


@pytest.mark.parametrize("store", ["tokens", "points"])
def test_parallel_writes_fail_together(folder: Folder, store: str) -> None:
    """DeytaHQ/khora#868: `gather` over two databases, one fails, what the other wrote stays."""
    folder.lay(1, 1)
    folder.sync()
    truth = folder.lay(2, 1)

    async def refuse(*_: object) -> None:
        raise IndexUnavailable("It is away.")

    async def crash(rig: Rig) -> list[str]:
        failing, method = (rig.tokens, "put") if store == "tokens" else (rig.points, "upsert")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(failing, method, refuse)
            await failed(rig.sync(folder.docs))
        return await whole(rig, truth)

    assert folder.work(crash) == []
    folder.lay(1, 1)  # the new version never comes; opening and one run leave no trace of it
    folder.sync()
    assert folder.work(lambda rig: check_settled(rig, Truth(truth.old, truth.old))) == []


def test_concurrent_reingest_does_not_interleave(folder: Folder) -> None:
    """brightwave-inc/tidebreak#44: two ingests of one document mix its versions."""
    truth = folder.lay(1, 1, 1, 1)
    folder.sync()
    other = folder.lay(2, 2, 2, 2)
    shelf = shelf_of(truth.new, other.new)

    async def both(rig: Rig) -> list[str]:
        readers = Readers(rig, shelf)
        async with asking(readers, 2):
            for versions in ([1, 2, 1, 2], [2, 1, 2, 1], [1, 1, 2, 2]):
                first = asyncio.create_task(rig.sync(folder.docs))
                await asyncio.sleep(0)
                folder.lay(*versions)
                await asyncio.gather(first, rig.sync(folder.docs))
        await rig.sync(folder.docs)
        final = cut_all(folder.docs, folder.files)
        return readers.wrong + await check_settled(rig, Truth(final, final))

    assert folder.work(both, group_chunks=2) == []


def test_failed_probe_is_not_a_model_change(folder: Folder) -> None:
    """kern-ai #335: a failed probe of the dimension is read as a new model, and a healthy index is dropped."""
    truth = folder.lay(1, 1)
    folder.sync()

    async def with_failing(rig: Rig) -> list[str]:
        rig.embedder.broken = True
        summary = await rig.sync(folder.docs)
        assert summary.counts["unchanged"] == 2
        return await check_settled(rig, truth)

    async def with_another(rig: Rig) -> list[str]:
        rig.embedder.fingerprint = "anotheranotherxx"
        assert isinstance(await failed(rig.sync(folder.docs)), GenerationMismatch)
        return await check_settled(rig, truth)

    assert folder.work(with_failing) == []
    assert folder.work(with_another) == []
    assert folder.sync().embedded == 0


@pytest.mark.models
def test_ingest_and_query_share_one_embedder(folder: Folder, tmp_path: Path) -> None:
    """NorthlandPositronics/Cogtrix#2075: entry points are configured differently, vectors are in another space."""
    (folder.docs / "a.md").write_text("The lighthouse keeper repairs the lamp in winter.\n")
    (folder.docs / "b.md").write_text("Invoices are paid within thirty days.\n")

    async def main() -> None:
        settings = Settings(state=tmp_path / "real")
        state = StateFolder(settings.state)
        with state.owned():
            async with product(settings, state) as grounded:
                await grounded.ready()
                request = Request(folder.docs)
                plan = await grounded.ingest.plan(request)
                async with aclosing(grounded.ingest.run(request, plan, Summary())) as reports:
                    assert [r.status async for r in reports] == ["added", "added"]
                collection = await grounded.catalog.collection("default")
                assert collection is not None
                said = "The lighthouse keeper repairs the lamp in winter."
                found = await grounded.search.search(Query(said, Scope(collection, "default", None)))
                top = found.passages[0]
                assert top.name == "a.md"
                assert top.hit.places["dense"].score > 0.99  # the same words at the same place, so one space

    asyncio.run(main())


def test_rate_limited_embedding_resumes(folder: Folder) -> None:
    """Azure/GPT-RAG#437: after a 429 the same documents are embedded again on every run."""
    truth = folder.lay(1, 1, 1, 1, 1, 1)
    texts = {chunk.embedded for chunks in truth.new.values() for chunk in chunks}

    async def run(rig: Rig) -> tuple[int, int, list[str]]:
        runs = 0
        while runs < 50:
            runs += 1
            failing_from(2, rig)  # one batch passes in every run
            try:
                await rig.sync(folder.docs)
                break
            except EmbedderUnavailable:
                del rig.embedder.embed_passages  # type: ignore[misc]
        return runs, len(rig.embedder.embedded), await check_settled(rig, truth)

    runs, embedded, wrong = folder.work(run, group_chunks=2)
    assert wrong == []
    assert 1 < runs < 50
    assert embedded == len(texts)


def test_a_restart_keeps_what_was_embedded(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a crash for a 429: what is put in order at a start is no reason to embed again."""
    monkeypatch.setattr("retrieval.index._SLICE", 1)
    texts = [chunk.embedded for chunks in folder.lay(1).new.values() for chunk in chunks]

    async def crash(rig: Rig) -> int:
        failing_from(2, rig)
        await failed(rig.sync(folder.docs))
        return len(rig.embedder.embedded)

    async def resume(rig: Rig) -> int:
        await rig.sync(folder.docs)
        return len(rig.embedder.embedded)

    assert len(texts) > 1
    assert folder.work(crash) == 1
    assert folder.work(resume) == len(texts) - 1


@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"---\ntitle: only a title\n---\n", b"<!-- only a remark -->\n"])
def test_zero_chunks_is_not_success(folder: Folder, content: bytes) -> None:
    """datahub-project/datahub#19466: a document without chunks is recorded as done."""
    (folder.docs / "hollow.md").write_bytes(content)
    (folder.docs / "full.md").write_bytes(text(0, 1, 1))

    async def run(rig: Rig) -> tuple[dict[str, FileReport], DocumentRow | None]:
        request, summary = Request(folder.docs, COLLECTION), Summary()
        plan = await rig.ingest.plan(request)
        async with aclosing(rig.ingest.run(request, plan, summary)) as found:
            reports = {report.path: report async for report in found}
        return reports, await rig.catalog.document(document_id(SCOPE.collection_id, folder.docs, "hollow.md"))

    reports, row = folder.work(run)
    assert reports["full.md"].status == "added"
    assert row is not None
    if content.strip():  # a reader may find something to say in it; then there must be chunks
        assert (reports["hollow.md"].status == "added") == (row.status == "live") == (row.chunks > 0)
    else:
        assert reports["hollow.md"].status == "empty_text"
        assert (row.status, row.error_code, row.chunks) == ("empty_text", "empty_text", 0)


def test_the_embedder_of_these_tests_counts_what_it_does() -> None:
    """Otherwise nothing above could tell that a text was embedded twice."""
    embedder = FakeEmbedder()
    asyncio.run(embedder.embed_passages(["a", "a"]))
    assert embedder.embedded == ["a", "a"]
