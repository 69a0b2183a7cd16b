"""Uploads over the ASGI application: the real store, DBOS and engine. Only the embedder is a fake."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.app.jobs.requests import ASKED, HARBOUR, REFUNDS, answer, documents, form, post, upload
from tests.app.serving import Service, assert_refused, served, write

pytestmark = pytest.mark.usefixtures("silent")


class TestUpload:
    def test_files_become_documents_that_are_cited(self, service: Service, name: str) -> None:
        job = upload(service, ("refunds.md", REFUNDS + name), ("harbour.md", HARBOUR + name), collection=name)
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
        assert service.ended(reply.json()["id"])["status"] == "succeeded"
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
        assert service.ended(reply.json()["id"])["details"]["updated"] == 1
        assert set(documents(service, name)) == {"harbour.md"}
        for other, code, status in (("no-such-id", "document_not_found", 404), (known, "validation_failed", 422)):
            bad = {"id": other, "filename": "a.txt" if other == known else "a.md", "text": "x"}
            param = "documents.0.filename" if other == known else None
            assert_refused(
                post(service, "/v1/documents", json={"collection": name, "documents": [bad]}), status, code, param
            )

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
        job = service.ended(post(service, "/v1/documents", json=body).json()["id"])
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
        assert_refused(post(service, "/v1/documents", json=body), 422, "validation_failed", "documents.0.filename")

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
        assert_refused(error, status, code, param)
        assert service.get("/v1/jobs").json()["data"] == before

    def test_a_body_is_cut_off_while_it_is_read(self, service: Service) -> None:
        """Without a content-length nobody knows beforehand how long it is."""

        async def endless() -> Any:
            yield form(("a.md", b""))["content"].partition(b"\r\n--grounded--")[0]
            while True:
                yield b"x" * 2**16

        sent = {**form(), "content": endless()}
        assert_refused(post(service, "/v1/documents", **sent), 413, "body_too_large")

    def test_nothing_is_acknowledged_that_is_not_on_disk(self, service: Service, name: str) -> None:
        for error, status, code in (
            (OSError(28, "No space left on device"), 507, "storage_full"),
            (OSError(5, "Input/output error"), 503, "state_not_writable"),
        ):
            with patch("app.uploads.os.fsync", side_effect=error):
                reply = post(service, "/v1/documents", **form(("harbour.md", HARBOUR), collection=name))
            assert_refused(reply, status, code)
        folder = service.grounded.uploads.folder(service.run(service.grounded.catalog.collection(name)))
        assert list(folder.iterdir()) == []


def test_what_a_cut_off_upload_left_is_gone_behind_the_next_start(tmp_path: Path) -> None:
    part = write(tmp_path / "state" / "uploads", {"some-collection/.part-0123": "half"})
    with served(tmp_path):
        assert list((part / "some-collection").iterdir()) == []
