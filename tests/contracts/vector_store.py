"""What every store of vectors must do. Inherit, and give a `store` fixture for vectors of DIMENSION."""

import asyncio

import numpy as np

from retrieval.model import Bits, EmbeddedPassage
from retrieval.ports import StoredVectors, VectorStore

DIMENSION = 64


def bits(seed: int, tokens: int = 5) -> Bits:
    return np.random.default_rng(seed).integers(0, 256, (tokens, DIMENSION // 8), dtype=np.uint8)


def stored(bits: dict[str, Bits], document: str = "doc") -> list[StoredVectors]:
    return [StoredVectors(i, document, f"digest of {i}", passage(b)) for i, b in bits.items()]


def passage(bits: Bits, seed: int = 0) -> EmbeddedPassage:
    return EmbeddedPassage(np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32), bits)


class VectorStoreContract:
    """What was put comes back bit for bit and in its shape; what is not there is left out and is never an error."""

    def test_bits_come_back_as_they_went_in(self, store: VectorStore) -> None:
        put = {"a": bits(1), "b": bits(2, 256), "none": bits(3, 0), "one": bits(4, 1)}

        async def main() -> None:
            await store.put(stored(put))
            found = await store.get([*put, "absent"])
            assert found.keys() == put.keys()
            for name, got in found.items():
                assert got.dtype == np.uint8
                assert got.shape == put[name].shape
                assert np.array_equal(got, put[name])

        asyncio.run(main())

    def test_nothing_asked_nothing_given(self, store: VectorStore) -> None:
        async def main() -> None:
            await store.put([])
            assert await store.delete_document("doc", []) == 0
            assert await store.embedded([]) == {}
            assert await store.count() == 0
            assert await store.get([]) == {}
            assert await store.get(["absent"]) == {}

        asyncio.run(main())

    def test_the_last_put_wins(self, store: VectorStore) -> None:
        async def main() -> None:
            await store.put(stored({"a": bits(1), "b": bits(2)}))
            await store.put(stored({"a": bits(3, 9)}))
            found = await store.get(["a", "b", "a"])
            assert np.array_equal(found["a"], bits(3, 9))
            assert np.array_equal(found["b"], bits(2))

        asyncio.run(main())

    def test_what_goes_with_a_document_goes_but_for_what_is_to_be_kept(self, store: VectorStore) -> None:
        async def main() -> None:
            await store.put(stored({name: bits(1) for name in "abc"}))
            await store.put(stored({"d": bits(1)}, document="other"))
            assert await store.delete_document("doc", {"b", "d", "absent"}) == 2
            assert await store.delete_document("doc", {"b", "d", "absent"}) == 0
            assert (await store.get(["a", "b", "c", "d"])).keys() == {"b", "d"}
            assert (await store.count(), await store.count("doc"), await store.count("absent")) == (2, 1, 0)

        asyncio.run(main())

    def test_a_text_is_found_by_its_digest_as_long_as_one_chunk_has_it(self, store: VectorStore) -> None:
        one = passage(bits(1), 1)
        same = [StoredVectors(i, document, "same", one) for i, document in [("a", "one"), ("b", "two")]]

        async def main() -> None:
            await store.put([*same, StoredVectors("c", "two", "another", passage(bits(2), 2))])
            found = await store.embedded(["same", "absent"])
            assert found.keys() == {"same"}
            assert found["same"].vector.tolist() == one.vector.tolist()
            assert found["same"].vector.dtype == np.float32
            assert found["same"].bits.tolist() == one.bits.tolist()
            await store.delete_document("one", [])
            assert (await store.embedded(["same", "another"])).keys() == {"same", "another"}
            await store.delete_document("two", [])
            assert await store.embedded(["same", "another"]) == {}

        asyncio.run(main())

    def test_what_is_done_with_given_bits_does_not_change_those_stored(self, store: VectorStore) -> None:
        async def main() -> None:
            mine = bits(1)
            await store.put(stored({"a": mine}))
            mine[:] = 0
            assert np.array_equal((await store.get(["a"]))["a"], bits(1))

        asyncio.run(main())

    def test_as_many_as_a_search_may_ask_for(self, store: VectorStore) -> None:
        async def main() -> None:
            await store.put(stored({str(n): bits(n, 2) for n in range(1500)}))
            assert len(await store.get([str(n) for n in range(2000)])) == 1500

        asyncio.run(main())
