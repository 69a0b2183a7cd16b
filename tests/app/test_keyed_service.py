"""The service with keys, over real connections: revocation in the middle of an answer, of a job and of a batch."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest

from app.commands import remote
from app.pipeline import AnswerPipeline, Question
from app.settings import ConfigurationError
from generation.events import Progress, Started
from tests.app.keyed import Caller, add, caller, keyed, look, made, waited
from tests.app.serving import Service, assert_refused, events_of
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("silent")
TOLD = "# Otters\n\nOtters swim in the harbour all day long.\n"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with keyed(tmp_path) as service:
        yield service


async def endless(_: AnswerPipeline, question: Question) -> AsyncGenerator[Any, None]:
    """An answer that begins and never ends."""
    from datetime import UTC, datetime

    yield Started("ans_1", "t", question.request_id, None, "grounded", "default", "sentence", datetime.now(UTC))
    while True:
        yield Progress("generating", 1.0)
        await asyncio.sleep(0.05)


def revoked_meanwhile(service: Service, who: Caller, call: Any) -> Any:
    """What the call gives that goes on when its key is revoked, by another process's way: in the catalog."""
    assert who.key is not None
    ring = service.grounded.authenticator.ring

    async def main() -> Any:
        begun = asyncio.create_task(call())
        async with asyncio.timeout(PATIENCE_S):
            while who.key.principal not in ring._watched:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await ring.store.revoke(who.key.id, who.key.created_at)
            return await begun

    return service.run(main())


