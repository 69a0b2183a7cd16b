"""The ASGI application in process, its lifespan run: routes, refusals, headers. Only the embedder is a fake."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest

from app.api.middleware import SECURITY_HEADERS
from ingest.errors import CatalogUnavailable
from retrieval.errors import IndexUnavailable
from tests.app.serving import Service, assert_refused, events_of, served
from tests.ingest.reading import pdf

pytestmark = pytest.mark.usefixtures("silent")

GUIDE = """# Refunds 👩‍💻

We are fair 😀 to everybody 👩‍💻. Refunds are issued within 14 days 😀 of the order. Late refunds take 30 days.

## Nachtrag

Später gilt: die Frist beträgt zehn Tage.
"""
FILES: dict[str, str | bytes] = {
    "guide.md": GUIDE,
    "deep/cats.md": "# Cats\n\nCats sleep most of the day. A cat has four legs.\n",
    "terms.pdf": pdf("Terms of sale\nThe seller is Example Ltd.", "The warranty lasts for 24 months.", title="Terms"),
}
ASKED = "When are refunds issued?"
LIMIT = 16 * 1024


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with served(folder, FILES, max_body_kb=LIMIT // 1024, max_question_chars=2000) as service:
        yield service


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v
        for k, v in answer.items()
        if k not in ("id", "answer_id", "trace_id", "request_id", "created", "timings_ms", "release")
    }


class TestAsk:
    def test_the_json_answer_is_the_fold_of_the_stream(self, service: Service) -> None:
        whole = service.ask(ASKED)
        stream = service.ask(ASKED, stream=True)
        assert whole.status_code == stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        events = events_of(stream.content)
        assert [events[0]["type"], events[-1]["type"]] == ["start", "done"]
        folded: dict[str, Any] = {"object": "answer"}
        for event in events:
            if event["type"] in ("start", "done"):
                folded |= {name: value for name, value in event.items() if name != "type"}
        folded["answer"] = "".join(e["text"] for e in events if e["type"] == "delta")
        folded["sources"] = next(e["sources"] for e in events if e["type"] == "sources")
        folded["claims"] = [{k: v for k, v in e.items() if k != "type"} for e in events if e["type"] == "claim"]
        answer = whole.json()
        assert answer["id"] == answer["answer_id"]
        assert without_times(answer) == without_times(folded)
        assert set(answer) >= set(folded)

    def test_accept_asks_for_the_stream_too(self, service: Service) -> None:
        reply = service.request("POST", "/v1/ask", json={"question": ASKED}, headers={"accept": "text/event-stream"})
        assert events_of(reply.content)[-1]["finish_reason"] == "stop"

    def test_get_is_the_same(self, service: Service) -> None:
        by_url = service.get("/ask", params={"question": ASKED, "collection": "default", "top_k": "8"})
        assert without_times(by_url.json()) == without_times(service.ask(ASKED).json())

    def test_text_and_quotes_are_those_of_the_document_byte_for_byte(self, service: Service) -> None:
        answer = service.ask(ASKED, include=["sources.text", "sources.scores"]).json()
        documents: dict[str, str] = {}
        sources = {source["id"]: source for source in answer["sources"]}
        assert [source["n"] for source in answer["sources"]] == list(range(1, len(sources) + 1))
        for source in sources.values():
            stored = service.get(f"/v1/documents/{source['document_id']}/content")
            assert stored.headers["content-type"] == "text/plain; charset=utf-8"
            text = documents[source["document_id"]] = stored.content.decode()
            assert source["text"] == text[source["start"] : source["end"]]
            assert source["url"] == f"http://localhost/sources/{source['id']}" + (
                f"#page={source['page']}" if source["page"] else ""
            )
            assert set(source["scores"]) == {"dense", "bm25", "fused", "rerank"}
        claim = answer["claims"][0]
        assert claim["text"] == "Refunds are issued within 14 days 😀 of the order."
        for claim in answer["claims"]:
            assert answer["answer"][claim["start"] : claim["end"]] == claim["text"]
            assert claim["citations"]
            for citation in claim["citations"]:
                document = documents[sources[citation["source"]]["document_id"]]
                assert document[citation["start"] : citation["end"]] == citation["cited_text"]
                before = document[: citation["start"]]
                assert len(before.encode("utf-16-le")) // 2 > len(before)  # an emoji stands before: UTF-16 would be off

    def test_a_pdf_is_cited_with_its_page(self, service: Service) -> None:
        answer = service.ask("The seller is who?").json()
        citation = answer["claims"][0]["citations"][0]
        assert "The seller is Example Ltd." in citation["cited_text"]
        assert citation["page"] == 1
        source = next(s for s in answer["sources"] if s["id"] == citation["source"])
        assert source["url"].endswith("#page=1")
        assert source["media_type"] == "application/pdf"

    def test_a_quote_on_the_next_page_has_that_page(self, service: Service) -> None:
        citation = service.ask("The warranty lasts for how many months?").json()["claims"][0]["citations"][0]
        assert (citation["cited_text"], citation["page"]) == ("The warranty lasts for 24 months.", 2)

    @pytest.mark.parametrize(("style", "mark"), [("bracket", r"\[1\]"), ("markdown", r"\[\[1\]\]\(http://localhost/s")])
    def test_marks_stand_behind_their_sentence(self, service: Service, style: str, mark: str) -> None:
        answer = service.ask(ASKED, citation_style=style).json()
        claim = answer["claims"][0]
        assert answer["answer"][claim["start"] : claim["end"]] == claim["text"]
        number = next(s["n"] for s in answer["sources"] if s["id"] == claim["citations"][0]["source"])
        assert re.match(mark.replace("1", str(number)), answer["answer"][claim["end"] :])

    def test_texts_and_scores_come_only_when_asked_for(self, service: Service) -> None:
        bare = service.ask(ASKED).json()["sources"][0]
        assert not {"text", "scores"} & set(bare)
        assert "text" in service.ask(ASKED, include=["sources.text"]).json()["sources"][0]

    def test_token_release(self, service: Service) -> None:
        events = events_of(service.ask(ASKED, release="token", stream=True).content)
        assert events[0]["release"] == "token"
        assert "claim" in [event["type"] for event in events]
        assert_refused(service.ask(ASKED, release="token", citation_style="bracket"), 400, "invalid_request")

    def test_an_abstention_is_an_answer(self, service: Service) -> None:
        answer = service.ask("Which enzyme unwinds DNA during replication?").json()
        assert answer["finish_reason"] == "abstained"
        assert answer["abstention"]["reason"] == "no_supported_sentence"
        assert answer["abstention"]["nearest"]
        assert answer["claims"] == []
        assert answer["answer"] == answer["abstention"]["message"]

    def test_money_and_tokens_add_up(self, service: Service) -> None:
        answer = service.ask(ASKED).json()
        assert answer["cost_usd"] == sum(answer["cost_by_stage_usd"].values()) == 0
        assert answer["usage"]["total_tokens"] == 0
        assert answer["model"] == "extractive"

    def test_filters(self, service: Service) -> None:
        sources = service.ask(ASKED, filters={"filename": ["deep/cats.md", "terms.pdf"]}).json()["sources"]
        assert {source["filename"] for source in sources} == {"deep/cats.md", "terms.pdf"}


class TestRefusals:
    def test_an_unknown_field_names_the_nearest(self, service: Service) -> None:
        error = assert_refused(service.ask(ASKED, colection="x"), 422, "validation_failed", "colection")
        assert "'collection'" in error["message"]
        assert service.get("/ask", params={"question": ASKED, "topk": "3"}).status_code == 422

    @pytest.mark.parametrize("question", ["", " \n\t ", "a\x00b", "bell \x07", "escape \x1b[2J", "\x7f"])
    def test_an_empty_question_or_one_with_control_characters(self, service: Service, question: str) -> None:
        error = assert_refused(service.ask(question), 422, "validation_failed", "question")
        assert "\x07" not in str(error)

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
    def test_what_a_foreign_page_may_send_unasked_is_refused(self, service: Service, kind: str) -> None:
        body = b'{"question": "What?"}'
        reply = service.request("POST", "/ask", content=body, headers={"content-type": kind})
        assert_refused(reply, 415, "unsupported_media_type")

    def test_a_page_of_another_site_cannot_ask(self, service: Service) -> None:
        foreign = {"sec-fetch-site": "cross-site"}
        assert_refused(service.get(f"/ask?question={ASKED}", headers=foreign), 403, "cross_site")
        assert_refused(service.request("POST", "/ask", json={"question": ASKED}, headers=foreign), 403, "cross_site")
        assert service.get("/", headers=foreign).status_code == 200
        assert service.get(f"/ask?question={ASKED}", headers={"sec-fetch-site": "same-origin"}).status_code == 200

    def test_a_lone_surrogate_is_no_text(self, service: Service) -> None:
        reply = service.request("POST", "/ask", content=b'{"question": "a \\ud800 b"}')
        assert reply.status_code in (400, 422)
        assert reply.json()["error"]["request_id"] == reply.headers["x-request-id"]

    def test_a_question_that_is_too_long(self, service: Service) -> None:
        assert service.ask("refunds " * 250).status_code == 200
        assert_refused(service.ask("x" * 2001), 422, "validation_failed", "question")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("question", None),
            ("question", 7),
            ("top_k", 0),
            ("top_k", 51),
            ("collection", "../etc"),
            ("collection", "Default"),
            ("release", "word"),
            ("include", ["everything"]),
            ("max_tokens", -1),
            ("stream", "perhaps"),
        ],
    )
    def test_a_wrong_value_names_its_field_and_does_not_repeat_it(
        self, service: Service, field: str, value: Any
    ) -> None:
        reply = service.request("POST", "/ask", json={"question": ASKED, field: value})
        assert reply.status_code == 422
        error = reply.json()["error"]
        assert error["code"] == "validation_failed"
        assert error["param"].startswith(field)
        assert "etc" not in error["message"]

    def test_a_missing_question(self, service: Service) -> None:
        assert_refused(service.request("POST", "/ask", json={}), 422, "validation_failed", "question")

    @pytest.mark.parametrize("body", [b"", b"{", b"not json", b"\xff\xfe", b'{"question": "a"} trailing'])
    def test_a_body_that_is_not_json(self, service: Service, body: bytes) -> None:
        assert_refused(service.request("POST", "/ask", content=body), 400, "invalid_request")

    @pytest.mark.parametrize("body", [b"[]", b'"text"', b"null", b"17"])
    def test_json_that_is_no_object(self, service: Service, body: bytes) -> None:
        assert_refused(service.request("POST", "/ask", content=body), 422, "validation_failed", "body")

    def test_json_nested_deep(self, service: Service) -> None:
        reply = service.request("POST", "/ask", content=b'{"question":' + b"[" * 5000 + b"]" * 5000 + b"}")
        assert reply.status_code in (400, 422)

    def test_an_unknown_collection(self, service: Service) -> None:
        for reply in (service.ask(ASKED, collection="nowhere"), service.ask(ASKED, collection="nowhere", stream=True)):
            assert_refused(reply, 404, "collection_not_found")
        assert_refused(service.get("/v1/documents", params={"collection": "nowhere"}), 404, "collection_not_found")
        reply = service.request("POST", "/v1/vector_stores/nowhere/search", json={"query": "x"})
        assert_refused(reply, 404, "collection_not_found")

    def test_a_body_over_the_limit_declared(self, service: Service) -> None:
        error = assert_refused(service.ask("x" * LIMIT), 413, "body_too_large")
        assert "16 kB" in error["message"]

    def test_a_body_over_the_limit_in_pieces_without_a_length(self, service: Service) -> None:
        taken = []

        async def pieces() -> Any:
            yield b'{"question": "'
            for number in range(100):
                taken.append(number)
                yield b"x" * 1024

        reply = service.request("POST", "/ask", content=pieces())
        assert_refused(reply, 413, "body_too_large")
        assert len(taken) <= LIMIT // 1024 + 2  # it was not read to its end

    def test_a_body_that_lies_about_its_length(self, service: Service) -> None:
        reply = service.request("POST", "/ask", content=b"x" * (2 * LIMIT), headers={"content-length": "5"})
        assert_refused(reply, 413, "body_too_large")

    def test_a_body_on_get_is_counted_too(self, service: Service) -> None:
        reply = service.request("GET", f"/ask?question={ASKED}", content=b"x" * (2 * LIMIT))
        assert_refused(reply, 413, "body_too_large")

    def test_a_wrong_method_and_a_wrong_address(self, service: Service) -> None:
        assert_refused(service.request("DELETE", "/ask"), 405, "method_not_allowed")
        assert_refused(service.request("POST", "/health/live"), 405, "method_not_allowed")
        assert_refused(service.get("/nowhere"), 404, "not_found")
        assert_refused(service.get("/v1/documents/doc_nowhere"), 404, "document_not_found")
        assert_refused(service.get("/v1/documents/doc_nowhere/content"), 404, "document_not_found")
        assert_refused(service.get("/v1/sources/nowhere"), 404, "source_not_found")
        assert_refused(service.get("/v1/documents?limit=many"), 422, "validation_failed", "limit")

    @pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:80"])
    def test_a_foreign_host(self, service: Service, host: str) -> None:
        assert_refused(service.get("/", headers={"host": host}), 403, "host_not_allowed")
        assert_refused(
            service.request("POST", "/ask", json={"question": ASKED}, headers={"host": host}), 403, "host_not_allowed"
        )

    @pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
    def test_our_own_hosts(self, service: Service, host: str) -> None:
        assert service.get("/health/live", headers={"host": host}).status_code == 200

    def test_filters_on_fields_that_there_are_not(self, service: Service) -> None:
        assert service.ask(ASKED, filters={"collection_id": "x"}).status_code == 422

    @pytest.mark.parametrize("page", [2**63, -(2**63) - 1, 10**20, [1, 2**63], 1.5])
    def test_filters_on_numbers_that_the_index_cannot_compare(self, service: Service, page: Any) -> None:
        assert service.ask(ASKED, filters={"page": page}).status_code == 422

    def test_get_can_be_switched_off(self, service: Service) -> None:
        off = service.grounded.settings.model_copy(update={"ask_get": False})
        with patch.object(service.app.state, "grounded", replace(service.grounded, settings=off)):
            assert_refused(service.get("/ask", params={"question": ASKED}), 400, "invalid_request")


class TestEnvelope:
    def test_the_callers_request_id_comes_back(self, service: Service) -> None:
        reply = service.get("/nowhere", headers={"x-request-id": "mine-7"})
        assert assert_refused(reply, 404, "not_found")["request_id"] == "mine-7"
        events = events_of(
            service.request(
                "POST", "/ask", json={"question": ASKED, "stream": True}, headers={"x-request-id": "mine-8"}
            ).content
        )
        assert events[0]["request_id"] == "mine-8"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "a\tb"])
    def test_a_request_id_that_is_none_is_replaced(self, service: Service, given: str) -> None:
        assert re.match(r"req_[0-9a-f]{24}$", service.get("/", headers={"x-request-id": given}).headers["x-request-id"])

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_failure_before_the_start_has_its_status(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, stream: bool
    ) -> None:
        monkeypatch.setattr(service.grounded.admission, "_closed", True)
        reply = service.ask(ASKED, stream=stream)
        assert_refused(reply, 503, "shutting_down")
        assert reply.headers["retry-after"].isdigit()

    def test_a_failure_after_the_start(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fails(*_: Any) -> Any:
            raise CatalogUnavailable("The catalog cannot be opened, read or written.")

        monkeypatch.setattr(service.grounded.catalog, "live_chunks", fails)
        assert_refused(service.ask(ASKED), 503, "catalog_unavailable")
        stream = service.ask(ASKED, stream=True)
        assert stream.status_code == 200
        events = events_of(stream.content)
        assert [event["type"] for event in events[-2:]] == ["error", "done"]
        assert events[-2]["error"]["code"] == "catalog_unavailable"
        assert events[-2]["error"]["request_id"] == stream.headers["x-request-id"]
        assert events[-1]["finish_reason"] == "error"

    def test_what_nobody_planned_tells_nothing_of_itself(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fails(*_: Any, **__: Any) -> Any:
            raise KeyError("/home/secret")

        monkeypatch.setattr(service.grounded.catalog, "collection", fails)
        for reply in (
            service.ask(ASKED),
            service.ask(ASKED, stream=True),
            service.get("/v1/documents"),
        ):
            error = assert_refused(reply, 500, "internal_error")
            assert "secret" not in str(error)
            assert_headed(reply)
        monkeypatch.undo()
        monkeypatch.setattr(service.grounded.catalog, "live_chunks", fails)
        assert_refused(service.ask(ASKED), 500, "internal_error")


def assert_headed(reply: httpx2.Response) -> None:
    for name, value in SECURITY_HEADERS.items():
        assert reply.headers[name] == value, f"{reply.request.url}: {name}"
    assert reply.headers["x-request-id"]


EVERYWHERE = [
    ("GET", "/"),
    ("GET", "/sources/anything"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/collections"),
    ("GET", "/v1/documents"),
    ("GET", "/v1/sources/nowhere"),
    ("GET", "/nowhere"),
    ("GET", "/web/nowhere.js"),
    ("GET", "/ask?question=When"),
    ("POST", "/ask"),
    ("PATCH", "/ask"),
    ("OPTIONS", "/ask"),
    ("HEAD", "/"),
]


@pytest.mark.parametrize(("method", "path"), EVERYWHERE)
def test_every_reply_is_headed(service: Service, method: str, path: str) -> None:
    assert_headed(service.request(method, path))


def test_streams_and_refusals_are_headed(service: Service) -> None:
    assert_headed(service.ask(ASKED, stream=True))
    assert_headed(service.ask("x" * LIMIT))
    assert_headed(service.get("/", headers={"host": "evil.example"}))


def test_every_file_of_the_page_is_served_as_what_it_is(service: Service) -> None:
    web = Path("app/web")
    types = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
    files = [path for path in web.rglob("*") if path.suffix in types]
    assert len(files) > 3
    for path in files:
        reply = service.get(f"/web/{path.relative_to(web).as_posix()}")
        assert reply.status_code == 200
        assert reply.headers["content-type"].split(";")[0] == types[path.suffix]
        assert reply.content == path.read_bytes()
        assert_headed(reply)
    assert service.get("/").content == (web / "index.html").read_bytes()


def test_the_page_asks_only_for_files_that_there_are(service: Service) -> None:
    page = service.get("/").text
    named = re.findall(r'(?:src|href)="(/[^"#]+)"', page)
    assert named
    for path in named:
        assert service.get(path).status_code == 200, path
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", page)  # the policy allows no script in the page itself
    assert not re.search(r"\son\w+=|\sstyle=", page)


@pytest.mark.parametrize(
    "path",
    [
        "/web/../../pyproject.toml",
        "/web/..%2f..%2fpyproject.toml",
        "/web/%2e%2e/%2e%2e/app/cli.py",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/vendor/THIRD_PARTY.md",
        "/web/..%5c..%5cpyproject.toml",
        "/web/index.html%00.js",
        f"/web/{'a' * 300}.js",
        "/web/",
    ],
)
def test_nothing_but_the_pages_files_is_served(service: Service, path: str) -> None:
    reply = service.get(path)
    assert reply.status_code == 404, reply.text
    assert reply.json()["error"]["next_step"]


class TestReading:
    def test_collections_and_documents(self, service: Service) -> None:
        (collection,) = service.get("/v1/collections").json()["data"]
        assert (collection["name"], collection["documents"]) == ("default", 3)
        page = service.get("/v1/documents").json()
        assert (page["object"], page["has_more"], page["next"]) == ("list", False, None)
        assert {row["filename"] for row in page["data"]} == set(FILES)
        for row in page["data"]:
            assert row["status"] == "live"
            assert row["chunks"] > 0
            assert row["error"] is None
            assert "/" not in row["filename"] or not row["filename"].startswith("/")
            assert service.get(f"/v1/documents/{row['id']}").json() == row
        assert {row["pages"] for row in page["data"]} == {None, 2}

    def test_documents_come_page_by_page(self, service: Service) -> None:
        seen, after = [], None
        for _ in range(5):
            params = {"limit": "1"} | ({"after": after} if after else {})
            page = service.get("/v1/documents", params=params).json()
            seen += [row["id"] for row in page["data"]]
            after = page["next"]
            if not page["has_more"]:
                break
        assert len(seen) == len(set(seen)) == 3

    def test_a_source_is_its_passage(self, service: Service) -> None:
        for source in service.ask(ASKED, include=["sources.text"]).json()["sources"]:
            found = service.get(f"/v1/sources/{source['id']}").json()
            assert {**found, "n": source["n"]} == source
            page = service.get(f"/sources/{source['id']}")
            assert page.headers["content-type"].startswith("text/html")

    def test_documents_are_never_served_under_their_own_type(self, service: Service) -> None:
        for row in service.get("/v1/documents").json()["data"]:
            reply = service.get(f"/v1/documents/{row['id']}/content")
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"
            assert_headed(reply)

    def test_no_path_of_the_host_is_told(self, service: Service) -> None:
        told = service.get("/v1/documents").text + service.ask(ASKED).text + service.get("/v1/collections").text
        assert str(service.grounded.settings.state.parent) not in told

    def test_search_has_the_shape_that_openai_clients_read(self, service: Service) -> None:
        reply = service.request(
            "POST", "/v1/vector_stores/default/search", json={"query": ASKED, "max_num_results": 1, "unknown": 1}
        )
        page = reply.json()
        assert (page["object"], page["search_query"]) == ("vector_store.search_results.page", [ASKED])
        assert (page["has_more"], page["next_page"], len(page["data"])) == (False, None, 1)
        hit = page["data"][0]
        assert set(hit) == {"file_id", "filename", "score", "attributes", "content"}
        attributes = hit["attributes"]
        assert len(attributes) <= 16
        assert all(isinstance(value, str | int | float) for value in attributes.values())
        assert {"source_id", "start", "end", "dense_rank", "bm25_rank", "rerank_rank"} <= set(attributes)
        text = service.get(f"/v1/documents/{hit['file_id']}/content").content.decode()
        assert hit["content"][0]["text"] == text[attributes["start"] : attributes["end"]]

    def test_search_refuses_what_is_no_query(self, service: Service) -> None:
        for body in ({}, {"query": 7}, {"query": "x", "max_num_results": 51}, {"query": "x", "filters": {"a": "b"}}):
            reply = service.request("POST", "/v1/vector_stores/default/search", json=body)
            assert reply.status_code == 422, body
        for query in ("", "   ", [], [""], "a\x00b", ["fine", "escape \x1b[2J"], "x" * 2001, ["x" * 1000] * 3):
            reply = service.request("POST", "/v1/vector_stores/default/search", json={"query": query})
            assert_refused(reply, 422, "validation_failed", "query")

    def test_search_waits_in_the_same_line_as_questions(self, service: Service) -> None:
        with patch.object(service.grounded.admission, "_closed", new=True):
            reply = service.request("POST", "/v1/vector_stores/default/search", json={"query": ASKED})
        assert_refused(reply, 503, "shutting_down")


class TestHealth:
    def test_live_and_ready(self, service: Service) -> None:
        assert service.get("/health/live").json() == {"status": "ok"}
        reply = service.get("/health/ready")
        assert reply.status_code == 200
        assert reply.json()["status"] == "ready"
        assert set(reply.json()["checks"].values()) == {"ok"}

    def test_an_index_that_is_gone_is_not_ready(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fails(*_: Any) -> Any:
            raise IndexUnavailable("Broken.")

        monkeypatch.setattr(service.grounded.points, "count", fails)
        reply = service.get("/health/ready")
        assert (reply.status_code, reply.json()["checks"]["index"]) == (503, "failed")

    @pytest.mark.parametrize(("left", "status", "found"), [(0, 503, "failed"), (1, 200, "degraded")])
    def test_an_index_that_lacks_points_says_so(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, left: int, status: int, found: str
    ) -> None:
        async def count(*_: Any) -> int:
            return left

        monkeypatch.setattr(service.grounded.points, "count", count)
        reply = service.get("/health/ready")
        assert (reply.status_code, reply.json()["checks"]["index"]) == (status, found)

    def test_a_service_that_is_ending_is_not_ready(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service.app.state, "draining", True, raising=False)
        assert service.get("/health/ready").status_code == 503
        assert service.get("/health/live").status_code == 200


def test_openapi_names_every_route_of_the_service(service: Service) -> None:
    document = service.get("/openapi.json").json()
    assert {"/ask", "/v1/ask", "/v1/documents", "/health/ready"} <= set(document["paths"])
    assert json.dumps(document).isascii() or document["info"]["title"] == "Grounded"
