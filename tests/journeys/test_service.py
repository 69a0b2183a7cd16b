"""The real thing: the installed command as a process, on a real port, spoken to over sockets."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.serving import events_of, write
from tests.patience import PATIENCE_S, UNHURRIED_ENVIRONMENT
from tests.scripted_upstream import HEAD, Reset, Stall, Step, Upstream, Wait, chunk, refusal, reply, upstream

pytestmark = [pytest.mark.models, pytest.mark.slow]

GROUNDED = Path(sys.executable).parent / "grounded"
READY_S = PATIENCE_S
DOCS: dict[str, str | bytes] = {
    "refunds.md": "# Refunds\n\nRefunds are issued within 14 days 😀 of the order. Late refunds take 30 days.\n",
    "harbour.md": "# Harbour\n\nThe lighthouse of the harbour was built in 1887.\n",
}
ASKED = "When was the lighthouse built?"


UNHURRIED_MODEL = {
    f"GROUNDED_GENERATION__{name}TIMEOUT_S": "600" for name in ("", "CONNECT_", "FIRST_TOKEN_", "BETWEEN_TOKENS_")
}
UNDRAINED = {"GROUNDED_DRAIN_S": "600"}  # longer than anybody waits for the end here


def environment(state: Path, **settings: str) -> dict[str, str]:
    own = {"GROUNDED_STATE": str(state), "GROUNDED_INGEST__MIN_FREE_MB": "0"}
    return {**os.environ, **UNHURRIED_ENVIRONMENT, **own, **settings}


def grounded(*words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([GROUNDED, *words], capture_output=True, text=True, env=env, timeout=READY_S)


class Served:
    """A running `grounded serve`. Its stderr goes to a file, so that it cannot block on a full pipe."""

    def __init__(self, state: Path, log: Path, **settings: str) -> None:
        self.env = environment(state, **settings)
        self._log = log
        with log.open("wb") as err:
            self.process = subprocess.Popen(
                [GROUNDED, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=err, env=self.env
            )
        self.port = 0

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_ready(self) -> None:
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log
            ready = [line for line in self.log.splitlines() if "Grounded is ready: http://127.0.0.1:" in line]
            if ready:
                self.port = int(ready[0].rpartition(":")[2])
                return
            time.sleep(0.05)
        raise AssertionError(f"not ready after {READY_S} s: {self.log}")

    def http(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, content, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def ask(self, question: str = ASKED) -> dict[str, Any]:
        status, body = self.http("POST", "/ask", {"question": question})
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def dial(self, body: dict[str, Any]) -> socket.socket:
        """A connection on which `POST /ask` was sent."""
        content = json.dumps(body).encode()
        head = f"POST /ask HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(content)}\r\n\r\n"
        line = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        line.sendall(head.encode() + content)
        return line

    def stop(self, how: int = signal.SIGTERM, wait: float = PATIENCE_S) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(wait)
        if self.process.poll() is None:
            self.process.kill()
        assert self.process.stdout
        self.process.stdout.close()
        return self.process.wait()


def read_until(line: socket.socket, wanted: bytes, seen: bytes = b"") -> bytes:
    while wanted not in seen:
        got = line.recv(65_536)
        assert got, seen
        seen += got
    return seen


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with the documents in it, ingested by the command."""
    folder = tmp_path_factory.mktemp("journey")
    write(folder / "docs", DOCS)
    ran = grounded("ingest", str(folder / "docs"), env=environment(folder / "state"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    assert 'grounded ask "..."' in ran.stderr
    return folder / "state"


@contextlib.contextmanager
def serving(state: Path, tmp_path: Path, **settings: str) -> Iterator[Served]:
    served = Served(state, tmp_path / "log", **settings)
    try:
        served.wait_ready()
        yield served
    finally:
        served.stop()


@pytest.fixture(scope="class")
def served(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(state, tmp_path_factory.mktemp("log")) as running:
        yield running


class TestAsked:
    def test_json(self, served: Served) -> None:
        answer = served.ask()
        assert answer["answer"].startswith("The lighthouse of the harbour was built in 1887.")
        claim = answer["claims"][0]
        citation = claim["citations"][0]
        source = next(source for source in answer["sources"] if source["id"] == citation["source"])
        status, stored = served.http("GET", f"/v1/documents/{source['document_id']}/content")
        assert status == 200
        assert stored.decode()[citation["start"] : citation["end"]] == citation["cited_text"]
        assert source["url"] == f"http://127.0.0.1:{served.port}/sources/{source['id']}"
        assert served.http("GET", f"/sources/{source['id']}")[0] == 200

    def test_events_on_the_wire(self, served: Served) -> None:
        with served.dial({"question": ASKED, "stream": True}) as line:
            seen = read_until(line, b"event: done")
            seen = read_until(line, b"0\r\n\r\n", seen)
        head, _, body = seen.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        assert lines[0] == "http/1.1 200 ok"
        headers = dict(entry.split(": ", 1) for entry in lines[1:])
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-cache"
        assert headers["x-accel-buffering"] == "no"
        assert headers["transfer-encoding"] == "chunked"
        assert "content-security-policy" in headers
        assert "server" not in headers
        events = events_of(b"".join(_chunks(body)))
        assert [events[0]["type"], events[-1]["type"]] == ["start", "done"]
        assert "1887" in "".join(event["text"] for event in events if event["type"] == "delta")

    def test_the_page_is_there(self, served: Served) -> None:
        status, body = served.http("GET", "/")
        assert status == 200
        assert body.lstrip().lower().startswith(b"<!doctype html>")

    def test_a_question_of_ten_megabytes_is_refused_without_being_read(self, served: Served) -> None:
        line = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S)
        with line:
            size = 10 * 2**20
            head = "POST /ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            line.sendall(f"{head}content-length: {size}\r\n\r\n".encode())
            seen = read_until(line, b"body_too_large")  # the body was not even sent
        assert seen.startswith(b"HTTP/1.1 413")

    def test_who_reads_nothing_before_all_is_sent_is_told_too(self, served: Served) -> None:
        url = f"http://127.0.0.1:{served.port}/ask"
        request = urllib.request.Request(url, b"x" * 10 * 2**20, {"content-type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=PATIENCE_S)
        with refused.value as reply:
            assert (reply.code, json.load(reply)["error"]["code"]) == (413, "body_too_large")

    def test_a_chunked_body_of_ten_megabytes_too(self, served: Served) -> None:
        line = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S)
        with line:
            line.sendall(
                b"POST /ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            with contextlib.suppress(ConnectionError):
                for _ in range(160):
                    line.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            with contextlib.suppress(ConnectionError):
                assert read_until(line, b"body_too_large").startswith(b"HTTP/1.1 413")
        assert served.ask()["finish_reason"] == "stop"

    def test_bytes_that_are_no_request(self, served: Served) -> None:
        for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"POST /ask\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as line:
                line.sendall(nonsense)
                line.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    line.recv(65_536)
        assert served.ask()["finish_reason"] == "stop"

    def test_many_at_once(self, served: Served) -> None:
        lines = [served.dial({"question": ASKED}) for _ in range(20)]
        for line in lines:
            with line:
                assert b'"finish_reason":"stop"' in read_until(line, b'"trace_id"')

    def test_the_commands_talk_to_it(self, served: Served) -> None:
        """The service owns the state folder, so an answer proves that it was asked."""
        asked = grounded("ask", ASKED, "--json", env=served.env)
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["sources"][0]["url"].startswith(f"http://127.0.0.1:{served.port}/")
        found = grounded("search", "lighthouse", env=served.env)
        assert (found.returncode, "harbour.md" in found.stdout) == (0, True)
        doctor = grounded("doctor", "--json", env=served.env)
        checks = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
        assert f":{served.port}" in checks["state folder"]["detail"]
        assert doctor.returncode == 0, doctor.stdout
        refused = grounded("ask", ASKED, "--collection", "nowhere", env=served.env)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "error[collection_not_found]" in refused.stderr

    def test_a_second_service_on_the_same_state(self, served: Served) -> None:
        ran = grounded("serve", "--port", "0", env=served.env)
        assert (ran.returncode, ran.stdout) == (3, "")
        assert "error[state_locked]" in ran.stderr
        assert f"127.0.0.1:{served.port}" in ran.stderr  # who holds it
        assert "next: " in ran.stderr
        assert served.ask()["finish_reason"] == "stop"

    def test_a_port_in_use(self, served: Served, tmp_path: Path) -> None:
        ran = grounded("serve", "--port", str(served.port), env=environment(tmp_path / "state"))
        assert (ran.returncode, ran.stdout) == (3, "")
        assert "error[port_in_use]" in ran.stderr
        assert "--port" in ran.stderr

    def test_its_log_is_json_and_holds_no_text(self, served: Served) -> None:
        served.ask()
        lines = [json.loads(line) for line in served.log.splitlines() if line.startswith("{")]
        done = [line for line in lines if line["event"] == "ask.completed"]
        assert done
        assert {"request_id", "answer_id", "finish_reason", "ms", "level", "timestamp"} <= set(done[-1])
        assert "lighthouse" not in served.log


def _chunks(body: bytes) -> Iterator[bytes]:
    """The inside of a chunked body."""
    while body:
        size, _, body = body.partition(b"\r\n")
        yield body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_it_listens_for_this_machine_only(tmp_path: Path, host: str) -> None:
    ran = grounded("serve", "--host", host, "--port", "0", env=environment(tmp_path / "state"))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "error[configuration_error]" in ran.stderr
    assert "next: " in ran.stderr
    assert not (tmp_path / "state").exists()


def with_model(
    state: Path,
    tmp_path: Path,
    use: Callable[[Served, Upstream], Coroutine[Any, Any, None]],
    *script: Step,
    **settings: str,
) -> None:
    """A service whose answers are written by a scripted chat endpoint."""

    async def main() -> None:
        async with upstream(*script) as model:
            env = {
                "GROUNDED_GENERATION__BACKEND": "openai_chat",
                "GROUNDED_GENERATION__BASE_URL": model.url,
                "GROUNDED_GENERATION__MODEL": "scripted",
                "GROUNDED_GENERATION__PRICE_INPUT": "1",
                "GROUNDED_GENERATION__PRICE_OUTPUT": "2",
                **UNHURRIED_MODEL,
                **settings,
            }
            served = Served(state, tmp_path / "log", **env)
            try:
                await asyncio.to_thread(served.wait_ready)
                await use(served, model)
            finally:
                await asyncio.to_thread(served.stop)

    asyncio.run(main())


SLOWLY: list[Step] = [HEAD, chunk(""), chunk("The lighthouse was built in 1887. [1] "), chunk("It is"), Stall()]


class TestLeaving:
    """Client gone = work gone: the endpoint sees the connection closed, on both paths. How soon, is told by
    `python -m tests.upstream disconnects`."""

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("when", ["before the first word", "in the middle"])
    def test_hanging_up_ends_the_work_upstream(self, state: Path, tmp_path: Path, stream: bool, when: str) -> None:
        async def use(served: Served, model: Upstream) -> None:
            line = await asyncio.to_thread(served.dial, {"question": ASKED, "stream": stream})
            with line:
                await asyncio.wait_for(model.asked.wait(), PATIENCE_S)
                if stream:
                    wanted = b"event: claim" if when == "in the middle" else b"event: sources"
                    await asyncio.to_thread(read_until, line, wanted)
                else:
                    await asyncio.sleep(0.3)
                assert not model.gone.is_set()
            await asyncio.wait_for(model.gone.wait(), PATIENCE_S)  # nothing else ends it: no deadline is that short
            status, _ = await asyncio.to_thread(served.http, "GET", "/health/ready")
            assert status == 200

        script: list[Step] = SLOWLY if when == "in the middle" else [Stall()]
        with_model(state, tmp_path, use, *script, GROUNDED_MAX_RUNNING="1", GROUNDED_MAX_WAITING="0")

    def test_its_place_is_free_again(self, state: Path, tmp_path: Path) -> None:
        async def use(served: Served, model: Upstream) -> None:
            first = await asyncio.to_thread(served.dial, {"question": ASKED})
            await asyncio.wait_for(model.asked.wait(), PATIENCE_S)
            status, body = await asyncio.to_thread(served.http, "POST", "/ask", {"question": ASKED})
            assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded")
            first.close()
            await asyncio.wait_for(model.gone.wait(), PATIENCE_S)
            model.asked.clear()
            async with asyncio.timeout(PATIENCE_S):
                while not await self._reaches(
                    served, model
                ):  # the endpoint sees it go a moment before the place is free
                    pass

        with_model(state, tmp_path, use, *SLOWLY, GROUNDED_MAX_RUNNING="1", GROUNDED_MAX_WAITING="0")

    @staticmethod
    async def _reaches(served: Served, model: Upstream) -> bool:
        """Whether a question comes to the model, or is refused."""
        with await asyncio.to_thread(served.dial, {"question": ASKED}) as line:
            refused = asyncio.create_task(asyncio.to_thread(line.recv, 1))
            asked = asyncio.create_task(model.asked.wait())
            await asyncio.wait({refused, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            line.shutdown(socket.SHUT_RDWR)
            await asyncio.gather(refused, asked, return_exceptions=True)
        return model.asked.is_set()


def test_an_idle_stream_is_pinged_and_then_goes_on(state: Path, tmp_path: Path) -> None:
    async def use(served: Served, model: Upstream) -> None:
        def talk() -> bytes:
            with served.dial({"question": ASKED, "stream": True}) as line:
                return read_until(line, b"\r\n0\r\n\r\n")

        seen = await asyncio.to_thread(talk)
        body = b"".join(_chunks(seen.partition(b"\r\n\r\n")[2]))
        assert body.count(b": ping\n\n") >= 3
        events = events_of(body)
        assert events[-1]["finish_reason"] == "stop"
        assert events[-1]["model"] == "scripted"
        assert events[-1]["cost_usd"] == pytest.approx((120 * 1 + 9 * 2) / 1e6)
        assert [event["citations"] != [] for event in events if event["type"] == "claim"] == [True]

    script = reply("The lighthouse of the harbour was built in 1887. [1]")
    with_model(state, tmp_path, use, *script[:2], Wait(1.5), *script[2:], GROUNDED_PING_S="0.2")


class TestOutage:
    """The endpoint fails and the question is answered all the same, or refused where that is wanted."""

    def test_without_the_model_the_sources_are_quoted_and_the_answer_says_so(self, state: Path, tmp_path: Path) -> None:
        async def use(served: Served, model: Upstream) -> None:
            answers = [await asyncio.to_thread(served.ask) for _ in range(6)]
            for answer in answers:
                assert answer["answer"].startswith("The lighthouse of the harbour was built in 1887.")
                assert (answer["model"], answer["tier"], answer["degraded"]) == (
                    "extractive",
                    "extractive",
                    ["generator"],
                )
            assert 5 <= model.connections <= 8  # then the endpoint is left alone
            assert '"tier.state"' in served.log

        with_model(state, tmp_path, use, *refusal(503, {}))

    def test_a_model_that_breaks_off_is_replaced_and_its_text_taken_back(self, state: Path, tmp_path: Path) -> None:
        async def use(served: Served, _: Upstream) -> None:
            def talk() -> bytes:
                with served.dial({"question": ASKED, "stream": True, "release": "token"}) as line:
                    return read_until(line, b"\r\n0\r\n\r\n")

            seen = await asyncio.to_thread(talk)
            text = ""
            for event in (events := events_of(b"".join(_chunks(seen.partition(b"\r\n\r\n")[2])))):
                if event["type"] == "delta":
                    text += event["text"]
                elif event["type"] == "retract":
                    assert event["reason"] == "restart"
                    assert "It was built by giants".startswith(text[: event["end"]]), "a last word may be held back"
                    assert text.startswith("It was")
                    text = text[: event["start"]] + event["replacement"] + text[event["end"] :]
            assert text.startswith("The lighthouse of the harbour was built in 1887.")
            assert [event["type"] for event in events].count("retract") == 1
            assert events[-1]["degraded"] == ["generator"]
            assert events[-1]["usage"]["output_tokens"] > 0  # what was received is paid for

        with_model(state, tmp_path, use, HEAD, chunk("It was built "), chunk("by giants"), Wait(0.2), Reset())

    def test_with_fallback_none_the_question_fails(self, state: Path, tmp_path: Path) -> None:
        async def use(served: Served, _: Upstream) -> None:
            status, body = await asyncio.to_thread(served.http, "POST", "/ask", {"question": ASKED})
            assert (status, json.loads(body)["error"]["code"]) == (503, "upstream_unavailable")

        with_model(state, tmp_path, use, *refusal(503, {}), GROUNDED_GENERATION__FALLBACK="none")


class TestEnding:
    def test_sigterm_ends_an_idle_service_at_once(self, state: Path, tmp_path: Path) -> None:
        served = Served(state, tmp_path / "log", **UNDRAINED)
        try:
            served.wait_ready()
        finally:
            code = served.stop()
        assert code == 0, served.log
        assert "Traceback" not in served.log
        assert grounded("ask", ASKED, env=served.env).returncode == 0  # the state was let go

    def test_an_open_answer_may_end_and_nothing_new_begins(self, state: Path, tmp_path: Path) -> None:
        async def use(served: Served, model: Upstream) -> None:
            line = await asyncio.to_thread(served.dial, {"question": ASKED, "stream": True})
            with line:
                await asyncio.wait_for(model.asked.wait(), PATIENCE_S)
                served.process.send_signal(signal.SIGTERM)
                seen = await asyncio.to_thread(read_until, line, b"event: done")
            assert b"event: error" not in seen
            assert await asyncio.to_thread(served.stop) == 0  # and does not wait for the rest of the drain time

        script = reply("The lighthouse of the harbour was built in 1887. [1]")
        with_model(state, tmp_path, use, *script[:2], Wait(1.5), *script[2:], **UNDRAINED)

    @pytest.mark.parametrize("stream", [True, False])
    def test_an_answer_that_outlasts_the_drain_time_ends_with_an_error(
        self, state: Path, tmp_path: Path, stream: bool
    ) -> None:
        async def use(served: Served, model: Upstream) -> None:
            line = await asyncio.to_thread(served.dial, {"question": ASKED, "stream": stream})
            with line:
                await asyncio.wait_for(model.asked.wait(), PATIENCE_S)
                served.process.send_signal(signal.SIGTERM)
                seen = await asyncio.to_thread(read_until, line, b"event: done" if stream else b'"request_id"')
                code = await asyncio.to_thread(served.stop)
            assert b'"code":"shutting_down"' in seen
            assert seen.startswith(b"HTTP/1.1 200" if stream else b"HTTP/1.1 503")
            assert code == 0, served.log
            await asyncio.wait_for(model.gone.wait(), PATIENCE_S)
            assert "Traceback" not in served.log

        with_model(state, tmp_path, use, *SLOWLY, GROUNDED_DRAIN_S="1")

    def test_killed_without_a_word_it_starts_again(self, state: Path, tmp_path: Path) -> None:
        served = Served(state, tmp_path / "log")
        try:
            served.wait_ready()
            served.ask()
        finally:
            served.stop(signal.SIGKILL)
        with serving(state, tmp_path) as again:
            assert again.ask()["finish_reason"] == "stop"


def test_ready_means_all_parts_and_ctrl_c_ends_it(state: Path, tmp_path: Path) -> None:
    served = Served(state, tmp_path / "log")
    try:
        served.wait_ready()
        status, body = served.http("GET", "/health/ready")
        assert (status, set(json.loads(body)["checks"].values())) == (200, {"ok"})
    finally:
        assert served.stop(signal.SIGINT) == 0  # Ctrl-C is how one ends it


def test_serve_asks_the_question_that_it_is_given(state: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as err:
        process = subprocess.Popen(
            [GROUNDED, "serve", "--port", "0", "--try", ASKED], stderr=err, env=environment(state)
        )
    try:
        end = time.monotonic() + READY_S
        while "Ctrl-C ends the service" not in log.read_text() and time.monotonic() < end:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        said = log.read_text()
        assert "built in 1887. [1]" in said
        assert "harbour.md" in said
    finally:
        process.terminate()
        process.wait(READY_S)


class TestIngest:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
    def test_an_interrupted_run_loses_nothing_that_it_reported(self, tmp_path: Path, how: signal.Signals) -> None:
        text = "# Guide {n}\n\nThe lighthouse number {n} was built in year {n} of the harbour.\n"
        long = (
            "d" * 200 + "/{n:03}" + "f" * 200 + ".md"
        )  # all reports fill a pipe: it cannot end before it is interrupted
        docs = write(tmp_path / "docs", {long.format(n=n): text.format(n=n) for n in range(150)})
        env = environment(tmp_path / "state")
        slowly = env | {"GROUNDED_INGEST__GROUP_CHUNKS": "1"}  # a commit for each file, so that there are some to lose
        process = subprocess.Popen(
            [GROUNDED, "ingest", str(docs), "--jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=slowly
        )
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(how)
        rest, said = process.communicate(timeout=READY_S)
        assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), said
        lines = (first + rest).decode().splitlines()
        rows = [json.loads(line) for line in lines]  # stdout ends at a whole record
        reported = {row["path"] for row in rows if row.get("status") == "added"}
        assert 0 < len(reported) < 150
        if how == signal.SIGINT:
            assert b"Traceback" not in said
            assert b"run the same command again" in said
        again = grounded("ingest", str(docs), "--json", env=env)
        assert again.returncode == 0, again.stderr
        summary = json.loads(again.stdout)
        assert summary["unchanged"] >= len(reported)
        assert summary["unchanged"] + summary["added"] == 150
        assert summary["embedded"] <= summary["chunks"]

    def test_doctor_proves_that_no_network_is_needed(self, tmp_path: Path) -> None:
        ran = grounded("doctor", "--offline", "--json", env=environment(tmp_path / "state", GROUNDED_PORT="0"))
        checks = {check["name"]: check["status"] for check in json.loads(ran.stdout)["checks"]}
        assert checks["offline"] == "OK", ran.stdout + ran.stderr
        assert checks["embedder"] == "OK"
        assert ran.returncode == 0
