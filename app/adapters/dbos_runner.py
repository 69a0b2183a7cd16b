"""The job runner on DBOS, in an SQLite file of its own that holds job ids and nothing else; or in the PostgreSQL of the
catalog, in a schema of its own, `dbos`.

What is bent to our rules, each for something that was seen to happen with 3.4.0:

- Its default serializer is pickle, and a row that is marked so is unpickled whatever serializer is configured: both ways
  of it refuse here.
- It takes up only workflows of its own application version, by default a hash of the code: the version is a constant.
- Every process is executor `local` by default, and a second one re-runs what the first is running: each process has a
  name of its own, and `adopt` takes over from the dead. Start it only while the state folder's lock is held, or the lead.
- Its limits across executors count what dead ones left behind, so the limit of jobs at a time is this worker's.
- Environment variables connect it to its hosted control plane: they are taken away first.

File or schema can be thrown away at any time: the catalog knows which jobs are not at their end, and `adopt` puts them in line.
"""

import asyncio
import concurrent.futures
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import structlog

from app.jobs import Line, RunnerUnavailableError, Work
from ingest.shielded import shielded

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")
VERSION = "1"  # of the one workflow below. It keeps nothing between steps, so no release has a reason to change it
_WORKFLOW = "run_job"
# How often each line is looked at, in seconds, and how many of it run at once. Each look costs some milliseconds of CPU, also
# where nothing waits. People wait for the first, few for the second; a batch that waits for its provider must not keep the
# next one from beginning.
_LINES: dict[Line, tuple[float, int]] = {"jobs": (0.25, 1), "reindex": (1.0, 1), "batch": (1.0, 4)}
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_FORGOTTEN_AT_ONCE = 1000
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000")
_log = structlog.get_logger()


class PickleRefusedError(Exception):
    """A row asks for being unpickled, which would run whatever it says."""


class _WorkFailedError(Exception):
    """The work could not even say how it failed. Kept by DBOS in plain text, so it says nothing of its own."""


class _CutOffError(BaseException):
    """The process ends: DBOS keeps no outcome of what leaves like this, and the job is begun again."""


