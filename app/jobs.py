"""Jobs: work that outlives the request that asked for it, and the process that does it.

The store in the catalog is the only truth about a job; the runner is told its id and nothing else. So whatever the runner
remembers or forgets, a document's name is in one place, and a job that is not at its end is begun again at the next start.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Literal, Protocol

from app.keys.model import LOCAL, Principal

JobType = Literal["ingest", "delete", "reindex", "batch"]
Line = Literal["jobs", "reindex", "batch"]
JobStatus = Literal["enqueued", "processing", "succeeded", "failed", "canceled"]
ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "canceled")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `total` is known once its work was planned; until then it is 0."""

    done: int = 0
    total: int = 0
    unit: str = "files"


@dataclass(frozen=True, slots=True)
class Told:
    """An error as it is kept: what the envelope says of it."""

    code: str
    message: str
    next_step: str


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a job did with one file. `ms` is the time to read and cut it; `document_id` is None where none was made;
    `warnings` say what of its metadata was left out."""

    path: str
    status: str
    document_id: str | None = None
    chunks: int = 0
    pages: int | None = None
    ms: float = 0.0
    error: Told | None = None
    warnings: tuple[str, ...] = ()
    renamed_from: str | None = None  # told as it happens and not kept: that document is gone


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. `spec` says what is to be done; an ingest's is emptied at the end, since it may name documents."""

    id: str
    type: JobType
    spec: Mapping[str, Any]
    status: JobStatus
    enqueued_at: datetime
    updated_at: datetime
    details: Mapping[str, int] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    error: Told | None = None
    attempts: int = 0
    cancel_requested: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    owner: Principal = LOCAL  # who asked for it, with the rights of that moment

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def targets(self) -> tuple[tuple[str, str, str], ...]:
        """What this works on, and no unlike job may at the same time: folders, each with its collection; or the index."""
        if self.type == "reindex":
            return (("", "", "index"),)  # of no collection: there is none without a name
        folders = self.spec.get("folders", ()) if self.type == "ingest" else ()
        return tuple((self.owner.tenant, self.spec["collection"], path) for path in folders)

    @property
    def line(self) -> Line:
        """In which line it waits. A reindex or a batch may take hours, and documents go on coming and going beside it."""
        return self.type if self.type in ("reindex", "batch") else "jobs"


def new_job(kind: JobType, spec: Mapping[str, Any], owner: Principal = LOCAL) -> Job:
    """A job that nobody has seen yet."""
    now = datetime.now(UTC)
    return Job(f"job_{token_hex(12)}", kind, spec, "enqueued", now, now, owner=owner)


@dataclass(frozen=True, slots=True)
class Key:
    """An Idempotency-Key, hashed, with the fingerprint of the request that it came with."""

    hash: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered to a request with that key; `status` None: it was cut off after its job was kept."""

    job_id: str | None
    status: int | None
    body: bytes | None


class JobStore(Protocol):
    """Where jobs are kept. Every call is one transaction."""

    async def submit(self, job: Job, key: Key | None = None) -> Job:
        """Keep a new job. An equal ingest of a folder that is not at its end is returned instead of it.

        Raises IngestRunning when an unlike one works on the same folder, ReindexRunning when one builds another index.
        """
        ...

    async def find(self, job_id: str) -> Job | None:
        """The job, or None."""
        ...

    async def page(
        self,
        limit: int,
        after: str | None = None,
        status: JobStatus | None = None,
        who: Principal | None = None,
    ) -> list[Job]:
        """Jobs that `who` may see, the newest first, starting behind `after`; all of them for None."""
        ...

    async def unfinished(self) -> list[Job]:
        """Jobs that are not at their end, the oldest first."""
        ...

    async def files(self, job_id: str) -> list[FileEntry]:
        """What it did with each file that it changed or could not take, by path; files since deleted are not in it."""
        ...

    async def begin(self, job_id: str) -> Job | None:
        """Processing from now on, one attempt more. None when it is at its end or there is none."""
        ...

    async def advance(
        self, job_id: str, details: Mapping[str, int], progress: Progress, files: Sequence[FileEntry] = ()
    ) -> None:
        """Replace details and progress, add files. It got on, so its attempts count from 0 again."""
        ...

    async def touch(self, job_ids: Collection[str]) -> None:
        """These are being worked on at this moment."""
        ...

    async def finish(self, job_id: str, status: JobStatus, error: Told | None = None) -> None:
        """The end; what comes after an end changes nothing. What was asked for is forgotten."""
        ...

    async def cancel(self, job_id: str) -> Job | None:
        """An enqueued job is canceled at once, a processing one is asked to stop. None when there is none."""
        ...

    async def count_named(self, document_id: str) -> int:
        """How many entries of jobs name the document."""
        ...

    async def unname(self, document_id: str) -> None:
        """Forget what jobs tell of the document."""
        ...

    async def recall(self, key: Key) -> Reply | None:
        """What the key was answered with, None when it is new. Raises IdempotencyConflict for another fingerprint."""
        ...

    async def remember(self, key: Key, status: int, body: bytes) -> None:
        """What the key is answered with from now on."""
        ...

    async def prune(self, before: datetime) -> int:
        """Forget jobs that ended, and keys that came, before that; how many jobs."""
        ...


Work = Callable[[str], Awaitable[None]]


class RunnerUnavailableError(Exception):
    """The runner cannot be used now. No job is lost by it: those that are not at their end are adopted later."""


class JobRunner(Protocol):
    """Runs jobs by id, those of one line one after another, and remembers across a crash which it was given.

    Its calls but `stop` raise RunnerUnavailableError.
    """

    async def start(self, work: Work) -> None:
        """From now on `work` is awaited for each job. It runs on the event loop of this call. Again, if it failed."""
        ...

    async def enqueue(self, job_id: str, line: Line = "jobs") -> None:
        """Run it when its turn comes. Twice does no harm."""
        ...

    async def adopt(self, job_ids: Sequence[str], line: Line = "jobs") -> list[str]:
        """See to it that each of these will be run, whatever became of it; those that had to be put in line anew."""
        ...

    async def stop(self) -> None:
        """End. What runs is cut off and begun again after the next start."""
        ...
