"""What somebody may read of the catalog. Routes read it through here and no other way, so none of them can forget to ask.

What is not there and what is somebody else's are the same error, in the same words.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from app.errors import CollectionNotFound, DocumentNotFound, JobNotFound, SourceNotFound
from app.jobs import Job
from app.keys.model import Principal
from ingest.ports import Catalog, DocumentRow, LiveChunk
from ingest.receipt import Receipt
from retrieval.model import Scope

_PAGE = 200


class Library:
    """The catalog, as far as one principal may read it."""

    def __init__(self, catalog: Catalog, who: Principal) -> None:
        self._catalog = catalog
        self._who = who

    @property
    def key_id(self) -> str | None:
        """Of whoever reads."""
        return self._who.key_id

    @property
    def reads_all(self) -> bool:
        """Whether all of the tenant may be read."""
        return self._who.unrestricted

    async def readable(self, document_ids: Collection[str]) -> frozenset[str]:
        """Those of the documents that are there and may be read."""
        found = set()
        for id_ in document_ids:
            with suppress(DocumentNotFound):
                found.add((await self.document(id_))[0].id)
        return frozenset(found)

    async def collections(self) -> Mapping[str, str]:
        """Ids by name."""
        found = await self._catalog.collections(self._who.tenant)
        return {name: id_ for name, id_ in found.items() if self._who.may_use(name)}

    async def scope(self, collection: str) -> Scope:
        """Where a search in that collection may look. Raises CollectionNotFound."""
        found = await self._catalog.collection(collection, tenant=self._who.tenant)
        if found is None or not self._who.may_use(collection):
            raise CollectionNotFound(f"There is no collection {collection!r}.")
        return Scope(found, collection, self._who.groups)

    async def made(self, collection: str) -> str:
        """The id of a collection, which is made if the tenant has none of that name. Raises CollectionNotFound."""
        if not self._who.may_use(collection):
            raise CollectionNotFound(f"There is no collection {collection!r}.")
        found = await self._catalog.collection(collection, create=True, tenant=self._who.tenant)
        assert found is not None, "it was made"
        return found

    async def count(self, collection_id: str) -> tuple[int, int]:
        """Documents and chunks of a collection of `collections` that may be read."""
        return await self._catalog.count_live(collection_id, self._who.groups)

    async def documents(self, collection: str, limit: int, after: str | None) -> list[DocumentRow]:
        """At most `limit` documents behind `after`. Raises CollectionNotFound."""
        scope, found = await self.scope(collection), list[DocumentRow]()
        page = limit if self._who.groups is None else max(limit, _PAGE)
        while len(found) < limit:
            rows = await self._catalog.documents(scope.collection_id, page, after)
            found += [row for row in rows if self._admits(row)]
            if len(rows) < page:
                break
            after = rows[-1].id
        return found[:limit]

    async def document(self, document_id: str) -> tuple[DocumentRow, str]:
        """One document and the name of its collection. Raises DocumentNotFound."""
        row = await self._catalog.document(document_id)
        names = {id_: name for name, id_ in (await self.collections()).items()}
        if row is None or row.collection_id not in names or not self._admits(row):
            raise DocumentNotFound("There is no such document.")
        return row, names[row.collection_id]

    async def text(self, document_id: str) -> str:
        """The stored text of a version that may be read, also where another one became live meanwhile. Raises
        DocumentNotFound."""
        version = -1
        while True:
            row, _ = await self.document(document_id)
            if version == row.version:
                break
            version = row.version
            text = await self._catalog.text(document_id)
        if text is None:
            raise DocumentNotFound("There is no such document.")
        return text

    async def source(self, source_id: str) -> LiveChunk:
        """A live chunk. Raises SourceNotFound."""
        live = await self._catalog.find_chunk(source_id)
        names = {id_: name for name, id_ in (await self.collections()).items()}
        if live is None or live.collection_id not in names:
            raise SourceNotFound("There is no such source.")
        if not Scope(live.collection_id, names[live.collection_id], self._who.groups).admits(live.metadata.access):
            raise SourceNotFound("There is no such source.")
        return live

    async def chunks(self, collection: str, chunk_ids: Sequence[str]) -> dict[str, LiveChunk]:
        """Those of the chunks that are live and may be read. Raises CollectionNotFound."""
        scope = await self.scope(collection)
        live = await self._catalog.live_chunks(scope.collection_id, chunk_ids)
        return {id_: chunk for id_, chunk in live.items() if scope.admits(chunk.metadata.access)}

    async def texts(self, document_ids: Collection[str]) -> dict[str, str]:
        """The texts of those documents that are there and may be read."""
        found: dict[str, str] = {}
        for id_ in document_ids:
            with suppress(DocumentNotFound):
                found[id_] = await self.text(id_)
        return found

    async def receipt_of(self, job: Job) -> Receipt | None:
        """Of a deletion that may be seen. Raises JobNotFound."""
        if not self._who.may_see(job.owner):
            raise JobNotFound("There is no such job.")
        return await self._catalog.receipt(job.spec["document_id"], job.id)

    async def receipt(self, document_id: str) -> Receipt:
        """Of the document's last deletion. Nobody knows any more who could read the document, so whoever asks has to be
        somebody who reads all. Raises DocumentNotFound."""
        found = await self._catalog.receipt(document_id)
        mine = (await self.collections()).values()
        if found is None or found.collection_id not in mine or self._who.groups is not None:
            raise DocumentNotFound("No document with this id was deleted.")
        return found

    def _admits(self, row: DocumentRow) -> bool:
        """A document that never became live has no labels yet: until it has, it is for those who read all."""
        if self._who.groups is None:
            return True
        return bool(row.version) and Scope(row.collection_id, "", self._who.groups).admits(row.metadata.access)
