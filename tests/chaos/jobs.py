"""Uploads and deletions as jobs, the process killed about every second: each job one end, each effect once.

The real dispatcher, DBOS and stores; only the embedder is made of hashes. A request that was not acknowledged is sent again
in a later life, as a client would. What was acknowledged must come about without a word from anybody.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

from app.adapters.dbos_runner import DbosRunner
from app.adapters.sql_jobs import SqlJobs
from app.dispatch import Dispatcher
from app.jobs import new_job
from app.uploads import Upload, Uploads
from app.work import Worker
from ingest.adapters import job_tables, tables
from ingest.model import document_id
from ingest.scan import Patterns
from tests.chaos.process import Child, Outcome, Told
from tests.chaos.rig import COLLECTION, SCOPE, Rig, cut, opened, stored_tokens
from tests.chaos.stage import scratch

_SENT_AT_ONCE = 12  # in one life
_LIFE_S = (0.3, 2.0)
_DELETED = 7  # every so many-th document, once it is in
_START_S = 0.4  # on a machine that has nothing else to do; elsewhere lives are longer in proportion


@dataclass(slots=True)
class Client:
    """What a client knows: what was acknowledged, with the id of its job; and what it found gone when it asked again for a
    deletion whose reply a kill had cut off."""

    uploads: dict[int, str] = field(default_factory=dict)
    deletions: dict[int, str] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    written: Counter[str] = field(default_factory=Counter)

    def learn(self, outcome: Outcome) -> None:
        self.uploads |= dict(outcome.all("up"))
        self.deletions |= dict(outcome.all("down"))
        self.gone.update(outcome.all("gone"))
        self.written.update(point for points in outcome.all("written") for point in points)


@dataclass(frozen=True, slots=True)
class Service:
    """A life of the service."""

    rig: Rig
    jobs: Dispatcher
    files: Uploads


def sweep(n: int, seed: int) -> dict[str, Any]:
    """`n` jobs."""
    random, client, wrong = Random(seed), Client(), list[str]()
    kills, slowest, slowness = 0, 0.0, 1.0
    with scratch() as root:
        state = root / "state"
        while len(client.uploads) + len(client.deletions) + len(client.gone) < n:
            todo = _todo(client, n)
            child = Child(lambda tell, todo=todo: live(state, todo, None, tell))  # type: ignore[misc]
            outcome = _after(child, random.uniform(*_LIFE_S) * slowness)
            client.learn(outcome)
            kills += outcome.signal is not None
            ready = outcome.last("ready")
            slowest = max(slowest, ready or 0.0)
            slowness = max(1.0, ready / _START_S) if ready else 1.5 * slowness  # killed before it could do anything
            if outcome.signal is None and outcome.status != 0:
                wrong.append(f"died: {outcome.last('raised')}")
                break
        last = Child(lambda tell: live(state, ([], []), client, tell)).ended()
        client.learn(last)
    wrong += last.all("wrong") + ([str(last.last("raised") or last.signal)] if last.status != 0 else [])
    wrong += [f"{point} was embedded {times} times" for point, times in client.written.items() if times > 1]
    return {
        "jobs": len(client.uploads) + len(client.deletions),
        "deletions": len(client.deletions),
        "found_gone": len(client.gone),
        "kills": kills,
        "ended": last.last("ended"),
        "chunks": last.last("chunks"),
        "embedded": sum(client.written.values()),
        "start_s": round(slowest, 3),
        "wrong": wrong,
    }


def _todo(client: Client, n: int) -> tuple[list[int], list[int]]:
    """What is sent next: files that were not acknowledged, and documents to be deleted that are old enough to be in."""
    old = sorted(client.uploads)[:-_SENT_AT_ONCE]
    deletions = [number for number in old if number % _DELETED == 0 and number not in client.deletions]
    deletions = [number for number in deletions if number not in client.gone]
    left = n - len(client.uploads) - len(client.deletions) - len(client.gone) - len(deletions)
    files = [number for number in range(n) if number not in client.uploads]
    return files[: max(0, min(left, _SENT_AT_ONCE))], deletions[:_SENT_AT_ONCE]


def _after(child: Child, seconds: float) -> Outcome:
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0 and child.poll(left):
        pass
    child.kill()
    return child.ended()


def live(state: Path, todo: tuple[list[int], list[int]], judged: Client | None, tell: Told) -> None:
    """Start, take what is sent, work until it is killed; the last life ends when all is done, and is judged."""

    async def main() -> None:
        start = time.perf_counter()
        async with served(state, tell) as service:
            tell({"ready": time.perf_counter() - start})
            for number in todo[0]:
                tell({"up": [number, await _upload(service, number)]})
            for number in todo[1]:
                if (job := await _delete(service, number)) is not None:
                    tell({"down": [number, job]})
                elif await service.rig.catalog.receipt(_document(service, number)) is not None:
                    tell({"gone": number})
            while judged is None or await service.jobs.store.unfinished():  # noqa: ASYNC110  killed, or done
                await asyncio.sleep(0.05)
            await _judge(service, judged, tell)

    asyncio.run(main())


@asynccontextmanager
async def served(state: Path, tell: Told) -> AsyncIterator[Service]:
    """As `app.wiring` puts it together."""
    async with opened(state, tell) as rig:
        store = SqlJobs(
            rig.catalog, job_tables.jobs, job_tables.job_files, job_tables.idempotency_keys, tables.documents
        )
        files = Uploads(state / "uploads", 0, 2**20)
        worker = Worker(rig.catalog, rig.ingest, files, store, lambda *_: Patterns(), _at_once)
        jobs = Dispatcher(store, DbosRunner(state / "jobs.sqlite"), worker, 30)
        await jobs.started()
        try:
            yield Service(rig, jobs, files)
        finally:
            await jobs.stop()


async def _at_once() -> None:
    """There is no model to wait for."""


async def _upload(service: Service, number: int) -> str:
    collection = await service.rig.catalog.collection(COLLECTION, create=True)
    assert collection is not None
    kept = await service.files.keep(collection, [Upload(_name(number), BytesIO(_text(number).encode()))])
    spec = {"collection": COLLECTION, "uploads": list(kept.document_ids), "force": False}
    return (await service.jobs.submit(new_job("ingest", spec))).id


async def _delete(service: Service, number: int) -> str | None:
    """None when it is not in: not yet, or not any more."""
    document = _document(service, number)
    if await service.rig.catalog.document(document) is None:
        return None
    file = await service.files.mark(SCOPE.collection_id, document)
    job = new_job("delete", {"document_id": document, "collection_id": SCOPE.collection_id, "file": file})

    async def hide() -> None:
        await service.rig.ingest.hide(document, job.id)
        await service.files.set_aside(SCOPE.collection_id, document, file)

    return (await service.jobs.submit(job, prepared=hide)).id


async def _judge(service: Service, client: Client, tell: Told) -> None:
    """A deletion that was cut off before it was acknowledged may have been carried out or not."""
    catalog, ended = service.rig.catalog, Counter[str]()
    for job_id in [*client.uploads.values(), *client.deletions.values()]:
        job = await service.jobs.find(job_id)
        ended[job.status] += 1
        if job.status != "succeeded":
            tell({"wrong": f"{job.id} {job.type} is {job.status}: {job.error}"})
    rows = {row.name: row for row in await catalog.documents(SCOPE.collection_id, 10_000)}
    folder, chunks = service.files.folder(SCOPE.collection_id), 0
    for number in client.uploads:
        row = rows.pop(_name(number), None)
        if row is None:
            receipt = await catalog.receipt(_document(service, number))
            left = {name: place.left for name, place in receipt.places.items()} if receipt else {"no receipt": 1}
            if number % _DELETED or any(left.values()) or None in left.values():
                tell({"wrong": f"{_name(number)} is lost: {left}"})
            continue
        if number in client.deletions or number in client.gone:
            tell({"wrong": f"{_name(number)} was deleted and is there"})
        wanted = [chunk.id for chunk in cut(folder, row.name, _text(number).encode())]
        chunks += len(wanted)
        if await catalog.live_ids(row.id) != wanted or await service.rig.points.existing(wanted) != set(wanted):
            tell({"wrong": f"{row.name} is not what was sent"})
    if rows or await catalog.unfinished() or await catalog.retired():
        tell({"wrong": f"left over: {sorted(rows)}"})
    stored = (await service.rig.points.count(), len(stored_tokens(service.rig.state)))
    if stored != (chunks, chunks):
        tell({"wrong": f"{stored} points and vectors for {chunks} chunks"})
    tell({"ended": dict(ended), "chunks": chunks})


def _document(service: Service, number: int) -> str:
    return document_id(SCOPE.collection_id, service.files.folder(SCOPE.collection_id), _name(number))


def _name(number: int) -> str:
    return f"note {number:04}.md"


def _text(number: int) -> str:
    said = "Lighthouse {number} of harbour {k} was built in {year} by builder {builder} for {builder} crowns. " * 12
    parts = [
        f"## Part {k}\n\n" + said.format(number=number, k=k, year=1000 + number, builder=number * k + 1)
        for k in range(4)
    ]
    return f"# Note {number}\n\n" + "\n\n".join(parts) + "\n"
