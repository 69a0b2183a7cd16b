"""Webhooks on a real store and real sockets: signed as receivers check it, tried again, given up, and never lost."""

import asyncio
import base64
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from standardwebhooks.webhooks import Webhook as Receiver
from standardwebhooks.webhooks import WebhookVerificationError

from app.adapters.sql_batches import BatchTables, SqlBatches
from app.adapters.sql_jobs import SqlJobs
from app.adapters.sql_webhooks import SqlWebhooks
from app.adapters.webhook_sender import WebhookSender
from app.addresses import Target
from app.batch_settings import WebhookSettings, secret_bytes
from app.errors import WebhookFailed, WebhookNotAllowed, WebhookNotFound, WebhookOff
from app.jobs import Job
from app.webhooks import Policy, Webhook, Webhooks, body_of, signature_headers
from ingest.adapters import batch_tables, job_tables, tables
from ingest.adapters.sql_catalog import SqlCatalog
from tests.contracts.batch_store import submitted
from tests.patience import PATIENCE_S
from tests.receivers import Answer, Got, receiver

pytestmark = pytest.mark.usefixtures("silent")

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEY = secret_bytes(SecretStr(SECRET))
RETRIES_S = (5.0, 60.0, 300.0)


class Rig:
    """A service's webhooks with a clock that is set by hand."""

    def __init__(self, folder: Path, *allow: str) -> None:
        self.loop = asyncio.Runner()
        self.catalog = SqlCatalog(f"sqlite:///{folder / 'catalog.sqlite'}")
        t = batch_tables
        self.jobs = SqlJobs(
            self.catalog, job_tables.jobs, job_tables.job_files, job_tables.idempotency_keys, tables.documents
        )
        known = BatchTables(
            job_tables.jobs, tables.documents, t.batch_questions, t.batch_sources, t.provider_batches, t.webhooks
        )
        self.batches = SqlBatches(self.catalog, self.jobs, known)
        self.now = datetime.now(UTC)
        self.webhooks = self.begun(*allow)

    def begun(self, *allow: str, key: bytes = KEY) -> Webhooks:
        store = SqlWebhooks(self.catalog, batch_tables.webhooks, job_tables.jobs)
        sender = WebhookSender(1.0, loopback=True)
        policy = Policy(allow, key, RETRIES_S)
        return Webhooks(store, sender, policy, clock=lambda: self.now, draw=lambda: 0.5)

    def run(self, work: Any) -> Any:
        return self.loop.run(work)

    def ended(self, url: str) -> Job:
        """A batch that has ended, with a webhook for that address."""
        job = submitted(self.batches, url=url)
        self.now = max(self.now, datetime.now(UTC))
        self.run(self.jobs.begin(job.id))
        self.run(self.jobs.finish(job.id, "succeeded"))
        found: Job = self.run(self.jobs.find(job.id))
        return found

    def of(self, job: Job) -> Webhook:
        found: Webhook = self.run(self.webhooks.store.of_job(job.id))
        return found

    def deliver(self) -> bool:
        found: bool = self.run(self.webhooks.deliver_due())
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.run(rig.webhooks.stop())
    rig.run(rig.catalog.close())
    rig.loop.close()


@contextmanager
def served(rig: Rig, answer: Answer = lambda _: (204, {}, b"")) -> Iterator[Got]:
    with receiver(answer) as got:
        rig.webhooks = rig.begun(got.url())
        yield got


