"""How the collection of a server is laid out, and that it is there: its indexes before its points, and its alias."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from retrieval.adapters.lexical_terms import FORMAT
from retrieval.adapters.qdrant_filter import INDEXED
from retrieval.errors import IndexUnavailable

DENSE, BM25 = "dense", "bm25"
OVERSAMPLING = 2.0  # Qdrant's own recommendation: so many times the hits are looked at again with full vectors
MOST_HITS = 1000  # of one search or one page; the setting `retrieval.candidates` allows no more
_LEAST_VERSION = (1, 19)  # which weighs terms by scope, and finds texts by their beginning in an index
_OWNER = "installation"
_LINKS = 16  # of a point to its neighbours, Qdrant's default
_QUANTILE = 0.99  # Qdrant's own recommendation: what lies beyond it does not stretch the scale of the rest
Call = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a collection is made with. Shards are for spreading over machines; a write counts as done once
    `write_consistency_factor` of the `replication_factor` copies have it. `quantized` keeps vectors at 8 bits a dimension in
    memory besides the full ones, and looks at the best hits again with those."""

    dimension: int
    shard_number: int = 1
    replication_factor: int = 1
    write_consistency_factor: int = 1
    quantized: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """`alias` names the collection that answers; there is one collection for each generation of the index, since vectors of
    two embedders do not compare, nor terms of two formats. `installation` is whose they are: another one's are not touched."""

    alias: str
    generation: str
    installation: str

    @property
    def collection(self) -> str:
        return f"{self.alias}-{self.generation}-{FORMAT}"


async def check_version(client: AsyncQdrantClient) -> None:
    """An older server would take a part of a request for all of it, and weigh words by what others may not read."""
    found = (await client.info()).version
    numbers = tuple(int(part) for part in found.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < _LEAST_VERSION:
        wanted = ".".join(map(str, _LEAST_VERSION))
        raise IndexUnavailable(
            f"The Qdrant server is of version {found}; {wanted} or newer is needed.", "Update the Qdrant server."
        )


async def check_owner(client: AsyncQdrantClient, name: str, installation: str) -> None:
    """Two installations that write into one collection would delete each other's points, and count them as their own."""
    if ((await client.get_collection(name)).config.metadata or {}).get(_OWNER) != installation:
        raise IndexUnavailable(
            f"The collection {name} on the Qdrant server is not of this installation.",
            "Choose another name with GROUNDED_INDEX__COLLECTION, or delete that collection on the server.",
        )


async def create(client: AsyncQdrantClient, names: Names, layout: Layout) -> None:
    """Every search is confined to one collection of ours, so points are linked within theirs alone."""
    await client.create_collection(
        names.collection,
        metadata={_OWNER: names.installation},
        vectors_config={DENSE: models.VectorParams(size=layout.dimension, distance=models.Distance.DOT)},
        sparse_vectors_config={BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        hnsw_config=models.HnswConfigDiff(m=0, payload_m=_LINKS),
        quantization_config=_quantization() if layout.quantized else None,
        shard_number=layout.shard_number,
        replication_factor=layout.replication_factor,
        write_consistency_factor=layout.write_consistency_factor,
        strict_mode_config=_strict(),
    )


async def index(client: AsyncQdrantClient, name: str) -> None:
    """The indexes that filters need, those that are missing. Made before points come: later each would be read again."""
    there = (await client.get_collection(name)).payload_schema
    for field, schema in INDEXED.items():
        if field not in there:
            await client.create_payload_index(name, field_name=field, field_schema=schema, wait=True)


async def aliased(client: AsyncQdrantClient, alias: str) -> str | None:
    """The collection that the alias names."""
    found = (await client.get_aliases()).aliases
    return next((entry.collection_name for entry in found if entry.alias_name == alias), None)


async def point_alias(client: AsyncQdrantClient, names: Names) -> None:
    """In one request, so that the alias is never without a collection."""
    last = await aliased(client, names.alias)
    if last == names.collection:
        return
    operations: list[models.CreateAliasOperation | models.DeleteAliasOperation] = []
    if last is not None:
        await check_owner(client, last, names.installation)
        operations.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=names.alias)))
    new = models.CreateAlias(collection_name=names.collection, alias_name=names.alias)
    operations.append(models.CreateAliasOperation(create_alias=new))
    await client.update_collection_aliases(change_aliases_operations=operations)


def _quantization() -> models.ScalarQuantization:
    scalar = models.ScalarQuantizationConfig(
        type=models.ScalarType.INT8, quantile=_QUANTILE, memory=models.Memory.PINNED
    )
    return models.ScalarQuantization(scalar=scalar)


def _strict() -> models.StrictModeConfig:
    """A filter without an index is refused instead of read from the disk, point by point."""
    return models.StrictModeConfig(
        enabled=True,
        max_query_limit=MOST_HITS,
        unindexed_filtering_retrieve=False,
        unindexed_filtering_update=False,
    )
