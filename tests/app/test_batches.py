"""Batches over the ASGI application: the real store, DBOS, engine and pipeline. Only the embedder is a fake."""

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
import structlog

from app.adapters.sql_batches import SqlBatches
from retrieval.errors import IndexUnavailable
from retrieval.model import EmbeddedQuery, Found, Query
from retrieval.watch import WatchedSearch
from tests.app.serving import Service, assert_refused, served
from tests.fakes import FakeEmbedder
from tests.patience import PATIENCE_S
from tests.receivers import Got, receiver

pytestmark = pytest.mark.usefixtures("silent")

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
FILES: dict[str, str | bytes] = {
    "harbour.md": "# Harbour\n\nThe lighthouse of the harbour was built in 1887.\n",
    "refunds.md": "# Refunds\n\nRefunds are issued within 14 days of the order.\n",
    "cats.md": "# Cats\n\nCats sleep most of the day. A cat has four legs.\n",
}
LIGHTHOUSE, REFUNDS, CATS = "When was the lighthouse built?", "When are refunds issued?", "How many legs has a cat?"
DEADLINES = ("timeout_s", "embed_timeout_s", "dense_timeout_s", "bm25_timeout_s", "rerank_timeout_s")
LINES = {"content-type": "application/x-ndjson"}


class Gated(FakeEmbedder):
    """Waits before it embeds a question, while the gate is shut, and knows who waits."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []

    async def embed_query(self, text: str) -> EmbeddedQuery:
        self.asked.append(text)
        await self.gate.wait()
        return await super().embed_query(text)


@pytest.fixture(scope="module")
def embedder() -> Gated:
    return Gated()


@pytest.fixture(scope="module")
def hook() -> Iterator[Got]:
    with receiver() as got:
        yield got


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, embedder: Gated, hook: Got) -> Iterator[Service]:
    with served(
        tmp_path_factory.mktemp("batches"),
        FILES,
        embedder,
        max_running=2,
        max_question_chars=200,
        batch={"max_questions": 50, "max_mb": 1, "max_pending": 60, "retry_s": 0.01},
        webhooks={"allow": [hook.url(), "hooks.example"], "secret": SECRET, "loopback": True, "retries_s": [0.2]},
        retrieval=dict.fromkeys(DEADLINES, 60),  # neither a gate nor a busy machine is an outage
    ) as service:
        yield service


@pytest.fixture(autouse=True)
def _open(embedder: Gated) -> Iterator[None]:
    yield
    embedder.gate.set()
    embedder.asked.clear()


def questions(*texts: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"q{n}", "question": text, **more} for n, text in enumerate(texts)]


def post(service: Service, asked: Sequence[dict[str, Any]], headers: Any = None, **more: Any) -> httpx2.Response:
    return service.request("POST", "/v1/batch", json={"questions": list(asked), **more}, headers=headers or {})


def submitted(service: Service, *texts: str, **more: Any) -> str:
    reply = post(service, questions(*texts), **more)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def results(service: Service, job_id: str, **params: str) -> list[dict[str, Any]]:
    reply = service.get(f"/v1/jobs/{job_id}/results", params=params)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    assert not reply.content or reply.content.endswith(b"\n")
    return [json.loads(line) for line in reply.content.splitlines()]


class TestAnswers:
    def test_one_result_for_each_question_in_order(self, service: Service) -> None:
        texts = [LIGHTHOUSE, REFUNDS, CATS] * 5
        reply = post(service, questions(*texts))
        job = reply.json()
        assert (reply.status_code, job["object"], job["type"]) == (202, "job", "batch")
        assert job["progress"] == {"done": 0, "total": 15, "unit": "questions"}
        end = service.ended(job["id"])
        assert (end["status"], end["progress"]["done"], end["webhook"]) == ("succeeded", 15, None)
        assert {k: end["details"][k] for k in ("received", "answered", "failed")} == {
            "received": 15,
            "answered": 15,
            "failed": 0,
        }
        found = results(service, job["id"])
        assert [row["id"] for row in found] == [f"q{n}" for n in range(15)]
        for row, text in zip(found, texts, strict=True):
            alone = service.ask(text).json()
            assert row["error"] is None
            answer = row["response"]
            for name in ("answer", "finish_reason", "sources", "object"):
                assert answer[name] == alone[name], name

    def test_lines_are_the_same_as_a_document(self, service: Service) -> None:
        lines = "\n".join(json.dumps(row) for row in questions(LIGHTHOUSE, CATS)) + "\n\n"
        reply = service.request("POST", "/v1/batch", content=lines.encode(), headers=LINES)
        assert reply.status_code == 202, reply.text
        service.ended(reply.json()["id"])
        first = results(service, reply.json()["id"])
        second = submitted(service, LIGHTHOUSE, CATS)
        service.ended(second)
        told = [[row["response"]["answer"] for row in rows] for rows in (first, results(service, second))]
        assert told[0] == told[1]

    def test_an_error_is_the_result_of_its_question_alone(self, service: Service) -> None:
        asked = [*questions(LIGHTHOUSE), {"id": "elsewhere", "question": CATS, "collection": "nowhere"}]
        asked.append({"id": "last", "question": REFUNDS, "include": ["sources.text"], "citation_style": "bracket"})
        job = post(service, asked).json()["id"]
        end = service.ended(job)
        assert (end["status"], end["details"]["answered"], end["details"]["failed"]) == ("succeeded", 2, 1)
        good, bad, last = results(service, job)
        assert "1887" in good["response"]["answer"]
        assert (bad["response"], bad["error"]["code"]) == (None, "collection_not_found")
        assert bad["error"]["next_step"]
        assert "[1]" in last["response"]["answer"]
        assert last["response"]["sources"][0]["text"]

    def test_an_abstention_is_an_answer(self, service: Service) -> None:
        job = post(service, questions("When was it built?"), collection="default").json()["id"]
        service.ended(job)
        (row,) = results(service, job)
        assert row["error"] is None
        assert row["response"]["finish_reason"] in ("stop", "abstained")

    @pytest.mark.parametrize(("outages", "code"), [(2, None), (3, "index_unavailable")])
    def test_what_is_not_there_for_a_while_is_asked_again(
        self, service: Service, outages: int, code: str | None
    ) -> None:
        search, calls = WatchedSearch.search, []

        async def flaky(self: WatchedSearch, query: Query) -> Found:
            calls.append(query)
            if len(calls) <= outages:
                raise IndexUnavailable("It is away.")
            return await search(self, query)

        with patch.object(WatchedSearch, "search", flaky):
            job = submitted(service, LIGHTHOUSE)
            end = service.ended(job)
        (row,) = results(service, job)
        assert (row["error"] or {}).get("code") == code
        assert (end["status"], len(calls)) == ("succeeded", 3)

    def test_results_are_read_while_it_runs(self, service: Service, embedder: Gated) -> None:
        job = submitted(service, LIGHTHOUSE)
        service.ended(job)
        embedder.gate.clear()
        running = submitted(service, REFUNDS, CATS)
        service.until(lambda: len(embedder.asked) >= 2)
        assert results(service, running) == []
        assert service.get(f"/v1/jobs/{running}").json()["status"] == "processing"
        embedder.gate.set()
        service.ended(running)
        assert [row["id"] for row in results(service, running)] == ["q0", "q1"]
        assert [row["id"] for row in results(service, running, after="q0")] == ["q1"]
        assert results(service, running, after="q1") == []
        assert [row["id"] for row in results(service, running, in_order="true")] == ["q0", "q1"]

    def test_in_order_stops_at_the_first_gap(self, service: Service) -> None:
        job = submitted(service, LIGHTHOUSE, REFUNDS, CATS)
        service.ended(job)
        store = service.grounded.batches.store
        assert isinstance(store, SqlBatches)
        questions_ = store._t.questions
        gap = questions_.update().where(questions_.c.job_id == job, questions_.c.number == 1).values(state="waiting")
        service.run(store._catalog.transaction(lambda db: db.execute(gap)))
        assert [row["id"] for row in results(service, job)] == ["q0", "q2"]
        assert [row["id"] for row in results(service, job, in_order="true")] == ["q0"]
        assert results(service, job, in_order="true", after="q0") == []
        assert [row["id"] for row in results(service, job, in_order="true", after="q1")] == ["q2"]


class TestRefusals:
    def test_what_is_wrong_is_named_with_its_place(self, service: Service) -> None:
        good = questions(LIGHTHOUSE)[0]
        cases: list[tuple[Any, str]] = [
            ({"questions": []}, "questions"),
            ({}, "questions"),
            ({"questions": [good, {"id": "b", "question": ""}]}, "questions.1.question"),
            ({"questions": [good, {"id": "b"}]}, "questions.1.question"),
            ({"questions": [good, {"question": "a"}]}, "questions.1.id"),
            ({"questions": [good, {"id": "b\n", "question": "a"}]}, "questions.1.id"),
            ({"questions": [good, {"id": "b", "question": "a", "top_k": 0}]}, "questions.1.top_k"),
            ({"questions": [good, {"id": "b", "question": "a", "colour": 1}]}, "questions.1.colour"),
            ({"questions": [good, {"id": "b", "question": "x" * 201}]}, "questions.1.question"),
            ({"questions": [good, {"id": "b", "question": "a", "filters": {"type": "no"}}]}, "questions.1.filters"),
            ({"questions": [good], "collection": "No"}, "collection"),
        ]
        for body, param in cases:
            reply = service.request("POST", "/v1/batch", json=body)
            error = assert_refused(reply, 422, "validation_failed", param)
            assert "lighthouse" not in error["message"]

    def test_an_id_stands_once(self, service: Service) -> None:
        reply = post(service, [*questions(LIGHTHOUSE), *questions(CATS)])
        assert (reply.status_code, "questions.1.id" in reply.json()["error"]["message"]) == (422, True)

    def test_sizes(self, service: Service) -> None:
        assert_refused(post(service, questions(*["a"] * 51)), 422, "validation_failed", "questions")
        large = json.dumps({"questions": questions(CATS), "pad": "x" * 2**20})
        assert_refused(service.request("POST", "/v1/batch", content=large), 413, "body_too_large")
        assert_refused(service.request("POST", "/ask", content=json.dumps({"q": "x" * 300_000})), 413, "body_too_large")

    def test_too_many_that_wait(self, service: Service, embedder: Gated) -> None:
        embedder.gate.clear()
        job = submitted(service, *[CATS] * 50)
        error = assert_refused(post(service, questions(*[CATS] * 11)), 503, "overloaded")
        assert "batches" in error["message"]
        service.request("POST", f"/v1/jobs/{job}/cancel")
        embedder.gate.set()
        service.ended(job)
        service.ended(submitted(service, CATS))

    def test_what_is_neither_json_nor_lines(self, service: Service) -> None:
        assert_refused(service.request("POST", "/v1/batch", content=b"nope"), 400, "invalid_request")
        reply = service.request("POST", "/v1/batch", content=b'{"id": "a", "question": "b"}\nnope', headers=LINES)
        assert "Line 2" in assert_refused(reply, 400, "invalid_request")["message"]
        plain = {"content-type": "text/plain"}
        assert_refused(
            service.request("POST", "/v1/batch", content=b"{}", headers=plain), 415, "unsupported_media_type"
        )

    def test_results_of_what_has_none(self, service: Service) -> None:
        assert_refused(service.get("/v1/jobs/job_none/results"), 404, "job_not_found")
        job = submitted(service, CATS)
        service.ended(job)
        assert_refused(
            service.get(f"/v1/jobs/{job}/results", params={"after": "nope"}), 422, "validation_failed", "after"
        )


class TestIdempotency:
    def test_the_same_key_gives_the_same_job(self, service: Service) -> None:
        key = {"idempotency-key": "batch-1"}
        first, again = (post(service, questions(CATS), key).json() for _ in range(2))
        assert first["id"] == again["id"]
        assert_refused(post(service, questions(LIGHTHOUSE), key), 409, "idempotency_conflict")
        service.ended(first["id"])
        assert len(results(service, first["id"])) == 1

    def test_of_many_at_once_one_is_kept(self, service: Service) -> None:
        async def main() -> set[str]:
            transport = httpx2.ASGITransport(app=service.app)
            headers = {"idempotency-key": "batch-2"}
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as http:
                body = {"questions": questions(CATS)}
                replies = await asyncio.gather(*(http.post("/v1/batch", json=body) for _ in range(10)))
                return {reply.json()["id"] for reply in replies}

        (job,) = service.run(main())
        service.ended(job)
        assert len(results(service, job)) == 1


class TestPriority:
    def test_a_question_beside_a_full_batch_is_admitted_at_once(self, service: Service, embedder: Gated) -> None:
        embedder.gate.clear()
        job = submitted(service, *[REFUNDS] * 10)
        service.until(lambda: embedder.asked.count(REFUNDS) == 2)

        async def main() -> list[int]:
            transport = httpx2.ASGITransport(app=service.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
                asks = [asyncio.create_task(http.post("/ask", json={"question": LIGHTHOUSE})) for _ in range(3)]
                async with asyncio.timeout(PATIENCE_S):
                    while embedder.asked.count(LIGHTHOUSE) < 2:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                inside = [embedder.asked.count(LIGHTHOUSE), embedder.asked.count(REFUNDS)]
                embedder.gate.set()
                replies = await asyncio.gather(*asks)
                assert {reply.status_code for reply in replies} == {200}
                return inside

        # both places of the service, although the batch has two questions running; and no more of the batch meanwhile
        assert service.run(main()) == [2, 2]
        assert service.ended(job)["details"]["answered"] == 10


class TestCancel:
    def test_what_is_answered_stays_and_nothing_more_comes(self, service: Service, embedder: Gated) -> None:
        embedder.gate.clear()
        job = submitted(service, *[CATS] * 20)
        service.until(lambda: len(embedder.asked) >= 2)
        reply = service.request("POST", f"/v1/jobs/{job}/cancel")
        assert (reply.status_code, reply.json()["status"]) == (202, "canceled")
        embedder.gate.set()
        before = len(results(service, job))
        service.ended(submitted(service, LIGHTHOUSE))
        assert len(results(service, job)) == before <= 20
        assert embedder.asked.count(CATS) <= 4


class TestDeletion:
    def test_an_answer_goes_with_the_document_it_rests_on(self, service: Service) -> None:
        upload = {"documents": [{"filename": "mill.md", "text": "# Mill\n\nThe windmill of Ada was built in 1712.\n"}]}
        service.ended(service.request("POST", "/v1/documents", json={**upload, "collection": "mills"}).json()["id"])
        job = submitted(service, "When was the windmill built?", collection="mills")
        other = submitted(service, LIGHTHOUSE)
        for one in (job, other):
            service.ended(one)
        (row,) = results(service, job)
        assert "1712" in row["response"]["answer"]
        document = row["response"]["sources"][0]["document_id"]
        deleted = service.request("DELETE", f"/v1/documents/{document}").json()
        (gone,) = results(service, job)  # with the very reply to the deletion
        assert (gone["id"], gone["response"], gone["error"]["code"]) == ("q0", None, "answer_withdrawn")
        receipt = service.ended(deleted["job_id"])["receipt"]
        assert (receipt["batches"], receipt["left"]["batches"]) == (1, 0)
        assert results(service, other)[0]["response"] is not None
        for path in service.grounded.settings.state.glob("catalog.sqlite*"):
            assert b"built in 1712" not in path.read_bytes(), path.name

    def test_a_document_that_goes_while_it_is_answered_is_not_in_the_answer(
        self, service: Service, embedder: Gated
    ) -> None:
        text = "# Tower\n\nThe clock tower of Ada was built in 1633.\n"
        upload = {"documents": [{"filename": "tower.md", "text": text}], "collection": "towers"}
        service.ended(service.request("POST", "/v1/documents", json=upload).json()["id"])
        (row,) = service.get("/v1/documents", params={"collection": "towers"}).json()["data"]
        kept = service.grounded.batches.store.keep
        seen: list[bytes] = []

        async def late(job_id: str, number: int, line: bytes, documents: Any, *, failed: bool) -> bool:
            """Right before the result is kept, the document goes."""
            seen.append(line)
            if len(seen) == 1:
                await service.grounded.ingest.hide(row["id"], None)
            return bool(await kept(job_id, number, line, documents, failed=failed))

        with patch.object(service.grounded.batches.store, "keep", late):
            job = submitted(service, "When was the clock tower built?", collection="towers")
            service.ended(job)
        (result,) = results(service, job)
        assert b"1633" in seen[0]
        assert "1633" not in json.dumps(result)
        assert result["response"]["finish_reason"] == "no_context"


class TestWebhooks:
    def test_the_end_is_told_once(self, service: Service, hook: Got) -> None:
        hook.requests.clear()
        job = submitted(service, CATS, webhook=hook.url())
        assert service.ended(job)["webhook"]["url"] == hook.url()
        service.until(lambda: service.get(f"/v1/jobs/{job}").json()["webhook"]["state"] == "delivered")
        ((_, headers, body),) = hook.requests
        told = json.loads(body)
        assert (told["type"], told["data"]["job_id"]) == ("batch.succeeded", job)
        assert headers["webhook-id"] == service.get(f"/v1/jobs/{job}").json()["webhook"]["id"]

    def test_whom_nobody_allowed_is_refused_before_anything_is_kept(self, service: Service) -> None:
        before = service.get("/v1/jobs").json()["data"][0]["id"]
        for url in (
            "https://evil.example/",
            "http://hooks.example/",
            "https://hooks.example@evil.example/",
            "nonsense",
        ):
            assert_refused(post(service, questions(CATS), webhook=url), 422, "webhook_not_allowed", "webhook")
        assert service.get("/v1/jobs").json()["data"][0]["id"] == before

    def test_dead_letters_are_seen_and_sent_again(self, service: Service, hook: Got) -> None:
        down = {"status": 500}
        with receiver(lambda _: (down["status"], {}, b"")) as broken:
            webhooks = service.grounded.webhooks
            policy = webhooks._policy
            webhooks._policy = type(policy)((*policy.allow, broken.url()), policy.secret, ())
            try:
                job = submitted(service, CATS, webhook=broken.url())
                service.ended(job)
                service.until(lambda: service.get(f"/v1/jobs/{job}").json()["webhook"]["state"] == "dead")
                (dead,) = service.get("/v1/webhooks/dead").json()["data"]
                assert (dead["job_id"], dead["status"], dead["error"]["code"]) == (job, 500, "webhook_failed")
                down["status"] = 200
                reply = service.request("POST", f"/v1/webhooks/{dead['id']}/retry")
                assert (reply.status_code, reply.json()["state"]) == (202, "waiting")
                service.until(lambda: service.get(f"/v1/jobs/{job}").json()["webhook"]["state"] == "delivered")
                assert_refused(service.request("POST", f"/v1/webhooks/{dead['id']}/retry"), 404, "webhook_not_found")
            finally:
                webhooks._policy = policy


def test_nothing_of_question_or_answer_is_in_the_log(service: Service) -> None:
    with structlog.testing.capture_logs() as log:
        service.ended(submitted(service, LIGHTHOUSE))
    assert "lighthouse" not in str(log)
    assert "1887" not in str(log)


def test_a_state_without_batches_reads_no_webhook(tmp_path: Path) -> None:
    with served(tmp_path) as service:
        assert service.grounded.webhooks._running is None
        assert service.get("/v1/webhooks/dead").json()["data"] == []