class DbosRunner:
    """JobRunner. DBOS is one per process, and so is this."""

    def __init__(self, where: "Path | Engine") -> None:
        """A file of SQLite, or an engine of PostgreSQL that is ours. Touches nothing; `start` does."""
        self._where = where
        self._executor = f"{os.getpid()}-{token_hex(8)}"
        self._thread = _thread()
        self._running: dict[str, concurrent.futures.Future[None]] = {}
        self._suspects: set[str] = set()
        self._engine: Engine | None = None
        self._stopping = threading.Event()

    async def start(self, work: Work) -> None:
        if self._stopping.is_set():  # it was stopped, and is to go on
            self._stopping.clear()
            self._thread = _thread()
        self._loop = asyncio.get_running_loop()
        self._work = work
        await self._call(self._launch)

    async def enqueue(self, job_id: str, line: Line = "jobs") -> None:
        await self._call(lambda: self._enqueue(job_id, line))

    async def adopt(self, job_ids: Sequence[str], line: Line = "jobs") -> list[str]:
        return await self._call(lambda: [job_id for job_id in job_ids if self._adopt(job_id, line)])

    async def stop(self) -> None:
        self._stopping.set()
        for run in list(self._running.values()):
            run.cancel()
        await self._call(self._destroy)
        self._thread.shutdown()

    def _launch(self) -> None:
        if isinstance(self._where, Path) and not _sound(self._where):
            _throw_away(self._where)
        try:
            self._open()
            self._forget_ended()
        except BaseException:
            self._destroy()  # DBOS is one per process, and a half of it would stand in the way of the next
            raise

    def _open(self) -> None:
        for name in [name for name in os.environ if name.startswith("DBOS_")]:
            del os.environ[name]
        logging.getLogger("dbos").addHandler(logging.NullHandler())  # or it writes to the terminal by itself
        logging.getLogger("dbos").propagate = True
        from dbos import DBOS
        from dbos._serialization import DBOSPortableJSON

        _refuse_pickle()
        self._engine = _engine(self._where) if isinstance(self._where, Path) else self._where
        kind = "sqlite:///jobs.sqlite" if isinstance(self._where, Path) else "postgresql://jobs/jobs"
        DBOS(
            config={
                "name": "grounded",
                "system_database_url": kind,  # and no address: the engine is ours
                "system_database_engine": self._engine,
                "serializer": DBOSPortableJSON,
                "application_version": VERSION,
                "executor_id": self._executor,
                "log_level": "WARNING",
                "enable_otlp": False,
                "use_listen_notify": False,
                "max_executor_threads": 8,
            }
        )

        @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
        def workflow(job_id: str) -> None:
            self._run(job_id)

        self._workflow = workflow
        DBOS.launch()
        for queue, (seconds, most) in _LINES.items():
            DBOS.register_queue(
                queue, worker_concurrency=most, polling_interval_sec=seconds, on_conflict="always_update"
            )

    def _run(self, job_id: str) -> None:
        """The workflow, on a thread of DBOS: the work itself is done on the event loop."""
        if self._stopping.is_set():
            raise _CutOffError
        run = asyncio.run_coroutine_threadsafe(self._awaited(job_id), self._loop)
        self._running[job_id] = run
        if self._stopping.is_set():
            run.cancel()
        try:
            error = run.exception()
        except concurrent.futures.CancelledError:
            raise _CutOffError from None
        finally:
            self._running.pop(job_id, None)
        if error is not None:
            _log.error("job.lost", job_id=job_id, error=type(error).__name__)
            raise _WorkFailedError("see the log")

    async def _awaited(self, job_id: str) -> None:
        await self._work(job_id)

    def _enqueue(self, job_id: str, line: Line) -> None:
        from dbos import DBOS, SetWorkflowID

        with SetWorkflowID(job_id):
            DBOS.enqueue_workflow(line, self._workflow, job_id)

    def _adopt(self, job_id: str, line: Line) -> bool:
        """Left alone: what waits in line, and what runs here. All else is put in line anew; the work bears repeating."""
        from dbos import DBOS

        if job_id in self._running:
            return False
        found = DBOS.list_workflows(workflow_ids=[job_id], load_input=False, load_output=False)
        if found and found[0].app_version == VERSION:
            if found[0].status == "ENQUEUED" and found[0].queue_name == line:
                return False
            if found[0].executor_id == self._executor and found[0].status == "PENDING" and not self._suspect(job_id):
                return False
        if found:
            DBOS.delete_workflow(job_id)
        self._enqueue(job_id, line)
        return True

    def _suspect(self, job_id: str) -> bool:
        """Claimed here and not running is a moment on the way to the thread; seen twice, it was lost on that way."""
        if job_id in self._suspects:
            self._suspects.discard(job_id)
            return True
        self._suspects.add(job_id)
        return False

    def _forget_ended(self) -> None:
        """Their jobs are told of by the catalog, for as long as it keeps them."""
        from dbos import DBOS

        while found := DBOS.list_workflows(
            status=_ENDED, limit=_FORGOTTEN_AT_ONCE, load_input=False, load_output=False
        ):
            DBOS.delete_workflows([workflow.workflow_id for workflow in found])

    def _destroy(self) -> None:
        from dbos import DBOS

        DBOS.destroy(destroy_registry=True)
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    async def _call(self, work: Callable[[], T]) -> T:
        def translated() -> T:
            from dbos import error
            from sqlalchemy.exc import SQLAlchemyError

            try:
                return work()
            except (SQLAlchemyError, error.DBOSException, sqlite3.Error, OSError) as why:
                raise RunnerUnavailableError(f"The store of jobs cannot be used: {type(why).__name__}.") from why

        return await shielded(self._thread, translated)


def _thread() -> ThreadPoolExecutor:
    """Of the calls of DBOS: they block, and some refuse a loop."""
    return ThreadPoolExecutor(1, thread_name_prefix="jobs")


def _throw_away(damaged: Path) -> None:
    _log.warning("jobs.file_damaged", next_step="Nothing is lost: the catalog knows the jobs.")
    for suffix in ("", "-wal", "-shm"):
        damaged.with_name(damaged.name + suffix).unlink(missing_ok=True)


def _engine(file: Path) -> "Engine":
    from sqlalchemy import URL, create_engine, event

    engine = create_engine(URL.create("sqlite", database=str(file)), connect_args={"check_same_thread": False})

    def durable(connection: Any, _record: Any) -> None:
        """All of these belong to a connection. IMMEDIATE as DBOS sets it on engines of its own making."""
        connection.isolation_level = "IMMEDIATE"
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", durable)
    return engine


def _refuse_pickle() -> None:
    from dbos import _serialization

    def refuse(*_: Any) -> NoReturn:
        raise PickleRefusedError("Nothing is pickled or unpickled here.")

    _serialization.DefaultSerializer.serialize = refuse  # type: ignore[assignment, method-assign]
    _serialization.DefaultSerializer.deserialize = refuse  # type: ignore[assignment, method-assign]


def _sound(file: Path) -> bool:
    """Whether the file is missing or a whole database."""
    if not file.exists():
        return True
    try:
        with closing(sqlite3.connect(file)) as db:
            return bool(db.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False
