"""Bugs to plant in the service: jobs, uploads, deletions on request, generations of the index. See `plants.py`."""

from tests.chaos.batch_plants import BATCHES
from tests.chaos.mutant import Mutant

_CATALOG = "ingest/adapters/sql_catalog.py"
_DBOS = "app/adapters/dbos_runner.py"
_JOBS = "app/adapters/sql_jobs.py"
_DISPATCH = "app/dispatch.py"
_UPLOADS = "app/uploads.py"
_STORE = "tests/app/test_job_store.py::TestSqlJobs"
_DISPATCHED = "tests/app/test_dispatch.py"
_POSTED = "tests/app/jobs"
_REINDEX = "app/reindex.py"
_REINDEXED = "tests/app/reindex"

SERVICE = (
    # Jobs, uploads, deletions on request
    Mutant(
        "a planted row of the runner is unpickled",
        _DBOS,
        "        _refuse_pickle()\n        self._engine",
        "        self._engine",
        f"{_DISPATCHED}::TestPickle",
    ),
    Mutant(
        "jobs of a process that died stay as they were",
        _DBOS,
        ' and found[0].status == "PENDING" and not self._suspect(job_id):\n',
        ' or found[0].status == "PENDING":\n',
        f"{_DISPATCHED}::TestLives",
    ),
    Mutant(
        "jobs of another release stay as they were",
        _DBOS,
        "        if found and found[0].app_version == VERSION:\n",
        "        if found:\n",
        f"{_DISPATCHED}::TestLives",
    ),
    Mutant(
        "a job that was kept and not put in line is forgotten",
        _DISPATCH,
        "            adopted = await self._runner.adopt([job.id for job in left if job.line == line], line)\n",
        "            adopted = None\n",
        f"{_DISPATCHED}::TestLives",
    ),
    Mutant(
        "two jobs run at once",
        _DBOS,
        '"jobs": (0.25, 1),',
        '"jobs": (0.25, 4),',
        f"{_DISPATCHED}::TestEnds",
    ),
    Mutant(
        "of two equal ingests that come at once both are kept",
        _JOBS,
        "                if other.spec == job.spec and not other.cancel_requested:\n                    return other\n",
        "                if other.spec == job.spec and not other.cancel_requested:\n                    return None\n",
        f"{_STORE}::test_an_equal_ingest_of_a_folder_joins_the_one_that_is_not_at_its_end",
    ),
    Mutant(
        "an upload is acknowledged before it is on disk",
        _UPLOADS,
        "            os.fsync(file.fileno())\n",
        "",
        "tests/app/test_uploads.py",
    ),
    Mutant(
        "a file sent again right behind a deletion is deleted with the old one",
        _UPLOADS,
        "                if mark is None or _mark(folder / name) != list(mark):\n                    continue\n",
        "",
        f"{_POSTED}/test_delete.py::TestDelete",
    ),
    Mutant(
        "a run that began before a deletion brings the document back",
        "ingest/adapters/sql_versions.py",
        "        if document in gone:\n            continue\n",
        "",
        "tests/ingest/test_catalog.py",
    ),
    Mutant(
        "what jobs tell of a document outlives it",
        "ingest/adapters/migrations/versions/0003_jobs.py",
        'sa.ForeignKey("documents.id", ondelete="CASCADE")',
        'sa.ForeignKey("documents.id", ondelete="SET NULL")',
        "tests/app/test_job_store.py::test_a_document_that_is_forgotten_takes_along_what_jobs_tell_of_it",
    ),
    Mutant(
        "the catalog's log keeps deleted text",
        _CATALOG,
        "            await shielded(self._pool, empty_log)\n",
        "            assert empty_log\n",
        f"{_POSTED}/test_delete.py::TestDelete::test_no_file_of_the_state_holds_its_text",
    ),
    Mutant(
        "an upload that is cut off loses its last file in silence",
        "app/api/uploads.py",
        '        if b"--" + boundary + b"--" not in tail:\n',
        "        if False:\n",
        f"{_POSTED}/test_upload.py::TestUpload::test_what_is_refused",
    ),
    # Generations of the index
    Mutant(
        "a worse index is swapped in",
        _REINDEX,
        "        if change < -self._limits.allowed_drop and not force:\n",
        "        if change < -2 and not force:\n",
        f"{_REINDEXED}/test_build.py::TestBuild::test_a_worse_index_is_refused_and_can_be_forced",
    ),
    Mutant(
        "a kept index holds what was deleted",
        "app/generations.py",
        "            await collect(stores.points, stores.vectors, document_id, keep)\n",
        "            assert collect\n",
        f"{_REINDEXED}/test_back.py::TestRollback::test_it_goes_back_with_all_that_has_changed_since",
    ),
    Mutant(
        "a copy is written behind the deletion",
        "app/generations.py",
        "        await self._generations.settled(document_id)\n",
        "",
        f"{_REINDEXED}/test_meanwhile.py::TestMeanwhile::test_a_document_that_is_deleted_is_in_neither",
    ),
    Mutant(
        "an index is swapped in the middle of an ingest",
        _REINDEX,
        "        async with self._ingest.paused():\n",
        "        async with asyncio.Lock():\n",
        f"{_REINDEXED}/test_meanwhile.py::TestMeanwhile::test_a_swap_waits_for_the_run_that_is_in_its_middle",
    ),
    Mutant(
        "an index is swapped in that lacks chunks",
        _REINDEX,
        "            await self._check_whole(serving, course)\n",
        "",
        f"{_REINDEXED}/test_back.py::TestRollback::test_what_the_clock_hides_is_counted",
    ),
    Mutant(
        "an answer is scored by another embedder than it was searched with",
        "app/generations.py",
        "        name = query.generation if isinstance(query, AskedQuery) else self._generations.live.fingerprint\n",
        "        name = self._generations.live.fingerprint\n",
        f"{_REINDEXED}/test_back.py::TestDrop::test_it_waits_for_the_searches_that_began_before_the_swap",
    ),
    *BATCHES,
)
