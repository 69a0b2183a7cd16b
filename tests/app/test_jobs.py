"""Uploads, jobs and deletions over the ASGI application: the real store, DBOS and engine. Only the embedder is a fake."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
import structlog

from app.api.middleware import Boundary
from app.state import StateFolder
from ingest.errors import CatalogUnavailable, StateNotWritable
from retrieval.model import EmbeddedPassage
from tests.app.serving import Service, events_of, fake_embedder, settings_for, write
from tests.app.test_api import refused
from tests.fakes import FakeEmbedder

END_S = 20
REFUNDS = "# Refunds\n\nRefunds are issued within 14 days of the order.\n"
HARBOUR = "# Harbour\n\nThe lighthouse of the harbour was built in 1887.\n"
ASKED = "When was the lighthouse built?"


class Gated(FakeEmbedder):
    """Waits before it embeds, while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return await super().embed_passages(texts)


@pytest.fixture(scope="module")
def embedder() -> Gated:
    return Gated()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, embedder: Gated) -> Iterator[Service]:
    state = tmp_path_factory.mktemp("jobs") / "state"
    settings = settings_for(
        state,
        max_upload_mb=2,
        ingest={"min_free_mb": 0, "max_file_mb": 1, "group_chunks": 1},
        public_url="https://docs.example",
    )
    with fake_embedder(embedder), StateFolder(state).owned(), Service(settings) as service:
        yield service


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A collection of the test's own."""
    return "c" + str(abs(hash(request.node.name)))[:12]


def form(*files: tuple[str, bytes | str], kind: str = "text/markdown", **fields: str) -> dict[str, Any]:
    """A form as a browser sends it."""
    parts = []
    for filename, content in files:
        head = f'content-disposition: form-data; name="file"; filename="{filename}"\r\ncontent-type: {kind}'
        parts.append(head.encode() + b"\r\n\r\n" + (content if isinstance(content, bytes) else content.encode()))
    for field, value in fields.items():
        parts.append(f'content-disposition: form-data; name="{field}"\r\n\r\n{value}'.encode())
    body = b"".join(b"--grounded\r\n" + part + b"\r\n" for part in parts) + b"--grounded--\r\n"
    return {"content": body, "headers": {"content-type": "multipart/form-data; boundary=grounded"}}


def post(service: Service, path: str, **more: Any) -> httpx2.Response:
    return service.request("POST", path, **more)


def upload(service: Service, *files: tuple[str, bytes | str], **fields: str) -> dict[str, Any]:
    reply = post(service, "/v1/documents", **form(*files, **fields))
    assert reply.status_code == 202, reply.text
    return ended(service, reply.json()["id"])


def ended(service: Service, job_id: str) -> dict[str, Any]:
    end = time.monotonic() + END_S
    while time.monotonic() < end:
        job: dict[str, Any] = service.get(f"/v1/jobs/{job_id}").json()
        if job["finished_at"]:
            return job
        service.run(asyncio.sleep(0.02))
    raise AssertionError(job)


def until(service: Service, wanted: Any) -> None:
    end = time.monotonic() + END_S
    while not wanted() and time.monotonic() < end:
        service.run(asyncio.sleep(0.02))
    assert wanted()


def documents(service: Service, collection: str) -> dict[str, dict[str, Any]]:
    reply = service.get("/v1/documents", params={"collection": collection})
    return {row["filename"]: row for row in reply.json().get("data", [])}


def answer(service: Service, collection: str, question: str = ASKED) -> str:
    reply = service.ask(question, collection=collection)
    return str(reply.json().get("answer", reply.text))


def folder_job(path: Path, **options: Any) -> dict[str, Any]:
    return {"json": {"type": "ingest", "paths": [str(path)], "options": options}}


def holders(service: Service, text: str) -> dict[str, list[str]]:
    """The files of the state, below the folder of the engine's shard apart, that hold the text."""
    found: dict[str, list[str]] = {}
    for path in service.grounded.settings.state.rglob("*"):
        if path.is_file() and "shard" not in path.parts and (text.encode() in path.read_bytes() or text in path.name):
            found.setdefault(text, []).append(path.name)
    return found


