"""Jobs from their submission to their end: who joins whom, who is stopped, and who is told of what."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from app.error_table import known
from app.errors import InternalError, JobAbandoned, JobFinished, JobNotFound, ShuttingDown
from app.jobs import FileEntry, Job, JobRunner, JobStatus, JobStore, Key, RunnerUnavailableError, Told
from app.keys.model import Principal
from app.lead import ALONE, Lead
from app.work import Tell, told
from ingest.errors import GroundedError

_MOST_ATTEMPTS = 20  # begun, and never got on: then the work itself ends the process
_WATCH_S = 5.0
_TOLD_EVERY_S = 0.25
_REMEMBERED = 8  # jobs at their end whose files can still be followed as they came
_CANCEL_WAIT_S = 1.0
_log = structlog.get_logger()


class Work(Protocol):
    """What is done for a job. `app.work.Worker` satisfies it."""

    async def run(self, job: Job, tell: Tell) -> JobStatus:
        """Do it, telling of each file; twice does no harm. Succeeded, or canceled where there was nothing to be done."""
        ...


class _Told:
    """What a job says of its files as it goes, for all who follow it from whenever on."""

    def __init__(self) -> None:
        self.entries: list[FileEntry] = []
        self.end = asyncio.Event()
        self._news = asyncio.Event()

    def tell(self, entry: FileEntry) -> None:
        self.entries.append(entry)
        self._wake()

    def finish(self) -> None:
        self.end.set()
        self._wake()

    async def news(self, seen: int, within: float) -> None:
        """Wait until there is more than was seen, or the time is over."""
        if len(self.entries) == seen and not self.end.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), within)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Dispatcher:
    """Takes jobs, has those of a line run one after another, and sees to it that each comes to an end."""

    def __init__(self, store: JobStore, runner: JobRunner, work: Work, keep_days: int, lead: Lead = ALONE) -> None:
        """Without the `lead` jobs are taken and told of here; whoever has it runs them."""
        self.store = store
        self._lead = lead
        self._runner = runner
        self._work = work
        self._keep = timedelta(days=keep_days)
        self._up = asyncio.Event()
        self._tried = False
        self._watch: asyncio.Task[None] | None = None
        self._runs: dict[str, asyncio.Task[JobStatus]] = {}
        self._active: set[str] = set()  # being prepared or run: nobody else is to see to them
        self._canceled: set[str] = set()
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._closed = False

    def start(self) -> None:
        """Begin to take up what an earlier process has left, and new jobs. Again, it does nothing."""
        if self._watch is None and not self._closed:
            self._watch = asyncio.create_task(self._watching())

    async def started(self) -> None:
        """Wait until the runner is up."""
        self.start()
        await self._up.wait()

    async def submit(
        self,
        job: Job,
        key: Key | None = None,
        prepared: Callable[[], Awaitable[None]] | None = None,
        keep: Callable[[Job, Key | None], Awaitable[Job]] | None = None,
    ) -> Job:
        """The job, or the equal one that is not at its end. `prepared` is awaited between keeping and starting it; `keep`
        keeps it where more than the job is to be kept in one commit.

        Raises IngestRunning, ShuttingDown.
        """
        if self._closed:
            raise ShuttingDown("The service is shutting down.")
        self.start()
        self._active.add(job.id)
        try:
            kept = await (keep or self.store.submit)(job, key)
            if prepared is not None:
                await self._prepare(kept, prepared)
            if self._lead.held:
                self._teller(kept.id)
        finally:
            self._active.discard(job.id)
        if self._up.is_set():
            with suppress(RunnerUnavailableError):  # it is kept, so it will be adopted
                await self._runner.enqueue(kept.id, kept.line)
        return kept

    async def _prepare(self, job: Job, prepared: Callable[[], Awaitable[None]]) -> None:
        try:
            await prepared()
        except BaseException:
            await asyncio.shield(self.store.cancel(job.id))
            raise

    async def find(self, job_id: str, who: Principal | None = None) -> Job:
        """The job, if `who` may see it; None sees all. Raises JobNotFound."""
        job = await self.store.find(job_id)
        if job is None or (who is not None and not who.may_see(job.owner)):
            raise JobNotFound("There is no such job.")
        return job

    async def cancel(self, job_id: str, who: Principal | None = None) -> Job:
        """Ask it to stop, and wait a moment for that; what it has committed stays. Raises JobNotFound, JobFinished."""
        if (await self.find(job_id, who)).ended:
            raise JobFinished("The job is at its end already.")
        self._canceled.add(job_id)
        job = await self.store.cancel(job_id)
        if job is None or job.ended:
            self._canceled.discard(job_id)
            self._end(job_id)
        elif job_id in self._runs:
            self._runs[job_id].cancel()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._teller(job_id).end.wait(), _CANCEL_WAIT_S)
        return await self.find(job_id)

    async def follow(self, job_id: str, who: Principal | None = None) -> AsyncGenerator[Job | FileEntry, None]:
        """The job as it stands, its files as they come, the job whenever it got on, and at last the job at its end.

        Ends without that when the service does. Raises JobNotFound.
        """
        job, seen = None, 0
        if (now := await self.find(job_id, who)).ended and job_id not in self._told:
            for entry in await self.store.files(job_id):
                yield entry
            yield now
            return
        teller = self._teller(job_id)
        while True:
            over = teller.end.is_set() or self._closed  # before the job is read, or its end could be missed
            now = await self.find(job_id)
            fresh = teller.entries[seen:]
            seen += len(fresh)
            for entry in fresh:
                yield entry
            if now.ended and not teller.end.is_set() and job_id not in self._active:  # another process has run it
                for entry in await self.store.files(job_id) if seen == 0 else ():
                    yield entry
                self._end(job_id)
            if now != job:
                yield now
            if now.ended or over:
                return
            job = now
            await teller.news(seen, _TOLD_EVERY_S)

    def close(self) -> None:
        """Take nothing new from now on."""
        self._closed = True

    async def stop(self) -> None:
        """Cut off what runs; the next start takes it up."""
        self._closed = True
        for teller in self._told.values():
            teller.finish()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._tried:  # also a start that was cut off in the middle has begun threads
            await self._cut_off()

    async def _run(self, job_id: str) -> None:
        """What the runner awaits: from the first attempt to the end, or to the end of the process."""
        if self._closed:
            raise asyncio.CancelledError
        self._active.add(job_id)
        try:
            job = await self.store.begin(job_id)
            if job is not None:
                status, error = await self._outcome(job)
                await self.store.finish(job_id, status, error)
        finally:
            self._active.discard(job_id)
            self._canceled.discard(job_id)
            self._end(job_id)

    async def _outcome(self, job: Job) -> tuple[JobStatus, Told | None]:
        if job.cancel_requested or job.id in self._canceled:
            return "canceled", None
        if job.attempts > _MOST_ATTEMPTS:
            return "failed", told(JobAbandoned(f"It was begun {job.attempts - 1} times and never got on."))
        if self._teller(job.id).end.is_set():  # of an attempt that was lost
            del self._told[job.id]
        run = self._runs[job.id] = asyncio.create_task(self._work.run(job, self._teller(job.id).tell))
        try:
            return await run, None
        except asyncio.CancelledError:
            if job.id not in self._canceled or self._closed:
                raise
            return "canceled", None
        except Exception as error:  # noqa: BLE001  whatever it was, the job has come to an end and says so
            if isinstance(known(error), InternalError):
                _log.error("job.failed", job_id=job.id, exc_info=error)
            return "failed", told(error)
        finally:
            self._runs.pop(job.id, None)

    async def _watching(self) -> None:
        """Run what is to be run while the lead is ours, for as long as the process lives."""
        while True:
            try:
                if await self._lead.hold():
                    await self._look()
                elif self._tried:
                    await self._stand_down()
            except (GroundedError, RunnerUnavailableError) as error:
                _log.warning("jobs.not_watched", cause=str(error))
            await asyncio.sleep(min(_WATCH_S, self._lead.every_s))

    async def _look(self) -> None:
        """Tell that what runs is alive, stop what another process was asked to stop, and put in line again what nobody
        runs."""
        if not self._up.is_set():
            await self._bring_up()
        if self._runs:
            await self.store.touch(list(self._runs))
        unfinished = await self.store.unfinished()
        for job in unfinished:
            if job.cancel_requested and job.id in self._runs:
                self._canceled.add(job.id)
                self._runs[job.id].cancel()
        await self._see_to([job for job in unfinished if job.id not in self._active])

    async def _stand_down(self) -> None:
        """Another process has the lead, or nobody knows who has: what runs here is cut off, and begun again by the leader."""
        _log.warning("jobs.stood_down")
        self._up.clear()
        self._tried = False
        await self._cut_off()

    async def _cut_off(self) -> None:
        runs = list(self._runs.values())
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        await self._runner.stop()

    async def _bring_up(self) -> None:
        self._tried = True
        await self._runner.start(self._run)
        self._up.set()
        await self.store.prune(datetime.now(UTC) - self._keep)

    async def _see_to(self, left: Sequence[Job]) -> None:
        for line in dict.fromkeys(job.line for job in left):
            adopted = await self._runner.adopt([job.id for job in left if job.line == line], line)
            if adopted:
                _log.info("jobs.taken_up", job_ids=adopted)

    def _teller(self, job_id: str) -> _Told:
        return self._told.setdefault(job_id, _Told())

    def _end(self, job_id: str) -> None:
        if job_id in self._told:
            self._told[job_id].finish()
        ended = [name for name, teller in self._told.items() if teller.end.is_set()]
        for old in ended[:-_REMEMBERED]:
            del self._told[old]
