"""Deletions on request: hidden at once, gone from every file, with a receipt."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from ingest.errors import CatalogUnavailable, StateNotWritable
from tests.app.jobs.requests import HARBOUR, REFUNDS, Gated, answer, documents, folder_job, form, holders, post, upload
from tests.app.serving import Service, assert_refused, write

pytestmark = pytest.mark.usefixtures("silent")


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
        assert_refused(service.request("DELETE", f"/v1/documents/{row['id']}"), 404, "document_not_found")
        job = service.ended(reply["job_id"])
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
            assert_refused(service.get(path), 404, "document_not_found")

    def test_no_file_of_the_state_holds_its_text(self, service: Service, name: str) -> None:
        canary = f"xylophone{name}"
        text = f"# Canary {canary}\n\n" + "\n\n".join(f"The {canary} number {n} was built in 1887." for n in range(60))
        upload(service, (f"{canary}.md", text), collection=name, metadata=json.dumps({"author": canary}))
        assert canary in holders(service, canary)
        row = documents(service, name)[f"{canary}.md"]
        service.ended(service.request("DELETE", f"/v1/documents/{row['id']}").json()["job_id"])
        assert holders(service, canary) == {}

    def test_a_file_of_a_folder_comes_back_with_the_next_ingest(
        self, service: Service, name: str, tmp_path: Path
    ) -> None:
        docs = write(tmp_path / "docs", {"harbour.md": HARBOUR})
        service.ended(post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
        row = documents(service, name)["harbour.md"]
        deleted = service.request("DELETE", f"/v1/documents/{row['id']}").json()
        back = post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()
        assert service.ended(deleted["job_id"])["receipt"]["uploads"] == 0
        assert service.ended(back["id"])["details"]["added"] == 1
        assert set(documents(service, name)) == {"harbour.md"}
        assert (docs / "harbour.md").exists()

    def test_an_upload_of_the_same_name_right_behind_is_another_document_version(
        self, service: Service, name: str
    ) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        row = documents(service, name)["harbour.md"]
        deleted = service.request("DELETE", f"/v1/documents/{row['id']}").json()
        upload(service, ("harbour.md", HARBOUR.replace("1887", "1901")), collection=name)
        assert service.ended(deleted["job_id"])["receipt"]["left"]["uploads"] == 0
        assert "1901" in answer(service, name)

    def test_a_deletion_in_the_middle_of_an_update_wins(self, service: Service, name: str, embedder: Gated) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        row = documents(service, name)["harbour.md"]
        embedder.gate.clear()
        new = form(("harbour.md", HARBOUR.replace("1887", "1901")), collection=name)
        job = post(service, "/v1/documents", **new).json()
        service.until(lambda: embedder.waiting)
        deleted = service.request("DELETE", f"/v1/documents/{row['id']}").json()
        embedder.gate.set()
        assert service.ended(job["id"])["status"] == "succeeded"
        assert "1901" not in answer(service, name)
        assert set(service.ended(deleted["job_id"])["receipt"]["left"].values()) == {0}
        assert documents(service, name) == {}

    def test_a_vanished_file_leaves_a_receipt_too(self, service: Service, name: str, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {"harbour.md": HARBOUR, "refunds.md": REFUNDS})
        service.ended(post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
        row = documents(service, name)["harbour.md"]
        assert_refused(service.get(f"/v1/documents/{row['id']}/receipt"), 404, "document_not_found")
        (docs / "harbour.md").unlink()
        service.ended(post(service, "/v1/jobs", **folder_job(docs, collection=name)).json()["id"])
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
        assert_refused(reply, 503, "catalog_unavailable")
        assert service.get("/v1/jobs").json()["data"][0]["status"] == "canceled"
        assert "1887" in answer(service, name)
        again = service.request("DELETE", f"/v1/documents/{row['id']}", headers=key)
        assert again.status_code == 200
        assert service.ended(again.json()["job_id"])["receipt"]["vectors"] == 1

    def test_a_folder_that_cannot_be_written_does_not_stop_it(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        row = documents(service, name)["harbour.md"]
        with patch("app.uploads.Uploads._set_aside", side_effect=StateNotWritable("It is not writable.")):
            reply = service.request("DELETE", f"/v1/documents/{row['id']}")
            assert reply.status_code == 200
            assert "1887" not in answer(service, name)
            job = service.ended(reply.json()["job_id"])
        assert job["error"]["code"] == "state_not_writable"
