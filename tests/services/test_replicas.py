"""Two processes of the service on one PostgreSQL, one Qdrant and one folder of uploads: what one does the other knows.

What stands for Qdrant is the client's own in-memory mode behind its own protocol: a server that both share.
"""

import asyncio
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.adapters.sql_keys import SqlKeys
from app.keys.model import SCOPES, Key, new_key
from ingest.adapters import key_tables
from ingest.adapters.sql_catalog import SqlCatalog
from tests.app.serving import write
from tests.fake_qdrant import fake_qdrant
from tests.journeys.served_jobs import call, ended, stood, until
from tests.journeys.test_jobs import ASKED, HARBOUR, SLOWLY, answer, guide, post_files, submit
from tests.journeys.test_service import Served
from tests.patience import PATIENCE_S
from tests.services.databases import database

pytestmark = [pytest.mark.services, pytest.mark.models, pytest.mark.slow]


@dataclass
class Replicas:
    """The first that was started leads."""

    database_url: str
    one: Served
    two: Served

    @property
    def both(self) -> tuple[Served, Served]:
        return self.one, self.two


@contextmanager
def replicas(folder: Path, database_url: str) -> Iterator[Replicas]:
    with ExitStack() as closing:
        qdrant = closing.enter_context(fake_qdrant())
        settings = {
            "GROUNDED_DATABASE_URL": database_url,
            "GROUNDED_QDRANT_URL": qdrant.url,
            "GROUNDED_INDEX__GRPC": "false",
            "GROUNDED_INDEX__TIMEOUT_S": "60",
            "GROUNDED_INDEX__WRITE_TIMEOUT_S": "600",
            "GROUNDED_UPLOADS": str(folder / "uploads"),
            "GROUNDED_EMBEDDER__THREADS": "1",
            **SLOWLY,
        }
        served = []
        for name in ("one", "two"):
            served.append(Served(folder / name, folder / f"{name}.log", **settings))
            closing.callback(served[-1].stop)
            served[-1].wait_ready()
        yield Replicas(database_url, *served)


@pytest.fixture(scope="module")
def running(migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with database(migrated) as url, replicas(tmp_path_factory.mktemp("replicas"), url) as found:
        yield found


def test_what_one_takes_in_the_other_answers_from_and_what_one_deletes_is_gone(running: Replicas) -> None:
    """Sent to the one that does not lead, so the other runs the job."""
    job = ended(running.two, post_files(running.two, harbour_md=HARBOUR)["id"])
    assert (job["status"], job["details"]["added"], job["details"]["embedded"]) == ("succeeded", 1, 1)
    assert [file["status"] for file in job["files"]] == ["added"]
    for replica in running.both:
        assert stood(replica) == (1, 1)
        assert "1887" in answer(replica)
    (document,) = {source["document_id"] for source in running.two.ask(ASKED)["sources"]}
    deleted = call(running.one, "DELETE", f"/v1/documents/{document}")
    for replica in running.both:
        assert replica.ask(ASKED)["sources"] == []
        assert ended(replica, deleted["job_id"])["receipt"]["uploads"] == 1


def test_a_job_is_followed_and_canceled_where_it_does_not_run(running: Replicas, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", {f"{n:02}.md": guide(n) for n in range(60)})
    job = submit(running.two, docs)
    until(lambda: call(running.two, "GET", f"/v1/jobs/{job['id']}")["details"].get("indexed", 0) >= 2)
    call(running.two, "POST", f"/v1/jobs/{job['id']}/cancel")
    after = ended(running.two, job["id"])
    assert after["status"] == "canceled"
    assert after["details"]["indexed"] < 60, "it was too fast to be canceled"


def asked(served: Served, secret: str) -> int:
    """The status of a question with that key."""
    body = json.dumps({"question": ASKED}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {secret}"}
    request = urllib.request.Request(f"http://127.0.0.1:{served.port}/ask", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            status: int = reply.status
            return status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def with_keys(url: str, *, add: Key | None = None, revoke: str = "") -> None:
    async def main() -> None:
        catalog = await asyncio.to_thread(SqlCatalog, url)
        store = SqlKeys(catalog, key_tables.api_keys)
        if add is not None:
            await store.add(add)
        if revoke:
            assert await store.revoke(revoke, datetime.now(UTC))
        await catalog.close()

    asyncio.run(main())


def test_kill_9_of_the_one_that_works_loses_no_job_and_a_revoked_key_ends_for_both(
    migrated: str, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", {f"{n:02}.md": guide(n) for n in range(40)})
    with database(migrated) as url, replicas(tmp_path, url) as running:
        job = submit(running.two, docs)
        before = until(
            lambda: (j := call(running.two, "GET", f"/v1/jobs/{job['id']}"))["details"].get("indexed", 0) >= 3 and j
        )
        running.one.stop(signal.SIGKILL)
        assert before["status"] == "processing", "it was too fast to be killed"
        after = ended(running.two, job["id"])
        assert (after["status"], after["details"]["indexed"]) == ("succeeded", 40)
        assert stood(running.two)[0] == 40
        assert after["details"]["embedded"] <= stood(running.two)[1]  # none twice: the vectors are in the database
        again = Served(tmp_path / "one", tmp_path / "again.log", **_own(running.one))
        try:
            again.wait_ready()
            assert stood(again) == stood(running.two)
            assert again.ask("Who built the lighthouse number 7 of harbour 1?")["sources"]
            _revoked_for_both(url, again, running.two)
        finally:
            again.stop()


def _own(served: Served) -> dict[str, str]:
    return {name: value for name, value in served.env.items() if name.startswith("GROUNDED_")}


def _revoked_for_both(url: str, *both: Served) -> None:
    key, secret = new_key(name="a", tenant="default", scopes=SCOPES, groups=None, collections=None, expires_at=None)
    with_keys(url, add=key)
    for served in both:
        comes(served, secret, 200)
        comes(served, "none", 401)
    with_keys(url, revoke=key.id)
    for served in both:
        comes(served, secret, 401)


def comes(served: Served, secret: str, status: int) -> None:
    """Ask until the answer has that status."""
    end = time.monotonic() + PATIENCE_S
    found: Any = None
    while time.monotonic() < end:
        if (found := asked(served, secret)) == status:
            return
        time.sleep(0.05)
    raise AssertionError(found)