class TestSigning:
    def test_receivers_accept_what_is_sent(self, rig: Rig) -> None:
        with served(rig) as got:
            job = rig.ended(got.url())
            assert not rig.deliver()
            ((path, headers, body),) = got.requests
        assert path == "/hook"
        assert headers["content-type"] == "application/json"
        assert headers["host"] == f"127.0.0.1:{got.port}"
        told = Receiver(SECRET).verify(body, headers)
        assert told["type"] == "batch.succeeded"
        assert told["data"] == {"job_id": job.id, "status": "succeeded", "details": {"received": 3}, "error": None}
        assert headers["webhook-id"] == rig.of(job).id
        assert rig.of(job).state == "delivered"

    def test_nothing_else_is_accepted(self) -> None:
        body, now = b'{"type":"batch.succeeded"}', datetime.now(UTC)
        good = signature_headers(KEY, "msg_1", now, body)
        assert Receiver(SECRET).verify(body, good)
        old, ahead = (signature_headers(KEY, "msg_1", now + timedelta(minutes=m), body) for m in (-6, 6))
        other = signature_headers(bytes(32), "msg_1", now, body)
        again = {**good, "webhook-id": "msg_2"}
        stale = {**good, "webhook-timestamp": str(int(now.timestamp()) - 1)}
        for headers in (old, ahead, other, again, stale):
            with pytest.raises(WebhookVerificationError):
                Receiver(SECRET).verify(body, headers)

    def test_the_published_vector(self) -> None:
        """As the test suites of the scheme's own libraries have it."""
        key = secret_bytes(SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        at = datetime.fromtimestamp(1614265330, UTC)
        headers = signature_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')
        assert headers == {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }

    def test_no_bit_can_be_turned(self) -> None:
        body = b'{"type":"batch.succeeded"}'
        headers = signature_headers(KEY, "msg_1", datetime.now(UTC), body)
        for at in range(len(body) * 8):
            turned = bytearray(body)
            turned[at // 8] ^= 1 << at % 8
            with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):  # some are no text any more
                Receiver(SECRET).verify(bytes(turned), headers)

    def test_it_tells_numbers_and_no_text(self, rig: Rig) -> None:
        with served(rig) as got:
            job = rig.ended(got.url())
        assert b"What is" not in body_of(job)
        assert body_of(job) == body_of(replace(job, updated_at=datetime.now(UTC)))


class TestDelivery:
    def test_id_and_body_stay_the_same_until_it_is_heard(self, rig: Rig) -> None:
        with served(rig, lambda n: (500 if n < 2 else 200, {}, b"")) as got:
            job = rig.ended(got.url())
            for wait in (0.0, *RETRIES_S[:2]):
                rig.now += timedelta(seconds=wait)
                rig.deliver()
            assert [rig.of(job).state, rig.of(job).attempts] == ["delivered", 3]
            ids = {headers["webhook-id"] for _, headers, _ in got.requests}
            stamps = [int(headers["webhook-timestamp"]) for _, headers, _ in got.requests]
            bodies = {body for _, _, body in got.requests}
            assert (len(got.requests), len(ids), len(bodies)) == (3, 1, 1)
            assert [stamps[1] - stamps[0], stamps[2] - stamps[1]] == [5, 60]

    def test_not_before_its_time(self, rig: Rig) -> None:
        with served(rig, lambda _: (503, {}, b"")) as got:
            job = rig.ended(got.url())
            assert rig.deliver()
            rig.now += timedelta(seconds=4.9)
            assert rig.deliver()
            assert len(got.requests) == 1
            told = rig.of(job).error
            assert told is not None
            assert (told.code, rig.of(job).status) == ("webhook_failed", 503)

    def test_after_the_last_it_is_a_dead_letter_that_can_be_sent_again(self, rig: Rig) -> None:
        heals = {"at": 4}
        with served(rig, lambda n: (500 if n < heals["at"] else 200, {}, b"")) as got:
            job = rig.ended(got.url())
            for _ in range(9):
                rig.deliver()
                rig.now += timedelta(hours=1)
            assert len(got.requests) == 1 + len(RETRIES_S)
            (dead,) = rig.run(rig.webhooks.store.dead(9, None))
            assert (dead.job_id, dead.state, dead.status) == (job.id, "dead", 500)
            rig.run(rig.webhooks.revive(dead.id))
            rig.run(rig.webhooks.stop())
            rig.deliver()
            assert rig.of(job).state == "delivered"
            assert len({headers["webhook-id"] for _, headers, _ in got.requests}) == 1
            with pytest.raises(WebhookNotFound):
                rig.run(rig.webhooks.revive(dead.id))

    def test_gone_switches_the_receiver_off_until_it_takes_one_again(self, rig: Rig) -> None:
        answers = iter([410, 204])
        with served(rig, lambda _: (next(answers), {}, b"")) as got:
            first, second = rig.ended(got.url()), submitted(rig.batches, url=got.url())
            rig.run(rig.webhooks.check(got.url()))
            assert not rig.deliver()
            assert [rig.of(job).state for job in (first, second)] == ["dead", "dead"]
            with pytest.raises(WebhookOff):
                rig.run(rig.webhooks.check(got.url()))
            rig.run(rig.webhooks.revive(rig.of(first).id))
            rig.run(rig.webhooks.stop())
            rig.deliver()
            assert rig.of(first).state == "delivered"
            rig.run(rig.webhooks.check(got.url()))

    def test_one_that_is_deaf_keeps_no_other_waiting(self, rig: Rig) -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf, receiver() as got:
            silent = f"http://127.0.0.1:{deaf.getsockname()[1]}/hook"
            rig.webhooks = rig.begun(silent, got.url())
            jobs = [rig.ended(url) for url in (silent, got.url())]
            assert rig.deliver()
            assert [rig.of(job).state for job in jobs] == ["waiting", "delivered"]
            told = rig.of(jobs[0]).error
            assert told is not None
            assert "in time" in told.message

    def test_what_is_no_longer_allowed_is_not_sent(self, rig: Rig) -> None:
        with receiver() as got:
            rig.webhooks = rig.begun()
            job = rig.ended(got.url())
            rig.deliver()
            told = rig.of(job).error
            assert told is not None
            assert (got.connections, told.code) == (0, "webhook_not_allowed")
            with pytest.raises(WebhookNotAllowed):
                rig.run(rig.webhooks.check(got.url()))

    def test_it_is_sent_by_itself_and_what_a_stop_cuts_off_is_sent_again(self, rig: Rig) -> None:
        with served(rig) as got:
            job = submitted(rig.batches, url=got.url())

            async def main() -> None:
                rig.webhooks.start()
                await asyncio.sleep(0.05)
                await rig.jobs.cancel(job.id)
                rig.now = datetime.now(UTC) + timedelta(seconds=1)
                async with asyncio.timeout(PATIENCE_S):
                    while not got.requests:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                await rig.webhooks.stop()

            rig.run(main())
            assert json.loads(got.requests[0][2])["type"] == "batch.canceled"


class TestReplies:
    def test_of_a_reply_nothing_but_its_status_is_read(self, rig: Rig) -> None:
        endless = b"x" * 50_000_000
        with served(rig, lambda _: (200, {"content-length": str(len(endless))}, endless)) as got:
            job = rig.ended(got.url())
            rig.deliver()
            assert rig.of(job).state == "delivered"

    @pytest.mark.parametrize(
        "said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * 300_000, b"\0\xff"]
    )
    def test_what_is_no_reply_is_a_failure(self, said: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

            async def main() -> None:
                post = asyncio.create_task(
                    WebhookSender(2.0, loopback=True).post(Target("http", "127.0.0.1", port, "/"), b"{}", {})
                )
                connection, _ = await asyncio.to_thread(server.accept)
                with connection:
                    await asyncio.to_thread(connection.recv, 65_536)
                    await asyncio.to_thread(_sendall, connection, said)
                with pytest.raises(WebhookFailed):
                    await post

            asyncio.run(main())

    def test_a_receiver_that_drips_is_left(self) -> None:
        with receiver(lambda _: time.sleep(3) or (204, {}, b"")) as got, pytest.raises(WebhookFailed):  # type: ignore[func-returns-value]
            asyncio.run(WebhookSender(0.3, loopback=True).post(Target("http", "127.0.0.1", got.port, "/"), b"{}", {}))


def _sendall(connection: socket.socket, said: bytes) -> None:
    try:
        connection.sendall(said)
    except OSError:
        return


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hooks.example -addext subjectAltName=DNS:hooks.example"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    return folder


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
class TestTls:
    """The certificate is compared with the name, although the address is connected to."""

    @pytest.fixture
    def got(self, certificate: Path) -> Iterator[Got]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        with receiver(tls=context) as got:
            yield got

    async def _here(self, _host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    def post(self, got: Got, host: str, trusted: Path | None) -> int:
        tls = ssl.create_default_context(cafile=str(trusted / "cert.pem")) if trusted else None
        sender = WebhookSender(5.0, loopback=True, resolve=self._here, tls=tls)
        return asyncio.run(sender.post(Target("https", host, got.port, "/hook"), b"{}", {}))

    def test_name_and_host_are_the_targets(self, got: Got, certificate: Path) -> None:
        assert self.post(got, "hooks.example", certificate) == 204
        assert got.names == ["hooks.example"]
        assert got.requests[0][1]["host"] == f"hooks.example:{got.port}"

    def test_a_certificate_of_another_name_is_refused(self, got: Got, certificate: Path) -> None:
        with pytest.raises(WebhookFailed):
            self.post(got, "other.example", certificate)
        assert got.requests == []

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, got: Got) -> None:
        with pytest.raises(WebhookFailed):
            self.post(got, "hooks.example", None)
        assert got.requests == []


class TestSettings:
    @pytest.mark.parametrize("secret", ["geheim", "whsec_", "whsec_!!", "whsec_" + base64.b64encode(b"short").decode()])
    def test_a_secret_that_is_none_is_refused_without_being_repeated(self, secret: str) -> None:
        with pytest.raises(ValidationError) as caught:
            WebhookSettings(allow=("hooks.example",), secret=SecretStr(secret))
        assert "geheim" not in str(caught.value.errors(include_input=False))

    def test_whoever_allows_receivers_needs_a_secret(self) -> None:
        with pytest.raises(ValidationError, match=r"webhooks\.secret"):
            WebhookSettings(allow=("hooks.example",))
        assert WebhookSettings(allow=("hooks.example",), secret=SecretStr(SECRET)).allow == ("hooks.example",)
