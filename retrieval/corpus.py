"""What BM25 sees of a collection, read from the catalog: for indexes that keep nothing of their own on disk."""

from ingest.ports import Catalog
from retrieval.index import lexical_entries
from retrieval.ports import LexicalEntry

_PAGE = 200  # documents


class CatalogCorpus:
    """LiveCorpus on the catalog, which is the only truth about what is live."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def stamp(self, collection_id: str) -> str:
        return await self._catalog.stamp(collection_id)

    async def size(self, collection_id: str) -> int:
        return (await self._catalog.count_live(collection_id))[1]

    async def entries(self, collection_id: str) -> list[LexicalEntry]:
        found: list[LexicalEntry] = []
        after = None
        while rows := await self._catalog.documents(collection_id, _PAGE, after):
            after = rows[-1].id
            for row in rows:
                stored = await self._catalog.stored(row.id)
                found += lexical_entries(stored) if stored is not None else []
        return found
