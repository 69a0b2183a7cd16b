"""The same request again, and requests of other origins."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest

from app.api.middleware import Boundary
from ingest.errors import CatalogUnavailable
from tests.app.jobs.requests import HARBOUR, REFUNDS, documents, folder_job, form, post, upload
from tests.app.serving import Service, assert_refused, write

pytestmark = pytest.mark.usefixtures("silent")


class TestIdempotency:
    def test_the_same_request_with_the_same_key_gives_the_same_reply(self, service: Service, name: str) -> None:
        key = {"idempotency-key": f"up-{name}"}
        sent = form(("harbour.md", HARBOUR), collection=name)
        sent["headers"] |= key
        first = post(service, "/v1/documents", **sent)
        service.ended(first.json()["id"])
        other_boundary = {
            "content": sent["content"].replace(b"--grounded", b"--bounded"),
            "headers": {"content-type": "multipart/form-data; boundary=bounded", **key},
        }
        second = post(service, "/v1/documents", **other_boundary)
        assert (second.status_code, second.content) == (202, first.content)
        other = form(("harbour.md", REFUNDS), collection=name)
        other["headers"] |= key
        assert_refused(post(service, "/v1/documents", **other), 409, "idempotency_conflict")
        assert_refused(post(service, f"/v1/jobs/{first.json()['id']}/cancel", headers=key), 409, "idempotency_conflict")
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
        service.ended(replies[0].json()["id"])

    def test_a_deletion_is_told_again(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        path = f"/v1/documents/{documents(service, name)['harbour.md']['id']}"
        key = {"idempotency-key": f"gone-{name}"}
        first = service.request("DELETE", path, headers=key)
        again = service.request("DELETE", path, headers=key)
        assert (again.status_code, again.content) == (200, first.content)
        assert_refused(service.request("DELETE", path), 404, "document_not_found")

    def test_a_request_that_was_cut_off_behind_its_job_is_answered_with_it(self, service: Service, name: str) -> None:
        upload(service, ("harbour.md", HARBOUR), collection=name)
        path = f"/v1/documents/{documents(service, name)['harbour.md']['id']}"
        key = {"idempotency-key": f"cut-{name}"}
        with patch.object(
            type(service.grounded.jobs.store), "remember", side_effect=CatalogUnavailable("It cannot be written.")
        ):
            assert_refused(service.request("DELETE", path, headers=key), 503, "catalog_unavailable")
        again = service.request("DELETE", path, headers=key)
        assert again.status_code == 200
        assert service.ended(again.json()["job_id"])["status"] == "succeeded"

    def test_an_error_is_not_remembered(self, service: Service, name: str) -> None:
        key = {"idempotency-key": f"err-{name}"}
        path = "/v1/documents/none"
        for _ in range(2):
            assert_refused(service.request("DELETE", path, headers=key), 404, "document_not_found")

    @pytest.mark.parametrize("bad", ["", " ", "k" * 256])
    def test_keys_that_are_none(self, service: Service, bad: str) -> None:
        reply = service.request("DELETE", "/v1/documents/none", headers={"idempotency-key": bad})
        assert_refused(reply, 400, "invalid_request")


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
            assert_refused(service.request(method, path, **more), 403, "cross_site")
        assert documents(service, name) == {}

    @pytest.mark.parametrize("origin", ["http://localhost", "HTTP://LOCALHOST", "https://docs.example"])
    def test_its_own_pages_do(self, service: Service, origin: str) -> None:
        reply = service.request("DELETE", "/v1/documents/none", headers={"origin": origin})
        assert_refused(reply, 404, "document_not_found")
        assert Boundary.__doc__
