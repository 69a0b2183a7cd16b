"""A file's way: read -> split -> embed -> index -> flip. Every step may run twice; a run that dies loses nothing.

Documents are taken in groups, so that the embedder gets full batches: their points are written, flushed and counted,
then one commit makes the group live, then the versions before it are collected. While one group is written, the next is
embedded and the one after that is read.
"""

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ingest.errors import (
    EmptyText,
    FileError,
    FolderEmpty,
    GenerationMismatch,
    IndexIncomplete,
)
from ingest.model import ChunkedDocument, Document, Source, document_id
from ingest.ports import Catalog, ChunkIndex, Reader, Splitter
from ingest.rules import NO_RULES, Rules, metadata_of
from ingest.run import FileReport, FileStatus, Plan, Request, Summary
from ingest.storage import check_room
from ingest.sync import Change, Hashes, diff, read_bytes, scan

_FIRST_GROUP = 64  # chunks
_TURN_S = 0.0005  # of one thread, before another that waits gets its own; Python's own is ten times as long
_PAGE = 50  # documents read at a time when the index is filled again


@dataclass(frozen=True, slots=True)
class Limits:
    """Chunks of one group; in bytes, the free disk below which nothing is written and the largest file that is read."""

    group_chunks: int = 512
    min_free: int = 256 * 2**20
    max_file: int = 50 * 2**20


@dataclass(frozen=True, slots=True)
class _Ready:
    """A document that was read and cut, waiting for its group to fill."""

    chunked: ChunkedDocument
    report: FileReport


