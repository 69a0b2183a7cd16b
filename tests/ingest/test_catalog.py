"""The catalog's promises that the file's way does not show by itself."""

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from ingest.adapters.sql_catalog import SqlCatalog
from ingest.errors import CatalogUnavailable
from ingest.model import Block, ChunkedDocument, Document, Parsed, Source, collection_id, document_id
from tests.ingest.memory import LineSplitter

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield catalog
    asyncio.run(catalog.close())


def chunked(collection: str, name: str, text: str, sha256: str) -> ChunkedDocument:
    source = Source(Path("/docs"), name, len(text), WHEN)
    parsed = Parsed(name, text, (Block("paragraph", 0, len(text)),), "text/plain", pages=2)
    document = Document(document_id(collection, source.root, name), collection, source, sha256, parsed)
    return ChunkedDocument(document, LineSplitter().split(document))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def live(catalog: SqlCatalog, name: str, text: str, sha256: str) -> ChunkedDocument:
    collection = await catalog.collection("default", create=True)
    assert collection is not None
    entry = chunked(collection, name, text, sha256)
    await catalog.flip({entry.document.id: await catalog.begin(entry, "s-1")})
    return entry


def test_a_collection_is_made_once_and_its_id_is_not_its_name(catalog: SqlCatalog) -> None:
    async def main() -> None:
        assert await catalog.collection("docs") is None
        made = await catalog.collection("docs", create=True)
        assert made == await catalog.collection("docs", create=True) == collection_id("docs")
        assert await catalog.collections() == {"docs": made}

    run(main())


def test_a_recreated_collection_has_another_id() -> None:
    assert collection_id("docs", 0) != collection_id("docs", 1)


def test_text_and_offsets_come_back_as_they_went_in(catalog: SqlCatalog) -> None:
    text = "naïve 🙂 text\r\n e\u0301 second\n\u202eright\n日本語"

    async def main() -> None:
        entry = await live(catalog, "a.txt", text, "h1")
        stored = await catalog.text(entry.document.id)
        assert stored == text
        chunks = await catalog.live_chunks(entry.document.collection_id, [c.id for c in entry.chunks])
        assert {c.chunk.id: c.chunk for c in chunks.values()} == {c.id: c for c in entry.chunks}
        for found in chunks.values():
            assert stored[found.chunk.start : found.chunk.end] == found.chunk.text
            assert (found.modified_at, found.version, found.name) == (WHEN, 1, "a.txt")

    run(main())


def test_readers_see_the_old_version_until_the_flip_and_the_new_one_after(catalog: SqlCatalog) -> None:
    async def main() -> None:
        old = await live(catalog, "a.txt", "one\ntwo", "h1")
        new = chunked(old.document.collection_id, "a.txt", "uno", "h2")
        number = await catalog.begin(new, "s-1")
        assert await catalog.live_ids(old.document.id) == [c.id for c in old.chunks]
        assert await catalog.find_chunk(new.chunks[0].id) is None
        await catalog.flip({new.document.id: number})
        assert await catalog.live_ids(old.document.id) == [c.id for c in new.chunks]
        assert await catalog.find_chunk(old.chunks[0].id) is None
        assert await catalog.unfinished() == [old.document.id]
        await catalog.collect(old.document.id)
        assert await catalog.unfinished() == []
        assert await catalog.count_live() == (1, 1)

    run(main())


def test_a_flip_of_several_documents_is_one_commit(catalog: SqlCatalog) -> None:
    async def main() -> None:
        one = await live(catalog, "a.txt", "one", "h1")
        new = chunked(one.document.collection_id, "a.txt", "uno", "h2")
        number = await catalog.begin(new, "s-1")
        with pytest.raises(CatalogUnavailable):
            await catalog.flip({new.document.id: number, "no-such-document": 1})
        assert await catalog.live_ids(one.document.id) == [c.id for c in one.chunks]

    run(main())


def test_the_hash_is_stamped_by_the_flip(catalog: SqlCatalog) -> None:
    async def main() -> None:
        collection = await catalog.collection("default", create=True)
        assert collection is not None
        entry = chunked(collection, "a.txt", "one", "h1")
        await catalog.begin(entry, "s-1")
        assert (await catalog.known(collection, Path("/docs")))["a.txt"].sha256 == ""

    run(main())


def test_a_failure_keeps_what_was_live_and_says_why(catalog: SqlCatalog) -> None:
    async def main() -> None:
        entry = await live(catalog, "a.txt", "one", "h1")
        await catalog.fail(entry.document.collection_id, entry.document.source, "h2", "broken_file", "It is damaged.")
        row = await catalog.document(entry.document.id)
        assert row is not None
        assert (row.status, row.error_code, row.version, row.chunks) == ("failed", "broken_file", 1, 1)
        assert await catalog.find_chunk(entry.chunks[0].id) is not None

    run(main())


