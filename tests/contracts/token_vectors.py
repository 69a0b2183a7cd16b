"""What every store of token vectors must do. Inherit, and give a `store` fixture for vectors of DIMENSION."""

import asyncio

import numpy as np

from retrieval.model import Bits
from retrieval.ports import TokenVectors

DIMENSION = 64


def bits(seed: int, tokens: int = 5) -> Bits:
    return np.random.default_rng(seed).integers(0, 256, (tokens, DIMENSION // 8), dtype=np.uint8)


class TokenVectorsContract:
    """What was put comes back bit for bit and in its shape; what is not there is left out and is never an error."""

    def test_bits_come_back_as_they_went_in(self, store: TokenVectors) -> None:
        put = {"a": bits(1), "b": bits(2, 256), "none": bits(3, 0), "one": bits(4, 1)}

        async def main() -> None:
            await store.put(put)
            found = await store.get([*put, "absent"])
            assert found.keys() == put.keys()
            for name, stored in found.items():
                assert stored.dtype == np.uint8
                assert stored.shape == put[name].shape
                assert np.array_equal(stored, put[name])

        asyncio.run(main())

    def test_nothing_asked_nothing_given(self, store: TokenVectors) -> None:
        async def main() -> None:
            await store.put({})
            await store.delete([])
            assert await store.get([]) == {}
            assert await store.get(["absent"]) == {}

        asyncio.run(main())

    def test_the_last_put_wins(self, store: TokenVectors) -> None:
        async def main() -> None:
            await store.put({"a": bits(1), "b": bits(2)})
            await store.put({"a": bits(3, 9)})
            found = await store.get(["a", "b", "a"])
            assert np.array_equal(found["a"], bits(3, 9))
            assert np.array_equal(found["b"], bits(2))

        asyncio.run(main())

    def test_what_was_deleted_is_gone_and_nothing_else(self, store: TokenVectors) -> None:
        async def main() -> None:
            await store.put({name: bits(1) for name in "abc"})
            for _ in range(2):
                await store.delete({"a", "c", "absent"})
                assert (await store.get(["a", "b", "c"])).keys() == {"b"}

        asyncio.run(main())

    def test_what_is_done_with_given_bits_does_not_change_those_stored(self, store: TokenVectors) -> None:
        async def main() -> None:
            mine = bits(1)
            await store.put({"a": mine})
            mine[:] = 0
            assert np.array_equal((await store.get(["a"]))["a"], bits(1))

        asyncio.run(main())

    def test_as_many_as_a_search_may_ask_for(self, store: TokenVectors) -> None:
        async def main() -> None:
            await store.put({str(n): bits(n, 2) for n in range(1500)})
            assert len(await store.get([str(n) for n in range(2000)])) == 1500

        asyncio.run(main())