class TestUpload:
    def test_files_become_documents_that_are_cited(self, service: Service, name: str) -> None:
        job = upload(service, ("refunds.md", REFUNDS), ("harbour.md", HARBOUR), collection=name)  # the first of all
        assert (job["status"], job["type"], job["error"]) == ("succeeded", "ingest", None)
        assert job["details"]["received"] == job["details"]["indexed"] == job["details"]["added"] == 2
        assert (job["details"]["embedded"], job["details"]["chunks"]) == (2, 2)
        assert job["progress"] == {"done": 2, "total": 2, "unit": "files"}
        assert [(file["path"], file["status"]) for file in job["files"]] == [
            ("harbour.md", "added"),
            ("refunds.md", "added"),
        ]
        reply = service.ask(ASKED, collection=name).json()
        assert "1887" in reply["answer"]
        (cited,) = {citation["source"] for claim in reply["claims"] for citation in claim["citations"]}
        source = next(source for source in reply["sources"] if source["id"] == cited)
        assert source["document_id"] == documents(service, name)["harbour.md"]["id"]

    def test_texts_too(self, service: Service, name: str) -> None:
        body = {"collection": name, "documents": [{"filename": "note", "media_type": "text/markdown", "text": HARBOUR}]}
        reply = post(service, "/v1/documents", json=body)
        assert reply.status_code == 202
        assert ended(service, reply.json()["id"])["status"] == "succeeded"
        assert documents(service, name)["note.md"]["media_type"] == "text/markdown"
        assert "1887" in answer(service, name)

    def test_the_same_name_again_replaces_the_document(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        before = documents(service, name)["harbour.md"]
        job = upload(service, ("harbour.md", HARBOUR.replace("1887", "1901")), collection=name)
        after = documents(service, name)["harbour.md"]
        assert job["details"]["updated"] == 1
        assert (after["id"], after["version"]) == (before["id"], before["version"] + 1)
        assert "1901" in answer(service, name)
        same = upload(service, ("harbour.md", HARBOUR.replace("1887", "1901")), collection=name)
        assert (same["details"]["unchanged"], same["details"]["embedded"], same["files"]) == (1, 0, [])

    def test_a_text_replaces_the_document_that_it_names(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        known = documents(service, name)["harbour.md"]["id"]
        new = {"id": known, "filename": "renamed.md", "text": HARBOUR.replace("1887", "1901")}
        reply = post(service, "/v1/documents", json={"collection": name, "documents": [new]})
        assert ended(service, reply.json()["id"])["details"]["updated"] == 1
        assert set(documents(service, name)) == {"harbour.md"}
        for other, code, status in (("no-such-id", "document_not_found", 404), (known, "validation_failed", 422)):
            bad = {"id": other, "filename": "a.txt" if other == known else "a.md", "text": "x"}
            param = "documents.0.filename" if other == known else None
            refused(post(service, "/v1/documents", json={"collection": name, "documents": [bad]}), status, code, param)

    def test_what_is_sent_along_is_kept_and_can_be_changed_alone(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name, metadata=json.dumps({"title": "The harbour", "n": 3}))
        assert documents(service, name)["harbour.md"]["title"] == "The harbour"
        job = upload(service, ("harbour.md", HARBOUR), collection=name, metadata=json.dumps({"title": "Another"}))
        assert job["details"]["updated"] == 1
        assert documents(service, name)["harbour.md"]["title"] == "Another"

    def test_a_bad_file_never_fails_its_neighbour(self, service: Service, name: str) -> None:
        job = upload(service, ("bad.pdf", b"%PDF-1.4 nothing"), ("harbour.md", HARBOUR), collection=name)
        assert job["status"] == "succeeded"
        assert (job["details"]["failed"], job["details"]["added"]) == (1, 1)
        failed = next(file for file in job["files"] if file["path"] == "bad.pdf")
        assert failed["error"]["code"] == "broken_file"
        assert set(failed["error"]) == {"code", "message", "next_step"}

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("../../escaped.md", "escaped.md"),
            ("/etc/passwd.md", "passwd.md"),
            ("C:\\Users\\ada\\note.md", "note.md"),
            ("weird name [1] 😀.md", "weird name [1] 😀.md"),
            ("caf\u0065\u0301.md", "café.md"),
            ("UPPER.MD", "UPPER.MD"),
        ],
    )
    def test_names_are_made_safe(self, service: Service, name: str, sent: str, kept: str) -> None:
        body = {"collection": name, "documents": [{"filename": sent, "text": HARBOUR}]}
        job = ended(service, post(service, "/v1/documents", json=body).json()["id"])
        assert [file["path"] for file in job["files"]] == [kept]
        root = service.grounded.settings.state.absolute() / "uploads"
        stored = [path for path in root.rglob("*") if path.is_file() and path.name == kept]
        assert len(stored) >= 1
        assert all(path.parent.parent == root for path in stored)

    @pytest.mark.parametrize(
        "bad", ["", "..", ".hidden.md", "a\x00b.md", "a\nb.md", "evil\u202egpj.md", "/", "x" * 250 + ".md"]
    )
    def test_names_that_cannot_be_kept(self, service: Service, name: str, bad: str) -> None:
        body = {"collection": name, "documents": [{"filename": bad, "text": HARBOUR}]}
        refused(post(service, "/v1/documents", json=body), 422, "validation_failed", "documents.0.filename")

    @pytest.mark.parametrize(
        ("sent", "status", "code", "param"),
        [
            (form(("a.xyz", "x"), kind="image/x-none"), 415, "unsupported_media_type", None),
            (form(("a.md", "x"), ("b/a.md", "y")), 422, "validation_failed", "file"),
            (form(collection="default"), 422, "validation_failed", "file"),
            (form(("a.md", "x"), collection="No Name"), 422, "validation_failed", "collection"),
            (form(("a.md", "x"), metadata="{"), 422, "validation_failed", "metadata"),
            (form(("a.md", "x"), metadata='{"a": {"b": 1}}'), 422, "validation_failed", "metadata"),
            (form(("a.md", "x"), metadata='{"created": "last week"}'), 422, "validation_failed", "metadata"),
            (form(("a.md", "x"), metadata='{"access": "staff"}'), 422, "validation_failed", "metadata"),
            (form(("a.md", "x"), metadata='{"A b": 1, "a_b": 2}'), 422, "validation_failed", "metadata"),
            (form(("a.md", "x"), colection="x"), 422, "validation_failed", "colection"),
            (form(("a.md", "x"), access='["staff"]'), 422, "validation_failed", "access"),
            (form(("a.md", b"x" * (2**20 + 1))), 413, "file_too_large", None),
            (form(("a.md", b"x" * 2**20), ("b.md", b"x" * 2**20)), 413, "body_too_large", None),
            ({**form(), "content": b"--grounded\r\nnonsense"}, 400, "invalid_request", None),
            ({**form(), "content": form(("a.md", "x"), ("b.md", "y"))["content"][:-14]}, 400, "invalid_request", None),
            ({**form(), "headers": {"content-type": "multipart/form-data"}}, 400, "invalid_request", None),
            ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type", None),
            ({"content": b"{"}, 400, "invalid_request", None),
            ({"json": {"documents": []}}, 422, "validation_failed", "documents"),
            ({"json": {"documents": [{"filename": "a.md"}]}}, 422, "validation_failed", "documents.0.text"),
            ({"json": {"documents": [{"filename": "a", "text": "x"}]}}, 415, "unsupported_media_type", None),
        ],
    )
    def test_what_is_refused(
        self, service: Service, sent: dict[str, Any], status: int, code: str, param: str | None
    ) -> None:
        before = service.get("/v1/jobs").json()["data"]
        error = post(service, "/v1/documents", **sent)
        refused(error, status, code, param)
        assert service.get("/v1/jobs").json()["data"] == before

    def test_a_body_is_cut_off_while_it_is_read(self, service: Service) -> None:
        """Without a content-length nobody knows beforehand how long it is."""

        async def endless() -> Any:
            yield form(("a.md", b""))["content"].partition(b"\r\n--grounded--")[0]
            while True:
                yield b"x" * 2**16

        sent = {**form(), "content": endless()}
        refused(post(service, "/v1/documents", **sent), 413, "body_too_large")

    def test_nothing_is_acknowledged_that_is_not_on_disk(self, service: Service, name: str) -> None:
        for error, status, code in (
            (OSError(28, "No space left on device"), 507, "storage_full"),
            (OSError(5, "Input/output error"), 503, "state_not_writable"),
        ):
            with patch("app.uploads.os.fsync", side_effect=error):
                reply = post(service, "/v1/documents", **form(("harbour.md", HARBOUR), collection=name))
            refused(reply, status, code)
        folder = service.grounded.uploads.folder(service.run(service.grounded.catalog.collection(name)))
        assert list(folder.iterdir()) == []