def call(service: Service, who: Caller, method: str, path: str, **more: Any) -> Any:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=service.app)
        headers = {"authorization": f"Bearer {who.secret}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as http:
            return await http.request(method, path, **more)

    return send


class TestRevocation:
    def test_an_answer_that_is_streamed_ends_with_error_and_done(self, service: Service) -> None:
        who = caller(service, "a", "default", groups=None)
        who.upload("otters.md", TOLD)
        with patch.object(AnswerPipeline, "ask", endless):
            body = {"question": "What do otters do?", "stream": True}
            reply = revoked_meanwhile(service, who, call(service, who, "POST", "/ask", json=body))
        events = events_of(reply.content)
        assert [event["type"] for event in events[-2:]] == ["error", "done"]
        assert events[-2]["error"]["code"] == "key_revoked"
        assert events[-1]["finish_reason"] == "error"
        assert_refused(who.ask(), 401, "key_revoked")

    def test_a_document_that_is_waited_for_too(self, service: Service) -> None:
        who = caller(service, "a", "default", groups=None)
        with patch.object(AnswerPipeline, "ask", endless):
            body = {"question": "What do otters do?"}
            reply = revoked_meanwhile(service, who, call(service, who, "POST", "/ask", json=body))
        assert_refused(reply, 401, "key_revoked")

    def test_others_go_on(self, service: Service) -> None:
        one, two = (caller(service, n, "default", groups=None) for n in "ab")
        one.upload("otters.md", TOLD)
        service.run(service.grounded.authenticator.ring.store.revoke(one.key.id, one.key.created_at))  # type: ignore[union-attr]
        look(service)
        assert_refused(one.ask(), 401, "key_revoked")
        assert two.ask("What do otters do?").status_code == 200

    def test_the_events_of_a_job(self, service: Service) -> None:
        who = caller(service, "a", "default", groups=None)
        service.run(service.grounded.jobs.stop())
        store = service.grounded.jobs.store
        from app.jobs import new_job

        assert who.key is not None
        job = service.run(store.submit(new_job("ingest", {"collection": "default", "uploads": []}, who.key.principal)))
        service.grounded.jobs._closed = False
        reply = revoked_meanwhile(service, who, call(service, who, "GET", f"/v1/jobs/{job.id}/events"))
        last = events_of(reply.content)[-1]
        assert (last["type"], last["error"]["code"]) == ("error", "key_revoked")

    def test_the_questions_of_a_batch(self, service: Service) -> None:
        who = caller(service, "a", "acme", groups=None)
        chief = caller(service, "b", "acme", groups=None)
        who.upload("otters.md", TOLD)
        gate = asyncio.Event()
        ready = service.grounded.batches._ready

        async def held() -> None:
            await gate.wait()
            await ready()

        service.grounded.batches._ready = held
        questions = [{"id": f"q{n}", "question": "What do otters do?"} for n in range(3)]
        job = who.post("/v1/batch", {"questions": questions}).json()
        service.run(service.grounded.authenticator.ring.store.revoke(who.key.id, who.key.created_at))  # type: ignore[union-attr]
        look(service)
        gate.set()
        assert chief.ended(job["id"])["details"]["failed"] == 3
        assert chief.get(f"/v1/jobs/{job['id']}/results").text.count("key_revoked") == 3


@pytest.mark.slow
def test_another_process_makes_and_revokes_keys_of_a_service_that_runs(tmp_path: Path, service: Service) -> None:
    """By the command line, which finds the state folder held; a stream that has no end of its own ends."""

    async def command(*words: str) -> str:
        database = service.grounded.settings.database_url.get_secret_value()
        environment = {**os.environ, "GROUNDED_STATE": str(tmp_path / "state"), "GROUNDED_DATABASE_URL": database}
        code = "from app.cli import main; main()"
        run = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, "keys", *words, env=environment, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await run.communicate()
        assert run.returncode == 0
        return said.decode()

    said = service.run(command("create", "--name", "a", "--groups", "*", "--json"))
    key = json.loads(said)
    waited(service, 0.5)
    who = Caller("a", service, key["key"])
    assert who.get("/v1/collections").status_code == 200

    async def main() -> None:
        body = {"question": "What do otters do?", "stream": True}
        open_ = asyncio.create_task(call(service, who, "POST", "/ask", json=body)())
        await command("revoke", key["id"])
        async with asyncio.timeout(PATIENCE_S):
            reply = await open_
        assert events_of(reply.content)[-2]["error"]["code"] == "key_revoked"

    with patch.object(AnswerPipeline, "ask", endless):
        service.run(main())
    assert_refused(who.ask(), 401, "key_revoked")


class TestFirstKey:
    def test_it_closes_a_service_that_runs(self, service: Service) -> None:
        nobody = Caller("nobody", service)
        assert nobody.get("/v1/collections").status_code == 200
        key, secret = made("default", groups=())
        add(service, key)
        assert_refused(nobody.get("/v1/collections"), 401, "missing_api_key")
        assert Caller("somebody", service, secret).get("/v1/collections").status_code == 200
        assert nobody.get("/health/ready").status_code in (200, 503)
        assert nobody.get("/openapi.json").status_code == 200  # from this machine
        assert_refused(nobody.get("/openapi.json", headers={"x-forwarded-for": "192.0.2.1"}), 401, "missing_api_key")

    def test_labels_are_refused_where_they_would_keep_nobody_out(self, service: Service) -> None:
        document = {"filename": "a.md", "text": "x", "access": ["hr"]}
        reply = Caller("nobody", service).post("/v1/documents", {"documents": [document]})
        assert_refused(reply, 422, "validation_failed", "access")


class TestClient:
    def test_the_key_of_the_environment_is_sent(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert remote.credentials() == {}
        monkeypatch.setenv("GROUNDED_API_KEY", "grd_x")
        assert remote.connected("http://localhost", 1.0).headers["authorization"] == "Bearer grd_x"
        monkeypatch.delenv("GROUNDED_API_KEY")
        (tmp_path / "key").write_text("grd_y\n")
        (tmp_path / "key").chmod(0o600)
        monkeypatch.setenv("GROUNDED_API_KEY_FILE", str(tmp_path / "key"))
        assert remote.credentials() == {"authorization": "Bearer grd_y"}

    @pytest.mark.parametrize("bad", ["two words", "gr\u00e4", "a\x01"])
    def test_what_is_no_key_is_not_sent(self, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
        monkeypatch.setenv("GROUNDED_API_KEY", bad)
        with pytest.raises(ConfigurationError):
            remote.credentials()


def test_of_a_refused_request_nothing_is_read(service: Service) -> None:
    """Whoever has no key cannot make the service take their bytes."""
    add(service, made("default")[0])
    said: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": "/v1/documents", "headers": headers, "query_string": b""}
    service.run(service.app({**scope, "client": ("127.0.0.1", 1), "server": ("localhost", 80)}, receive, send))
    assert said[0]["status"] == 401
