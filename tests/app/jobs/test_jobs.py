"""Jobs about folders: they run one after another, can be watched and cancelled, and are told of."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.app.jobs.requests import HARBOUR, REFUNDS, Gated, documents, folder_job, post
from tests.app.serving import Service, assert_refused, events_of, write

pytestmark = pytest.mark.usefixtures("silent")


class TestJobs:
    def test_a_folder_of_this_machine(self, service: Service, name: str, tmp_path: Path) -> None:
        files = {"harbour.md": f"{HARBOUR}{name}", "deep/refunds.md": f"{REFUNDS}{name}", "song.mp3": b"x"}
        docs = write(tmp_path / "docs", files)
        reply = post(service, "/v1/jobs", **folder_job(docs, collection=name, exclude=["*.log"]))
        assert reply.status_code == 202
        job = service.ended(reply.json()["id"])
        assert job["details"] | {"run_ms": 0, "embed_ms": 0} == {
            "received": 3,
            "indexed": 2,
            "skipped": 1,
            "failed": 0,
            "deleted": 0,
            "added": 2,
            "chunks": 2,
            "embedded": 2,
            "run_ms": 0,
            "embed_ms": 0,
        }
        (docs / "harbour.md").unlink()
        gone = service.ended(post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
        assert (gone["details"]["deleted"], gone["details"]["unchanged"]) == (1, 1)
        assert "harbour" not in json.dumps([gone, service.get(f"/v1/jobs/{job['id']}").json()])
        listed = service.get("/v1/jobs", params={"limit": 1}).json()
        assert (listed["data"][0]["id"], listed["has_more"]) == (gone["id"], True)
        behind = service.get("/v1/jobs", params={"limit": 1, "after": listed["next"], "status": "succeeded"}).json()
        assert behind["data"][0]["id"] == job["id"]

    def test_the_second_of_two_alike_joins_and_one_unlike_is_refused(
        self, service: Service, name: str, tmp_path: Path, embedder: Gated
    ) -> None:
        docs = write(tmp_path / "docs", {"harbour.md": f"{HARBOUR}{name}"})
        embedder.gate.clear()
        first = post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()
        service.until(lambda: embedder.waiting)
        second = post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()
        assert (second["id"], second["status"]) == (first["id"], "processing")
        error = assert_refused(
            post(service, "/v1/jobs", **folder_job(docs, collection=name, force=True)), 409, "ingest_running"
        )
        assert error["details"] == {"job_id": first["id"]}
        embedder.gate.set()
        assert service.ended(first["id"])["details"]["embedded"] == 1

    def test_canceling_keeps_what_is_committed(
        self, service: Service, name: str, tmp_path: Path, embedder: Gated
    ) -> None:
        files = {f"{n}.md": f"{HARBOUR.replace('1887', str(1900 + n))}{name}" for n in range(4)}
        docs = write(tmp_path / "docs", files)
        embedder.gate.clear()
        job = post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()
        service.until(lambda: embedder.waiting)
        embedder.gate.set()
        service.until(lambda: len(documents(service, name)) >= 1)
        embedder.gate.clear()
        service.until(lambda: embedder.waiting or service.get(f"/v1/jobs/{job['id']}").json()["finished_at"])
        reply = post(service, f"/v1/jobs/{job['id']}/cancel")  # it comes back although the embedder stands still
        embedder.gate.set()
        if reply.status_code == 202:  # else it was over already: then a busy machine has let nothing be canceled
            assert reply.json()["status"] == "canceled"
        assert_refused(post(service, f"/v1/jobs/{job['id']}/cancel"), 409, "job_finished")
        kept = len(documents(service, name))
        again = service.ended(post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
        assert again["details"].get("unchanged", 0) == kept >= 1
        assert again["details"]["indexed"] == len(files)

    def test_its_events(self, service: Service, name: str, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {"harbour.md": HARBOUR, "refunds.md": REFUNDS})
        job = post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()
        reply = service.get(f"/v1/jobs/{job['id']}/events")
        assert reply.headers["content-type"].startswith("text/event-stream")
        events = events_of(reply.content)
        files = [event["file"]["path"] for event in events if event["type"] == "file"]
        assert files == ["harbour.md", "refunds.md"]
        assert (events[-1]["type"], events[-1]["job"]["status"]) == ("job", "succeeded")
        assert {event["type"] for event in events} == {"job", "file"}

    @pytest.mark.parametrize("path", ["/v1/jobs/job_none", "/v1/jobs/job_none/events"])
    def test_a_job_that_there_is_not(self, service: Service, path: str) -> None:
        assert_refused(service.get(path), 404, "job_not_found")
        assert_refused(post(service, "/v1/jobs/job_none/cancel"), 404, "job_not_found")

    @pytest.mark.parametrize(("path", "code"), [("/no/such/folder", "folder_not_found"), ("{empty}", "folder_empty")])
    def test_how_it_failed(self, service: Service, tmp_path: Path, path: str, code: str) -> None:
        where = Path(path.format(empty=tmp_path))
        job = service.ended(post(service, "/v1/jobs", **folder_job(where)).json()["id"])
        assert (job["status"], job["error"]["code"]) == ("failed", code)
        assert str(tmp_path) not in json.dumps(job)

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"type": "digest", "paths": ["/a"]}, "type"),
            ({"type": "reindex", "paths": ["/a"]}, "paths"),
            ({"type": "ingest", "paths": []}, "paths"),
            ({"type": "ingest", "paths": ["docs"]}, "paths"),
            ({"type": "ingest", "paths": ["/a\0b"]}, "paths"),
            ({"type": "ingest", "paths": ["/a"], "options": {"forced": True}}, "options.forced"),
            ({"type": "ingest", "paths": ["/a"], "options": {"collection": "A B"}}, "options.collection"),
            ({"type": "ingest", "paths": ["/a"], "tenant": "other"}, "tenant"),
        ],
    )
    def test_bodies_that_are_refused(self, service: Service, body: dict[str, Any], param: str) -> None:
        assert_refused(post(service, "/v1/jobs", json=body), 422, "validation_failed", param)
        assert_refused(service.get("/v1/jobs", params={"status": "lost"}), 422, "validation_failed", "status")

    @pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "via", "x-real-ip"])
    def test_folders_are_named_from_this_machine_alone(self, service: Service, tmp_path: Path, header: str) -> None:
        reply = post(service, "/v1/jobs", **folder_job(tmp_path), headers={header: "192.0.2.7"})
        assert_refused(reply, 403, "insufficient_scope")
        transport = httpx2.ASGITransport(app=service.app, client=("192.0.2.7", 9))

        async def from_elsewhere() -> httpx2.Response:
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.post("/v1/jobs", **folder_job(tmp_path))

        assert_refused(service.run(from_elsewhere()), 403, "insufficient_scope")