def test_what_a_cut_off_upload_left_is_gone_behind_the_next_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "state")
    part = write(tmp_path / "state" / "uploads", {"some-collection/.part-0123": "half"})
    with fake_embedder(), StateFolder(settings.state).owned(), Service(settings):
        assert list((part / "some-collection").iterdir()) == []


class TestJobs:
    def test_a_folder_of_this_machine(self, service: Service, name: str, tmp_path: Path) -> None:
        files = {"harbour.md": f"{HARBOUR}{name}", "deep/refunds.md": f"{REFUNDS}{name}", "song.mp3": b"x"}
        docs = write(tmp_path / "docs", files)
        reply = post(service, "/v1/jobs", **folder_job(docs, collection=name, exclude=["*.log"]))
        assert reply.status_code == 202
        job = ended(service, reply.json()["id"])
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
        gone = ended(service, post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
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
        until(service, lambda: embedder.waiting)
        second = post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()
        assert (second["id"], second["status"]) == (first["id"], "processing")
        error = refused(
            post(service, "/v1/jobs", **folder_job(docs, collection=name, force=True)), 409, "ingest_running"
        )
        assert error["details"] == {"job_id": first["id"]}
        embedder.gate.set()
        assert ended(service, first["id"])["details"]["embedded"] == 1

    def test_canceling_keeps_what_is_committed(
        self, service: Service, name: str, tmp_path: Path, embedder: Gated
    ) -> None:
        files = {f"{n}.md": f"{HARBOUR.replace('1887', str(1900 + n))}{name}" for n in range(4)}
        docs = write(tmp_path / "docs", files)
        embedder.gate.clear()
        job = post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()
        until(service, lambda: embedder.waiting)
        embedder.gate.set()
        until(service, lambda: len(documents(service, name)) >= 1)
        embedder.gate.clear()
        until(service, lambda: embedder.waiting or service.get(f"/v1/jobs/{job['id']}").json()["finished_at"])
        start = time.monotonic()
        reply = post(service, f"/v1/jobs/{job['id']}/cancel")
        took = time.monotonic() - start
        embedder.gate.set()
        if reply.status_code == 202:  # else it was over already: then a busy machine has let nothing be canceled
            assert took < 1.5
            assert reply.json()["status"] == "canceled"
        refused(post(service, f"/v1/jobs/{job['id']}/cancel"), 409, "job_finished")
        kept = len(documents(service, name))
        again = ended(service, post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
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
        refused(service.get(path), 404, "job_not_found")
        refused(post(service, "/v1/jobs/job_none/cancel"), 404, "job_not_found")

    @pytest.mark.parametrize(("path", "code"), [("/no/such/folder", "folder_not_found"), ("{empty}", "folder_empty")])
    def test_how_it_failed(self, service: Service, tmp_path: Path, path: str, code: str) -> None:
        where = Path(path.format(empty=tmp_path))
        job = ended(service, post(service, "/v1/jobs", **folder_job(where)).json()["id"])
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
        refused(post(service, "/v1/jobs", json=body), 422, "validation_failed", param)
        refused(service.get("/v1/jobs", params={"status": "lost"}), 422, "validation_failed", "status")

    @pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "via", "x-real-ip"])
    def test_folders_are_named_from_this_machine_alone(self, service: Service, tmp_path: Path, header: str) -> None:
        reply = post(service, "/v1/jobs", **folder_job(tmp_path), headers={header: "192.0.2.7"})
        refused(reply, 403, "insufficient_scope")
        transport = httpx2.ASGITransport(app=service.app, client=("192.0.2.7", 9))

        async def from_elsewhere() -> httpx2.Response:
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.post("/v1/jobs", **folder_job(tmp_path))

        refused(service.run(from_elsewhere()), 403, "insufficient_scope")


