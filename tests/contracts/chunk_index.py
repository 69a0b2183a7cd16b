"""What every index of chunks must do. Inherit, and give an `index` fixture."""

import asyncio

from ingest.model import ChunkedDocument
from ingest.ports import ChunkIndex, Written
from tests.contracts.catalog import chunked


def ids(entry: ChunkedDocument) -> list[str]:
    return [chunk.id for chunk in entry.chunks]


A = chunked("col", "a.txt", "one\ntwo\nthree", "h1")
B = chunked("col", "b.txt", "four\nfive", "h2")
OTHER = chunked("col", "c.txt", "one\ntwo\nthree", "h1")


class ChunkIndexContract:
    """A chunk's id is its content: what is there already is never embedded again, and what is collected is the given
    document's alone, without what is to be kept. So every call may be made twice, and a broken run simply run again."""

    def test_an_empty_index(self, index: ChunkIndex) -> None:
        async def main() -> None:
            assert index.fingerprint
            assert await index.put([]) == Written()
            assert await index.count([]) == await index.count(ids(A)) == 0
            assert await index.collect(A.document.id, []) == 0

        asyncio.run(main())

    def test_what_was_put_is_counted(self, index: ChunkIndex) -> None:
        async def main() -> None:
            assert (await self.put(index, A, B)).embedded == 5
            assert await index.count(ids(A)) == 3
            assert await index.count([*ids(A), *ids(B), *ids(OTHER)]) == 5

        asyncio.run(main())

    def test_a_second_put_embeds_nothing(self, index: ChunkIndex) -> None:
        async def main() -> None:
            await self.put(index, A)
            assert await self.put(index, A) == Written()
            assert (await self.put(index, A, B)).embedded == 2
            assert await index.count([*ids(A), *ids(B)]) == 5

        asyncio.run(main())

    def test_the_same_words_in_two_documents_are_two_chunks_embedded_once(self, index: ChunkIndex) -> None:
        async def main() -> None:
            assert (await self.put(index, A, OTHER)).embedded == 3
            assert await index.count([*ids(A), *ids(OTHER)]) == 6
            assert await index.collect(A.document.id, []) == 3
            assert await index.count(ids(OTHER)) == 3

        asyncio.run(main())

    def test_a_text_that_was_embedded_under_another_id_is_not_embedded_again(self, index: ChunkIndex) -> None:
        """A renamed file, or the unchanged part of one that was edited; until the old one is collected."""

        async def main() -> None:
            await self.put(index, A)
            edited = chunked("col", "a.txt", "one\nTWO\nthree\nfour", "h2")
            assert (await self.put(index, edited)).embedded == 2
            assert (await self.put(index, OTHER)).embedded == 0
            await index.collect(A.document.id, [])
            await index.collect(OTHER.document.id, [])
            assert (await self.put(index, OTHER)).embedded == 3

        asyncio.run(main())

    def test_collecting_keeps_what_is_to_be_kept(self, index: ChunkIndex) -> None:
        async def main() -> None:
            await self.put(index, A, B)
            first, *rest = ids(A)
            keep = {first, "no such chunk", *ids(B)}
            assert await index.collect(A.document.id, keep) == 2
            assert await index.collect(A.document.id, keep) == 0
            assert (await index.count([first]), await index.count(rest), await index.count(ids(B))) == (1, 0, 2)
            assert (await self.put(index, A)).embedded == 2  # only those that went

        asyncio.run(main())

    def test_what_is_held_of_a_document_is_told_by_store(self, index: ChunkIndex) -> None:
        async def main() -> None:
            await self.put(index, A, B)
            assert set((await index.held(A.document.id)).values()) == {3}
            await index.collect(A.document.id, [])
            assert set((await index.held(A.document.id)).values()) == {0}
            assert set((await index.held(B.document.id)).values()) == {2}

        asyncio.run(main())

    async def put(self, index: ChunkIndex, *entries: ChunkedDocument) -> Written:
        written = await index.put(entries)
        assert written.embed_seconds >= 0
        return written
