"""The work of one job. All of it may be done twice: what a first attempt has committed, a second finds done."""

import glob
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.batch import Batches
from app.error_table import known
from app.errors import InternalError
from app.jobs import FileEntry, Job, JobStatus, JobStore, Progress, Told
from app.reindex import Order, Reindex
from app.tally import Tally
from app.uploads import Uploads
from ingest.errors import GroundedError
from ingest.model import document_id
from ingest.pipeline import Ingest
from ingest.ports import Catalog
from ingest.run import FAILED, FileReport, Plan, Request, Summary
from ingest.sync import Patterns

_KEPT_EVERY_S = 0.25  # a commit for each file would make a folder of small files wait for the disk
_KEPT_TOGETHER = 500
_NOT_KEPT_YET = dict.fromkeys(("answers", "traces"), 0)  # stores that there are none of: nothing to look into

Tell = Callable[[FileEntry], None]


class Worker:
    """Does what jobs say."""

    def __init__(
        self,
        catalog: Catalog,
        ingest: Ingest,
        uploads: Uploads,
        store: JobStore,
        patterns: Callable[[Sequence[str], Sequence[str]], Patterns],
        ready: Callable[[], Awaitable[None]],
        reindex: Reindex | None = None,
        batches: Batches | None = None,
    ) -> None:
        """`patterns` joins globs to include and to exclude with what is configured; `ready` waits for the models."""
        self._catalog = catalog
        self._ingest = ingest
        self._uploads = uploads
        self._store = store
        self._patterns = patterns
        self._ready = ready
        self._reindex = reindex
        self._batches = batches

    async def run(self, job: Job, tell: Tell) -> JobStatus:
        """Do it, and tell of every file. Raises what the work raises; what was committed by then stays."""
        if job.type == "delete":
            return await self._delete(job)
        if job.type == "reindex":
            return await self._rebuild(job)
        if job.type == "batch":
            assert self._batches is not None, "a worker without batches is given no such job"
            return await self._batches.run(job)
        await self._ready()
        await self._bring_in(job, tell)
        return "succeeded"

    async def _rebuild(self, job: Job) -> JobStatus:
        async def tell(progress: Progress, details: Mapping[str, int]) -> None:
            await self._store.advance(job.id, details, progress)

        assert self._reindex is not None, "a worker without one is given no such job"
        await self._reindex.run(Order(**job.spec), tell, job.details.get("embedded", 0))
        return "succeeded"

    async def _bring_in(self, job: Job, tell: Tell) -> None:
        requests = await self._requests(job.spec, job.owner.tenant)
        plans = [await self._ingest.plan(request) for request in requests]
        total = sum(change.kind in ("added", "updated") for plan in plans for change in plan.changes)
        ledger = _Ledger(self._store, job, await self._store.files(job.id), total)
        for request, plan in zip(requests, plans, strict=True):
            prefix = f"{request.path.name}/" if len(requests) > 1 else ""
            await self._one_folder(request, plan, ledger, tell, prefix)
        await ledger.keep()

    async def _one_folder(self, request: Request, plan: Plan, ledger: "_Ledger", tell: Tell, prefix: str) -> None:
        async with aclosing(self._ingest.run(request, plan, ledger.summary)) as reports:
            async for report in reports:
                entry = _entry(report, prefix, document_id(plan.collection_id, plan.root, report.path))
                tell(entry)
                await ledger.add(entry)

    async def _requests(self, spec: Mapping[str, Any], tenant: str) -> list[Request]:
        """What is to be brought in step: folders, or exactly the uploaded files that are still there."""
        if "uploads" not in spec:
            return [self._request(spec, Path(folder), tenant) for folder in spec["folders"]]
        collection = await self._catalog.collection(spec["collection"], create=True, tenant=tenant)
        assert collection is not None
        shelf = spec.get("shelf", "")
        names = await self._uploads.names(collection, spec["uploads"], shelf)
        if not names:
            return []
        patterns = Patterns(include=tuple(glob.escape(name) for name in names), gitignore=False)
        folder, force = self._uploads.folder(collection, shelf), bool(spec.get("force"))
        return [Request(folder, spec["collection"], patterns, prune=False, force=force, tenant=tenant)]

    def _request(self, spec: Mapping[str, Any], folder: Path, tenant: str) -> Request:
        options = spec["options"]
        patterns = self._patterns(options["include"], options["exclude"])
        if options["gitignore"] is not None:
            patterns = replace(patterns, gitignore=options["gitignore"])
        flags = {name: options[name] for name in ("prune", "force", "dry_run", "fail_fast")}
        return Request(folder, spec["collection"], patterns, **flags, tenant=tenant)

    async def _delete(self, job: Job) -> JobStatus:
        """The document is hidden already, and its receipt begun; without a receipt nobody was told that it would be.

        A run in between may have removed it, and even read it anew from its folder: then only the places are left that
        such a run does not know.
        """
        document, collection = job.spec["document_id"], job.spec["collection_id"]
        receipt = await self._catalog.receipt(document, job.id)
        if receipt is None:
            return "canceled"
        await self._catalog.add_places(job.id, await self._elsewhere(job), {})
        shelf = job.spec.get("shelf", "")
        await self._uploads.set_aside(collection, document, job.spec["file"], shelf)
        await self._uploads.remove_aside(collection, document, shelf)
        if receipt.signed_at is None:
            await self._store.unname(document)
            await self._ingest.remove(document)
        await self._catalog.settle()
        await self._catalog.add_places(job.id, {}, await self._elsewhere(job))
        await self._store.advance(job.id, {"received": 1, "deleted": 1}, Progress(1, 1, "documents"))
        return "succeeded"

    async def _elsewhere(self, job: Job) -> dict[str, int]:
        """How much the stores hold that catalog and index know nothing of."""
        document, collection = job.spec["document_id"], job.spec["collection_id"]
        uploads = await self._uploads.count(collection, document, job.spec["file"], job.spec.get("shelf", ""))
        return {"uploads": uploads, "jobs": await self._store.count_named(document), **_NOT_KEPT_YET}