def test_no_chunk_is_read_through_another_collection(catalog: SqlCatalog) -> None:
    async def main() -> None:
        entry = await live(catalog, "a.txt", "one", "h1")
        other = await catalog.collection("other", create=True)
        assert other is not None
        assert await catalog.live_chunks(other, [entry.chunks[0].id]) == {}

    run(main())


def test_lists_come_in_pages(catalog: SqlCatalog) -> None:
    async def main() -> None:
        entries = [await live(catalog, f"{n}.txt", f"text {n}", f"h{n}") for n in range(5)]
        collection = entries[0].document.collection_id
        first = await catalog.documents(collection, 3)
        rest = await catalog.documents(collection, 3, after=first[-1].id)
        assert [row.id for row in first + rest] == sorted(entry.document.id for entry in entries)

    run(main())


def test_a_retired_document_is_gone_at_once_and_forgotten_later(catalog: SqlCatalog) -> None:
    async def main() -> None:
        entry = await live(catalog, "a.txt", "one", "h1")
        await catalog.retire(entry.document.id)
        assert await catalog.find_chunk(entry.chunks[0].id) is None
        assert await catalog.text(entry.document.id) is None
        assert await catalog.known(entry.document.collection_id, Path("/docs")) == {}
        assert await catalog.retired() == [entry.document.id]
        await catalog.forget(entry.document.id)
        assert await catalog.document(entry.document.id) is None

    run(main())


def test_an_old_content_that_comes_back_is_live_again(catalog: SqlCatalog) -> None:
    async def main() -> None:
        first = await live(catalog, "a.txt", "one", "h1")
        await live(catalog, "a.txt", "uno", "h2")
        again = await live(catalog, "a.txt", "one", "h1")
        assert again.chunks == first.chunks
        found = await catalog.find_chunk(first.chunks[0].id)
        assert found is not None
        assert found.version == 3

    run(main())


def test_the_fingerprint_is_set_once(catalog: SqlCatalog) -> None:
    async def main() -> None:
        assert await catalog.fingerprint() is None
        assert await catalog.fingerprint("e-1") == "e-1"
        assert await catalog.fingerprint("e-2") == "e-1"

    run(main())


def test_durability_settings_hold_on_every_connection(catalog: SqlCatalog) -> None:
    with catalog._engine.connect() as one, catalog._engine.connect() as two:
        for connection in (one, two):
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_second_opening_keeps_everything(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'again.sqlite'}"
    first = SqlCatalog(url)
    entry = run(live(first, "a.txt", "one", "h1"))
    run(first.close())
    second = SqlCatalog(url)
    assert run(second.live_ids(entry.document.id)) == [entry.chunks[0].id]
    run(second.close())


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_first_start_that_breaks_off_leaves_nothing_half_made(tmp_path: Path, nth: int) -> None:
    url, made = f"sqlite:///{tmp_path / 'catalog.sqlite'}", []

    def broken(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith("CREATE"):
            made.append(statement)
            if len(made) == nth:
                raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", broken)
    try:
        with pytest.raises(KeyboardInterrupt):
            SqlCatalog(url)
    finally:
        event.remove(Engine, "before_cursor_execute", broken)
    catalog = SqlCatalog(url)
    assert asyncio.run(catalog.collections()) == {}
    asyncio.run(catalog.close())


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_bytes(b"this is no database, and long enough to be taken for one" * 50)
    with pytest.raises(CatalogUnavailable) as caught:
        SqlCatalog(f"sqlite:///{tmp_path / 'bad.sqlite'}")
    assert "ingest again" in caught.value.next_step


def test_a_writer_who_waits_too_long_gets_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.adapters.sql_catalog._BUSY_MS", 50)
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'busy.sqlite'}")
    other = sqlite3.connect(tmp_path / "busy.sqlite")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogUnavailable):
        run(catalog.collection("default", create=True))
    other.rollback()
    other.close()
    assert run(catalog.collection("default", create=True))
    run(catalog.close())


def test_chunks_of_a_version_keep_their_order(catalog: SqlCatalog) -> None:
    async def main() -> None:
        entry = await live(catalog, "a.txt", "\n".join(f"line {n}" for n in range(30)), "h1")
        assert await catalog.live_ids(entry.document.id) == [c.id for c in entry.chunks]
        assert replace(entry.chunks[0]) == entry.chunks[0]

    run(main())