class Ingest:
    """Keeps catalog and index in step with a folder."""

    def __init__(
        self,
        catalog: Catalog,
        index: ChunkIndex,
        reader: Reader,
        splitter: Splitter,
        supported: Callable[[str], bool],
        state: Path,
        limits: Limits,
        rules: Rules = NO_RULES,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._reader = reader
        self._splitter = splitter
        self._supported = supported
        self._state = state
        self._limits = limits
        self._writing = asyncio.Lock()  # two runs, or a run and a reconciliation, must not interleave
        self._rules = rules
        self._hashes = Hashes()  # under --watch the same folder is looked at again and again

    async def plan(self, request: Request) -> Plan:
        """The change set of a run. Raises FolderNotFound, FolderEmpty, GenerationMismatch."""
        collection = await self._catalog.collection(request.collection, tenant=request.tenant)
        roots = await self._catalog.roots(collection) if collection else []
        scanned = await asyncio.to_thread(scan, request.path, request.patterns, self._supported, roots)
        collection = collection or await self._catalog.collection(
            request.collection, create=not request.dry_run, tenant=request.tenant
        )
        known = await self._catalog.known(collection, scanned.root) if collection else {}
        if not (scanned.sources or scanned.refused) and not (known and request.prune):
            raise FolderEmpty(f"There is nothing to ingest in {request.path.name!r}.")
        if not request.dry_run:
            await self._check_generation()
        fingerprint = partial(self._fingerprint, scanned.root)
        changes = await asyncio.to_thread(
            lambda: tuple(
                diff(scanned, known, fingerprint, prune=request.prune, force=request.force, hashes=self._hashes)
            )
        )
        inner = tuple(root for root in roots if scanned.root in root.parents)
        return Plan(collection or "", scanned.root, changes, scanned.skipped, scanned.refused, inner)

    async def run(self, request: Request, plan: Plan, summary: Summary) -> AsyncGenerator[FileReport, None]:
        """Reports each file when its fate is sealed, and fills `summary`. Closing it keeps what was committed."""
        start = time.perf_counter()
        async with self._writing, aclosing(self._reports(request, plan, summary)) as reports:
            with _brisk():
                async for report in reports:
                    summary.add(report)
                    summary.seconds = time.perf_counter() - start
                    yield report
        summary.seconds = time.perf_counter() - start

    async def _reports(self, request: Request, plan: Plan, summary: Summary) -> AsyncGenerator[FileReport, None]:
        for name in plan.skipped:
            yield FileReport(name, "skipped")
        for name, error in plan.refused:
            yield _failure(name, error)
        for change in plan.changes:
            if change.error is not None and change.kind == "failed":
                yield _failure(change.name, change.error)
            elif change.kind == "unchanged":
                yield FileReport(change.name, "unchanged")
        applied = self._tried(plan) if request.dry_run else self._apply(request, plan, summary)
        async with aclosing(applied) as reports:
            async for report in reports:
                yield report

    async def _tried(self, plan: Plan) -> AsyncGenerator[FileReport, None]:
        """What `_apply` would report: files are read and cut as well, since some hold no text or are broken."""
        for change in plan.changes:
            if change.kind in ("added", "updated"):
                entry = await self._read(change, plan.collection_id, dry_run=True)
                yield entry.report if isinstance(entry, _Ready) else entry
            elif change.kind == "deleted":
                yield FileReport(change.name, "deleted")

    async def _apply(self, request: Request, plan: Plan, summary: Summary) -> AsyncGenerator[FileReport, None]:
        """What a crash left half deleted, what is new or changed, deletions, then the rest that a crash left half done.

        Half deleted first: a file that is back would take over the row that remembers its old points. Deletions behind
        additions: a file that was renamed is never missing, and the new name takes over the old one's vectors.
        """
        await self._remove_retired()
        unfinished = set(await self._catalog.unfinished())
        work = [change for change in plan.changes if change.kind in ("added", "updated")]
        async with aclosing(self._put_all(request, plan.collection_id, work, summary, unfinished)) as reports:
            async for report in reports:
                yield report
        for change in plan.changes:
            if change.kind == "deleted" and change.known is not None:
                await self.remove(change.known.document_id)
                yield FileReport(change.name, "deleted")
        await self._take_over(plan)
        await self._mend(plan)
        if any(change.kind in ("deleted", "updated") for change in plan.changes):
            await self._catalog.settle()

    async def _take_over(self, plan: Plan) -> None:
        """What was known by a folder inside this one has its name here now; a file is not to be found twice."""
        if not plan.inner:
            return
        here = await self._catalog.known(plan.collection_id, plan.root)
        for root in plan.inner:
            prefix = root.relative_to(plan.root).as_posix()
            for name, known in (await self._catalog.known(plan.collection_id, root)).items():
                twin = here.get(f"{prefix}/{name}")
                if twin is not None and twin.status == "live":
                    await self.remove(known.document_id)

    async def _put_all(
        self, request: Request, collection: str, changes: Sequence[Change], summary: Summary, unfinished: set[str]
    ) -> AsyncGenerator[FileReport, None]:
        """While one group is written, the next is embedded and the one after that is read: the model never waits."""
        groups = self._groups(request, collection, changes)
        reading = asyncio.create_task(anext(groups, None))
        putting: list[asyncio.Task[list[FileReport]]] = []
        try:
            while (group := await reading) or putting:
                if group:
                    reading = asyncio.create_task(anext(groups, None))
                    putting.append(asyncio.create_task(self._put(group, summary, unfinished)))
                if len(putting) > 1 or not group:
                    for report in await putting.pop(0):
                        yield report
        finally:
            await _ended(reading, *putting)
            await groups.aclose()

    async def _groups(
        self, request: Request, collection: str, changes: Sequence[Change]
    ) -> AsyncGenerator[list["_Ready | FileReport"], None]:
        """Files read and cut, until together they have chunks enough for full batches; the first groups are small, so
        that the model starts soon."""
        group: list[_Ready | FileReport] = []
        chunks, enough = 0, min(_FIRST_GROUP, self._limits.group_chunks)
        for change in changes:
            entry = await self._read(change, collection)
            group.append(entry)
            chunks += len(entry.chunked.chunks) if isinstance(entry, _Ready) else 0
            if request.fail_fast and isinstance(entry, FileReport):
                break
            if chunks >= enough:
                yield group
                group, chunks, enough = [], 0, min(2 * enough, self._limits.group_chunks)
        if group:
            yield group

    async def _read(self, change: Change, collection: str, *, dry_run: bool = False) -> "_Ready | FileReport":
        """Read and cut one file. What is wrong with it is remembered and reported, and stops nothing."""
        source = change.source
        assert source is not None
        status: FileStatus = "updated" if change.kind == "updated" else "added"
        start = time.perf_counter()
        digest = ""
        try:
            if change.error is not None:
                raise change.error
            data = await asyncio.to_thread(read_bytes, source, self._limits.max_file)
            digest = hashlib.sha256(data).hexdigest()
            chunked, warnings = await self._chunked(source, collection, digest, data)
        except FileError as error:
            if not dry_run:
                await self._remember(change, source, collection, digest, error)
            return _failure(source.name, error, (time.perf_counter() - start) * 1e3)
        ms = (time.perf_counter() - start) * 1e3
        pages, former = chunked.document.parsed.pages, change.renamed_from
        return _Ready(chunked, FileReport(source.name, status, len(chunked.chunks), pages, ms, None, former, warnings))

    async def _remember(self, change: Change, source: Source, collection: str, digest: str, error: FileError) -> None:
        if isinstance(error, EmptyText) and change.known is not None:
            await self.remove(change.known.document_id)  # its old text is no longer what the file says
        await self._catalog.fail(collection, source, digest, error)

    async def _chunked(
        self, source: Source, collection: str, digest: str, data: bytes
    ) -> tuple[ChunkedDocument, tuple[str, ...]]:
        """And what of its metadata was left out."""
        parsed = await self._reader.read(source, data)
        described = metadata_of(source, parsed, self._rules)
        i = document_id(collection, source.root, source.name)
        document = Document(i, collection, source, digest, parsed, described.metadata)
        return ChunkedDocument(document, await asyncio.to_thread(self._splitter.split, document)), described.warnings

    async def _put(
        self, group: Sequence["_Ready | FileReport"], summary: Summary, unfinished: set[str]
    ) -> list[FileReport]:
        """Write, flush, count, flip, collect: in this order, or a crash could show half a document.

        What an unfinished attempt has embedded is kept if it fits this content, and collected if it does not.
        """
        ready = [entry.chunked for entry in group if isinstance(entry, _Ready)]
        check_room(self._state, self._limits.min_free)
        numbers = await self._catalog.begin([(entry, self._cut_by(entry)) for entry in ready])
        written = await self._index.put(ready)
        summary.embedded += written.embedded
        summary.embed_seconds += written.embed_seconds
        await self._check_count(ready)
        await self._catalog.flip(numbers)  # one commit; from here readers see the new versions
        for document, number in numbers.items():  # killed here? `_mend` does it at the next run
            if number > 1 or document in unfinished:
                await self._collect(document)
        return [entry.report if isinstance(entry, _Ready) else entry for entry in group]

    def _cut_by(self, entry: ChunkedDocument) -> str:
        source = entry.document.source
        return self._fingerprint(source.root, source.name)

    def _fingerprint(self, root: Path, name: str) -> str:
        """Changes whenever the file would be cut or described differently."""
        return self._rules.stamped(self._splitter.fingerprint_for(name), root, name)

    async def remove(self, document: str) -> None:
        """From the first commit on the document is not answered from; then its points go, then its last trace. The
        receipt tells what each store held before and holds afterwards."""
        await self.hide(document)
        await self._index.collect(document, keep=())
        await self._catalog.forget(document, await self._index.held(document))

    async def hide(self, document: str, job_id: str | None = None) -> None:
        """The first step of `remove`: one commit, asked for by a job or by nobody."""
        await self._catalog.retire(document, await self._index.held(document), job_id)

    async def _mend(self, plan: Plan) -> None:
        """Finish what a crash left half done: replaced versions that were not collected, deletions not carried through. What
        an attempt has embedded of a file that is none of this run stays, since that file's own run will want it."""
        await self._remove_retired()
        if left := await self._catalog.unfinished():
            mine = {document_id(plan.collection_id, plan.root, name) for name in plan.names}
            for document in left:
                if document in mine or not await self._begun_anew(document):
                    await self._collect(document)

    async def _begun_anew(self, document: str) -> bool:
        """Whether there are chunks of a version that is newer than the live one."""
        return set(await self._catalog.current_ids(document)) != set(await self._catalog.live_ids(document))

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """No run is in its middle meanwhile; waits for the one that is."""
        async with self._writing:
            yield

    async def reconcile(self) -> int:
        """Bring the index in step with the catalog, at every start: finish what a crash left half done, and put back what
        the index lost; how many chunks that were. It needs no file, and embeds only texts whose vectors are lost too."""
        async with self._writing:
            await self._remove_retired()
            for (
                document
            ) in await self._catalog.unfinished():  # what an unfinished version has embedded, its file will want
                await self._index.collect(document, keep=set(await self._catalog.current_ids(document)))
            _, chunks = await self._catalog.count_live()
            if await self._index.size() >= chunks:
                return 0
            return sum([await self._put_back(c) for c in await self._catalog.collection_ids()])

    async def _put_back(self, collection: str) -> int:
        put, after = 0, None
        while rows := await self._catalog.documents(collection, _PAGE, after):
            after = rows[-1].id
            found = [await self._catalog.stored(row.id) for row in rows if row.version]
            stored = [entry for entry in found if entry is not None]
            before = await self._index.count([chunk.id for entry in stored for chunk in entry.chunks])
            await self._index.put(stored)
            put += sum(len(entry.chunks) for entry in stored) - before
        return put

    async def _remove_retired(self) -> None:
        for document in await self._catalog.retired():
            await self.remove(document)

    async def _collect(self, document: str) -> None:
        await self._index.collect(document, keep=set(await self._catalog.live_ids(document)))
        await self._catalog.collect(document)

    async def _check_count(self, group: Sequence[ChunkedDocument]) -> None:
        ids = [chunk.id for entry in group for chunk in entry.chunks]
        arrived = await self._index.count(ids)
        if arrived != len(ids):
            raise IndexIncomplete(f"{arrived} of {len(ids)} points arrived in the index.")

    async def _check_generation(self) -> None:
        if await self._in_its_generation():
            return
        async with self.paused():  # the other one may be on its way to become the live one
            if not await self._in_its_generation():
                raise GenerationMismatch("The index was built with another embedder than the one configured now.")

    async def _in_its_generation(self) -> bool:
        return await self._catalog.fingerprint(self._index.fingerprint) == self._index.fingerprint


@contextmanager
def _brisk() -> Iterator[None]:
    """Threads take turns sooner. The model's ask for one after each of its operations, and would wait for all that reads and
    cuts files meanwhile."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def _ended(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel what still runs and wait for it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _failure(path: str, error: FileError, ms: float = 0.0) -> FileReport:
    return FileReport(path, error.verdict, ms=ms, error=error)