class _Ledger:
    """Keeps the tally of a running job in its store, a few times a second."""

    def __init__(self, store: JobStore, job: Job, files: list[FileEntry], total: int) -> None:
        self.summary = Summary()
        self._store = store
        self._job = job
        self._tally = Tally(job.details, files)
        self._total = total
        self._done = 0
        self._news: list[FileEntry] = []
        self._kept_at = time.monotonic()

    async def add(self, entry: FileEntry) -> None:
        """Count it; what changed or failed is kept by name."""
        self._done += entry.status in ("added", "updated", "empty_text", *FAILED)
        if self._tally.add(entry) and entry.status not in ("unchanged", "deleted"):
            self._news.append(entry)
        if time.monotonic() - self._kept_at > _KEPT_EVERY_S or len(self._news) >= _KEPT_TOGETHER:
            await self.keep()

    async def keep(self) -> None:
        """One commit: numbers, progress and files go together."""
        news, self._news = self._news, []
        progress = Progress(min(self._done, self._total), self._total)
        await self._store.advance(self._job.id, self._tally.details(self.summary), progress, news)
        self._kept_at = time.monotonic()


def told(error: BaseException) -> Told:
    """The error as it is kept; of one that was not planned nothing but that it happened."""
    said = known(error)
    if isinstance(said, InternalError):
        return Told(said.code, said.message, "Look at the log of the service for the id of this job.")
    return Told(said.code, said.message, said.next_step)


def _entry(report: FileReport, prefix: str, document: str) -> FileEntry:
    error: GroundedError | None = report.error
    return FileEntry(
        prefix + report.path,
        report.status,
        None if report.status == "skipped" and error is None else document,
        report.chunks,
        report.pages,
        report.ms,
        told(error) if error is not None else None,
        report.warnings,
        report.renamed_from,
    )
