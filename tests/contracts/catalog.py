"""What every catalog must do. Inherit, and give a `catalog` fixture."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import Broken, CatalogUnavailable
from ingest.metadata import Metadata
from ingest.model import Block, ChunkedDocument, Document, Parsed, Source, collection_id, document_id
from ingest.ports import Catalog
from ingest.receipt import Place
from tests.ingest.memory import LineSplitter

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROOT = Path("/docs")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def chunked(collection: str, name: str, text: str, sha256: str) -> ChunkedDocument:
    source = Source(ROOT, name, len(text), WHEN)
    parsed = Parsed(name, text, (Block("paragraph", 0, len(text)),), "text/plain", pages=2)
    document = Document(document_id(collection, source.root, name), collection, source, sha256, parsed)
    return ChunkedDocument(document, LineSplitter().split(document))


async def live(catalog: Catalog, name: str, text: str, sha256: str) -> ChunkedDocument:
    """The document, begun and flipped."""
    collection = await catalog.collection("default", create=True)
    assert collection is not None
    entry = chunked(collection, name, text, sha256)
    await catalog.flip(await catalog.begin([(entry, "s-1")]))
    return entry


async def begun(catalog: Catalog, entry: ChunkedDocument) -> int:
    """The number of its next version."""
    (number,) = (await catalog.begin([(entry, "s-1")])).values()
    return number


class CatalogContract:
    """Readers see live versions and nothing else, and a version becomes live, or goes, in one commit: before it all of
    the old, behind it all of the new. What is not live is findable (`unfinished`, `retired`), so that it can be swept."""

    def test_a_collection_is_made_once_and_its_id_is_not_its_name(self, catalog: Catalog) -> None:
        async def main() -> None:
            assert await catalog.collection("docs") is None
            made = await catalog.collection("docs", create=True)
            assert made == await catalog.collection("docs", create=True) == collection_id("docs")
            assert await catalog.collections() == {"docs": made}

        run(main())

    def test_folders_are_known_as_long_as_a_document_came_from_them(self, catalog: Catalog) -> None:
        async def main() -> None:
            entry = await live(catalog, "a.txt", "one", "h1")
            collection, document = entry.document.collection_id, entry.document.id
            assert await catalog.roots(collection) == [ROOT]
            assert await catalog.roots("another") == []
            await catalog.retire(document)
            assert await catalog.roots(collection) == []

        run(main())

    def test_text_and_offsets_come_back_as_they_went_in(self, catalog: Catalog) -> None:
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

    def test_what_is_known_of_a_document_comes_back_as_it_went_in(self, catalog: Catalog) -> None:
        known = Metadata(
            author="Ada; Grace",
            created_at=datetime(2020, 1, 1, tzinfo=UTC),
            modified_at=datetime(1950, 5, 6, 7, 8, 9, tzinfo=UTC),
            language="zh-Hant",
            tags=("Policy", "straße"),
            url="https://example.org/ä",
            access=("hr", "board"),
            extra={"note": "naïve 🙂"},
        )

        async def main() -> None:
            collection = await catalog.collection("default", create=True)
            assert collection is not None
            entry = chunked(collection, "a.txt", "one", "h1")
            entry = replace(entry, document=replace(entry.document, metadata=known))
            await catalog.flip(await catalog.begin([(entry, "s-1")]))
            found = await catalog.find_chunk(entry.chunks[0].id)
            row = await catalog.document(entry.document.id)
            stored = await catalog.stored(entry.document.id)
            assert found is not None
            assert row is not None
            assert stored is not None
            assert found.metadata == row.metadata == stored.document.metadata == known
            assert found.modified_at == row.modified_at == stored.document.modified_at == known.modified_at

        run(main())

    def test_readers_see_the_old_version_until_the_flip_and_the_new_one_after(self, catalog: Catalog) -> None:
        async def main() -> None:
            old = await live(catalog, "a.txt", "one\ntwo", "h1")
            new = chunked(old.document.collection_id, "a.txt", "uno", "h2")
            number = await begun(catalog, new)
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

    def test_a_flip_of_several_documents_is_one_commit(self, catalog: Catalog) -> None:
        async def main() -> None:
            one = await live(catalog, "a.txt", "one", "h1")
            new = chunked(one.document.collection_id, "a.txt", "uno", "h2")
            number = await begun(catalog, new)
            with pytest.raises(CatalogUnavailable):
                await catalog.flip({new.document.id: number, "no-such-document": 1})
            assert await catalog.live_ids(one.document.id) == [c.id for c in one.chunks]

        run(main())

    def test_the_hash_is_stamped_by_the_flip(self, catalog: Catalog) -> None:
        async def main() -> None:
            collection = await catalog.collection("default", create=True)
            assert collection is not None
            entry = chunked(collection, "a.txt", "one", "h1")
            await begun(catalog, entry)
            assert (await catalog.known(collection, ROOT))["a.txt"].sha256 == ""

        run(main())

    def test_a_failure_keeps_what_was_live_and_says_why(self, catalog: Catalog) -> None:
        async def main() -> None:
            entry = await live(catalog, "a.txt", "one", "h1")
            await catalog.fail(entry.document.collection_id, entry.document.source, "h2", Broken("It is damaged."))
            row = await catalog.document(entry.document.id)
            assert row is not None
            assert (row.status, row.error_code, row.version, row.chunks) == ("failed", "broken_file", 1, 1)
            assert await catalog.find_chunk(entry.chunks[0].id) is not None

        run(main())

    def test_no_chunk_is_read_through_another_collection(self, catalog: Catalog) -> None:
        async def main() -> None:
            entry = await live(catalog, "a.txt", "one", "h1")
            other = await catalog.collection("other", create=True)
            assert other is not None
            assert await catalog.live_chunks(other, [entry.chunks[0].id]) == {}

        run(main())

    def test_lists_come_in_pages(self, catalog: Catalog) -> None:
        async def main() -> None:
            entries = [await live(catalog, f"{n}.txt", f"text {n}", f"h{n}") for n in range(5)]
            collection = entries[0].document.collection_id
            first = await catalog.documents(collection, 3)
            rest = await catalog.documents(collection, 3, after=first[-1].id)
            assert [row.id for row in first + rest] == sorted(entry.document.id for entry in entries)

        run(main())

    def test_long_documents_introduce_themselves_and_only_what_changed_is_read(self, catalog: Catalog) -> None:
        async def main() -> None:
            lines = "\n".join(f"line {n}" for n in range(9))
            long, short = await live(catalog, "a.txt", lines, "h1"), await live(catalog, "b.txt", "one", "h1")
            collection, document = long.document.collection_id, long.document.id
            stamp = await catalog.stamp(collection)
            found, changed = await catalog.leads(collection, {})
            assert found == {document}
            assert [(lead.document_id, lead.name, lead.text, lead.dated) for lead in changed] == [
                (document, "a.txt", lines, WHEN)
            ]
            assert await catalog.leads(collection, {document: 1}) == ({document}, [])
            assert await catalog.leads("another", {}) == (set(), [])
            assert await catalog.stamp(collection) == stamp
            await live(catalog, "a.txt", lines + " more", "h2")
            later = await catalog.stamp(collection)
            assert later != stamp
            assert [lead.version for lead in (await catalog.leads(collection, {document: 1}))[1]] == [2]
            await catalog.retire(document)
            assert await catalog.stamp(collection) != later
            assert await catalog.leads(collection, {document: 2}) == (set(), [])
            await catalog.retire(short.document.id)

        run(main())

    def test_a_retired_document_is_gone_at_once_and_forgotten_later(self, catalog: Catalog) -> None:
        async def main() -> None:
            entry = await live(catalog, "a.txt", "one", "h1")
            await catalog.retire(entry.document.id)
            assert await catalog.find_chunk(entry.chunks[0].id) is None
            assert await catalog.text(entry.document.id) is None
            assert await catalog.known(entry.document.collection_id, ROOT) == {}
            assert await catalog.document(entry.document.id) is None
            assert await catalog.documents(entry.document.collection_id, 9) == []
            assert await catalog.retired() == [entry.document.id]
            await catalog.forget(entry.document.id)
            assert await catalog.document(entry.document.id) is None

        run(main())

    def test_a_deletion_leaves_a_receipt_of_what_was_there_and_what_is_left(self, catalog: Catalog) -> None:
        async def main() -> None:
            entry = await live(catalog, "a.txt", "one\ntwo", "h1")
            document = entry.document.id
            assert await catalog.receipt(document) is None
            await catalog.retire(document, {"vectors": 2}, "job_1")
            begun = await catalog.receipt(document)
            assert begun is not None
            assert (begun.collection_id, begun.signed_at) == (entry.document.collection_id, None)
            held = {"chunks": Place(2), "versions": Place(1), "batches": Place(0), "cache": Place(0)}
            assert begun.places == {**held, "vectors": Place(2)}
            await catalog.retire(document, {"vectors": 0})  # again, after a crash: what there was is not forgotten
            await catalog.forget(document, {"vectors": 0})
            await catalog.add_places("job_1", {"uploads": 1}, {"uploads": 0})
            signed = await catalog.receipt(document)
            assert signed is not None
            assert signed.signed_at is not None
            assert signed.deleted_at == begun.deleted_at <= signed.signed_at
            assert signed.places == {
                "chunks": Place(2, 0),
                "versions": Place(1, 0),
                "batches": Place(0, 0),
                "cache": Place(0, 0),
                "vectors": Place(2, 0),
                "uploads": Place(1, 0),
            }
            assert signed.job_id == "job_1"
            assert await catalog.receipt(document, "job_1") == signed
            assert await catalog.receipt(document, "job_2") is None

        run(main())

    def test_settling_changes_nothing_that_can_be_read(self, catalog: Catalog) -> None:
        async def main() -> None:
            entry, other = [await live(catalog, name, f"text of {name}", name) for name in ("a.txt", "b.txt")]
            await catalog.retire(entry.document.id)
            await catalog.forget(entry.document.id)
            for _ in range(2):
                await catalog.settle()
            assert await catalog.text(other.document.id) == "text of b.txt"
            assert await catalog.receipt(entry.document.id) is not None

        run(main())

    def test_a_document_that_is_deleted_again_has_another_receipt(self, catalog: Catalog) -> None:
        async def main() -> None:
            for text in ("one", "one\ntwo\nthree"):
                entry = await live(catalog, "a.txt", text, f"h{len(text)}")
                await catalog.retire(entry.document.id)
                await catalog.forget(entry.document.id)
                await catalog.forget(entry.document.id)
                receipt = await catalog.receipt(entry.document.id)
                assert receipt is not None
                assert receipt.places["chunks"] == Place(len(entry.chunks), 0)

        run(main())

    def test_what_is_retired_in_the_middle_of_a_run_is_not_brought_back_by_it(self, catalog: Catalog) -> None:
        async def main() -> None:
            entry = await live(catalog, "a.txt", "one", "h1")
            document, again = entry.document, chunked(entry.document.collection_id, "a.txt", "uno", "h2")
            before = await begun(catalog, again)
            await catalog.retire(document.id)
            await catalog.flip({document.id: before})
            behind = await begun(catalog, again)
            await catalog.flip({document.id: behind})
            await catalog.fail(document.collection_id, document.source, "h3", Broken("It is damaged."))
            assert await catalog.document(document.id) is None
            assert await catalog.find_chunk(again.chunks[0].id) is None
            assert await catalog.retired() == [document.id]

        run(main())

    def test_an_old_content_that_comes_back_is_live_again(self, catalog: Catalog) -> None:
        async def main() -> None:
            first = await live(catalog, "a.txt", "one", "h1")
            await live(catalog, "a.txt", "uno", "h2")
            again = await live(catalog, "a.txt", "one", "h1")
            assert again.chunks == first.chunks
            found = await catalog.find_chunk(first.chunks[0].id)
            assert found is not None
            assert found.version == 3

        run(main())

    def test_the_fingerprint_is_set_once(self, catalog: Catalog) -> None:
        async def main() -> None:
            assert await catalog.fingerprint() is None
            assert await catalog.fingerprint("e-1") == "e-1"
            assert await catalog.fingerprint("e-2") == "e-1"

        run(main())

    def test_chunks_of_a_version_keep_their_order(self, catalog: Catalog) -> None:
        async def main() -> None:
            entry = await live(catalog, "a.txt", "\n".join(f"line {n}" for n in range(30)), "h1")
            assert await catalog.live_ids(entry.document.id) == [c.id for c in entry.chunks]

        run(main())

    def test_what_an_unfinished_attempt_left_is_replaced(self, catalog: Catalog) -> None:
        async def main() -> None:
            old = await live(catalog, "a.txt", "one", "h1")
            first = await begun(catalog, chunked(old.document.collection_id, "a.txt", "uno\ndue", "h2"))
            new = chunked(old.document.collection_id, "a.txt", "eins", "h3")
            assert await begun(catalog, new) == first
            await catalog.flip({new.document.id: first})
            assert await catalog.live_ids(new.document.id) == [c.id for c in new.chunks]
            assert await catalog.text(new.document.id) == "eins"

        run(main())

    def test_of_what_is_not_there_nothing_is_told(self, catalog: Catalog) -> None:
        async def main() -> None:
            collection = await catalog.collection("default", create=True)
            assert collection is not None
            assert await catalog.known(collection, ROOT) == {}
            assert await catalog.documents(collection, 9) == []
            assert await catalog.count_live(collection) == (0, 0)
            assert await catalog.live_chunks(collection, []) == {}
            assert await catalog.document("none") is None
            assert await catalog.text("none") is None
            assert await catalog.live_ids("none") == []
            for without_effect in (catalog.collect, catalog.retire, catalog.forget):
                await without_effect("none")
            assert (await catalog.unfinished(), await catalog.retired()) == ([], [])

        run(main())