class TestDelete:
    def test_gone_at_once_and_then_from_every_store(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), ("refunds.md", REFUNDS), collection=name)
        assert "1887" in answer(service, name)
        row = documents(service, name)["harbour.md"]
        reply = service.request("DELETE", f"/v1/documents/{row['id']}").json()
        assert (reply["id"], reply["deleted"]) == (row["id"], True)
        assert reply["receipt"] == dict.fromkeys(("vectors", "lexical", "cache", "answers", "traces"))
        assert "1887" not in answer(service, name)  # before the job has run
        assert set(documents(service, name)) == {"refunds.md"}
        refused(service.request("DELETE", f"/v1/documents/{row['id']}"), 404, "document_not_found")
        job = ended(service, reply["job_id"])
        assert (job["type"], job["status"], job["details"]["deleted"]) == ("delete", "succeeded", 1)
        receipt = job["receipt"]
        removed = {"vectors": 1, "lexical": 1, "token_vectors": 1, "chunks": 1, "versions": 1, "uploads": 1, "jobs": 1}
        assert {place: receipt[place] for place in removed} == removed
        assert {place: receipt[place] for place in ("cache", "answers", "traces")} == dict.fromkeys(
            ("cache", "answers", "traces"), 0
        )
        assert set(receipt["left"].values()) == {0}
        assert receipt["deleted_at"] <= receipt["signed_at"]
        assert service.get(f"/v1/documents/{row['id']}/receipt").json() == receipt
        for path in (f"/v1/documents/{row['id']}", f"/v1/documents/{row['id']}/content"):
            refused(service.get(path), 404, "document_not_found")

    def test_no_file_of_the_state_holds_its_text(self, service: Service, name: str) -> None:
        canary = f"xylophone{name}"
        text = f"# Canary {canary}\n\n" + "\n\n".join(f"The {canary} number {n} was built in 1887." for n in range(60))
        upload(service, (f"{canary}.md", text), collection=name, metadata=json.dumps({"author": canary}))
        assert canary in holders(service, canary)
        row = documents(service, name)[f"{canary}.md"]
        ended(service, service.request("DELETE", f"/v1/documents/{row['id']}").json()["job_id"])
        assert holders(service, canary) == {}

    def test_a_file_of_a_folder_comes_back_with_the_next_ingest(
        self, service: Service, name: str, tmp_path: Path
    ) -> None:
        docs = write(tmp_path / "docs", {"harbour.md": HARBOUR})
        ended(service, post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
        row = documents(service, name)["harbour.md"]
        deleted = service.request("DELETE", f"/v1/documents/{row['id']}").json()
        back = post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()
        assert ended(service, deleted["job_id"])["receipt"]["uploads"] == 0
        assert ended(service, back["id"])["details"]["added"] == 1
        assert set(documents(service, name)) == {"harbour.md"}
        assert (docs / "harbour.md").exists()

    def test_an_upload_of_the_same_name_right_behind_is_another_document_version(
        self, service: Service, name: str
    ) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        row = documents(service, name)["harbour.md"]
        deleted = service.request("DELETE", f"/v1/documents/{row['id']}").json()
        upload(service, ("harbour.md", HARBOUR.replace("1887", "1901")), collection=name)
        assert ended(service, deleted["job_id"])["receipt"]["left"]["uploads"] == 0
        assert "1901" in answer(service, name)

    def test_a_deletion_in_the_middle_of_an_update_wins(self, service: Service, name: str, embedder: Gated) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        row = documents(service, name)["harbour.md"]
        embedder.gate.clear()
        new = form(("harbour.md", HARBOUR.replace("1887", "1901")), collection=name)
        job = post(service, "/v1/documents", **new).json()
        until(service, lambda: embedder.waiting)
        deleted = service.request("DELETE", f"/v1/documents/{row['id']}").json()
        embedder.gate.set()
        assert ended(service, job["id"])["status"] == "succeeded"
        assert "1901" not in answer(service, name)
        assert set(ended(service, deleted["job_id"])["receipt"]["left"].values()) == {0}
        assert documents(service, name) == {}

    def test_a_vanished_file_leaves_a_receipt_too(self, service: Service, name: str, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {"harbour.md": HARBOUR, "refunds.md": REFUNDS})
        ended(service, post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
        row = documents(service, name)["harbour.md"]
        refused(service.get(f"/v1/documents/{row['id']}/receipt"), 404, "document_not_found")
        (docs / "harbour.md").unlink()
        ended(service, post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
        receipt = service.get(f"/v1/documents/{row['id']}/receipt").json()
        assert (receipt["vectors"], receipt["chunks"]) == (1, 1)
        assert set(receipt["left"].values()) == {0}
        assert receipt["signed_at"]

    def test_one_that_cannot_be_hidden_is_not_deleted_later(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        row = documents(service, name)["harbour.md"]
        key = {"idempotency-key": f"del-{name}"}
        broken = CatalogUnavailable("The catalog cannot be written.")
        with patch.object(type(service.grounded.catalog), "retire", side_effect=broken):
            reply = service.request("DELETE", f"/v1/documents/{row['id']}", headers=key)
        refused(reply, 503, "catalog_unavailable")
        assert service.get("/v1/jobs").json()["data"][0]["status"] == "canceled"
        assert "1887" in answer(service, name)
        again = service.request("DELETE", f"/v1/documents/{row['id']}", headers=key)
        assert again.status_code == 200
        assert ended(service, again.json()["job_id"])["receipt"]["vectors"] == 1

    def test_a_folder_that_cannot_be_written_does_not_stop_it(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        row = documents(service, name)["harbour.md"]
        with patch("app.uploads.Uploads._set_aside", side_effect=StateNotWritable("It is not writable.")):
            reply = service.request("DELETE", f"/v1/documents/{row['id']}")
            assert reply.status_code == 200
            assert "1887" not in answer(service, name)
            job = ended(service, reply.json()["job_id"])
        assert job["error"]["code"] == "state_not_writable"


class TestIdempotency:
    def test_the_same_request_with_the_same_key_gives_the_same_reply(self, service: Service, name: str) -> None:
        key = {"idempotency-key": f"up-{name}"}
        sent = form(("harbour.md", HARBOUR), collection=name)
        sent["headers"] |= key
        first = post(service, "/v1/documents", **sent)
        ended(service, first.json()["id"])
        other_boundary = {
            "content": sent["content"].replace(b"--grounded", b"--bounded"),
            "headers": {"content-type": "multipart/form-data; boundary=bounded", **key},
        }
        second = post(service, "/v1/documents", **other_boundary)
        assert (second.status_code, second.content) == (202, first.content)
        other = form(("harbour.md", REFUNDS), collection=name)
        other["headers"] |= key
        refused(post(service, "/v1/documents", **other), 409, "idempotency_conflict")
        refused(post(service, f"/v1/jobs/{first.json()['id']}/cancel", headers=key), 409, "idempotency_conflict")
        assert post(service, "/v1/documents", **other).headers["x-should-retry"] == "false"

    def test_many_at_once_do_it_once(self, service: Service, name: str, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {"harbour.md": HARBOUR})

        async def main() -> list[httpx2.Response]:
            transport = httpx2.ASGITransport(app=service.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                sent = {"headers": {"idempotency-key": f"many-{name}"}, **folder_job(docs, collection=name)}
                return await asyncio.gather(*(client.post("/v1/jobs", **sent) for _ in range(10)))

        replies = service.run(main())
        assert len({reply.content for reply in replies}) == 1
        ended(service, replies[0].json()["id"])

    def test_a_deletion_is_told_again(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        path = f"/v1/documents/{documents(service, name)['harbour.md']['id']}"
        key = {"idempotency-key": f"gone-{name}"}
        first = service.request("DELETE", path, headers=key)
        again = service.request("DELETE", path, headers=key)
        assert (again.status_code, again.content) == (200, first.content)
        refused(service.request("DELETE", path), 404, "document_not_found")

    def test_a_request_that_was_cut_off_behind_its_job_is_answered_with_it(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        path = f"/v1/documents/{documents(service, name)['harbour.md']['id']}"
        key = {"idempotency-key": f"cut-{name}"}
        with patch.object(
            type(service.grounded.jobs.store), "remember", side_effect=CatalogUnavailable("It cannot be written.")
        ):
            refused(service.request("DELETE", path, headers=key), 503, "catalog_unavailable")
        again = service.request("DELETE", path, headers=key)
        assert again.status_code == 200
        assert ended(service, again.json()["job_id"])["status"] == "succeeded"

    def test_an_error_is_not_remembered(self, service: Service, name: str) -> None:
        key = {"idempotency-key": f"err-{name}"}
        path = "/v1/documents/none"
        for _ in range(2):
            refused(service.request("DELETE", path, headers=key), 404, "document_not_found")

    @pytest.mark.parametrize("bad", ["", " ", "k" * 256])
    def test_keys_that_are_none(self, service: Service, bad: str) -> None:
        reply = service.request("DELETE", "/v1/documents/none", headers={"idempotency-key": bad})
        refused(reply, 400, "invalid_request")


ORIGINS = (
    "null",
    "https://evil.example",
    "http://evil.example",
    "http://localhost.evil.example",
    "http://localhost:81",
    "https://localhost",
    "http://localhost@evil.example",
    "http://notlocalhost",
    "file://",
    "http://127.0.0.1",
    "http://docs.example",
    "https://docs.example.evil.example",
)


class TestOrigins:
    @pytest.mark.parametrize("origin", ORIGINS)
    def test_no_page_of_another_origin_writes(self, service: Service, name: str, origin: str) -> None:
        sent = form(("harbour.md", HARBOUR), collection=name)
        sent["headers"] |= {"origin": origin}
        writes: list[tuple[str, str, Mapping[str, Any]]] = [
            ("POST", "/v1/documents", sent),
            ("POST", "/v1/jobs", {"json": {}, "headers": {"origin": origin}}),
            ("POST", "/v1/jobs/none/cancel", {"headers": {"origin": origin}}),
            ("DELETE", "/v1/documents/none", {"headers": {"origin": origin}}),
            ("POST", "/ask", {"json": {"question": "Who?"}, "headers": {"origin": origin}}),
        ]
        for method, path, more in writes:
            refused(service.request(method, path, **more), 403, "cross_site")
        assert documents(service, name) == {}

    @pytest.mark.parametrize("origin", ["http://localhost", "HTTP://LOCALHOST", "https://docs.example"])
    def test_its_own_pages_do(self, service: Service, origin: str) -> None:
        reply = service.request("DELETE", "/v1/documents/none", headers={"origin": origin})
        refused(reply, 404, "document_not_found")
        assert Boundary.__doc__
