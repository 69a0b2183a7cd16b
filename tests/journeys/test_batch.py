"""Batches with the real server process, the real model and kill -9; the command with it and without."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.serving import write
from tests.batch_provider import Provider, line, provider
from tests.journeys.served_jobs import call, ended, until
from tests.journeys.test_service import GROUNDED, READY_S, Served, environment, grounded, serving
from tests.receivers import receiver

pytestmark = [pytest.mark.models, pytest.mark.slow]

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
DOCS: dict[str, str | bytes] = {
    "harbour.md": "# Harbour\n\nThe lighthouse of the harbour was built in 1887.\n",
    "refunds.md": "# Refunds\n\nRefunds are issued within 14 days of the order. Late refunds take 30 days.\n",
}
TEXTS = ("When was the lighthouse built?", "When are refunds issued?")
QUOTED = "Refunds are issued within 14 days of the order"
N = 120  # so many that a machine that is busy finds it under way still


def questions(n: int = N) -> list[dict[str, str]]:
    return [{"id": f"q{i}", "question": TEXTS[i % 2]} for i in range(n)]


def file_of(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(served: Served, job: str) -> list[dict[str, Any]]:
    status, body = served.http("GET", f"/v1/jobs/{job}/results")
    assert status == 200
    return [json.loads(row) for row in body.splitlines()]


def _more(served: Served, job: str, wanted: int) -> None:
    until(lambda: len(results(served, job)) >= wanted)


def right(rows: list[dict[str, Any]], n: int = N) -> bool:
    """Exactly one result for each question, in order, each with its answer."""
    assert [row["id"] for row in rows] == [f"q{i}" for i in range(n)]
    for i, row in enumerate(rows):
        assert ("1887", "14 days")[i % 2] in row["response"]["answer"], row
    return True


def with_documents(state: Path, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", DOCS)
    ran = grounded("ingest", str(docs), "-q", env=environment(state))
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with_documents(tmp_path / "state", tmp_path)
    return tmp_path / "state"


class TestKilled:
    def test_a_batch_goes_on_behind_each_start_and_answers_nothing_twice(self, state: Path, tmp_path: Path) -> None:
        lives: list[list[dict[str, Any]]] = []
        job = ""
        with receiver() as hook:
            said = {
                "GROUNDED_BATCH__RUNNING": "1",
                "GROUNDED_WEBHOOKS__ALLOW": json.dumps([hook.url()]),
                "GROUNDED_WEBHOOKS__SECRET": SECRET,
                "GROUNDED_WEBHOOKS__LOOPBACK": "true",
            }
            for life in range(3):
                served = Served(state, tmp_path / f"log{life}", **said)
                try:
                    served.wait_ready()
                    if not job:
                        body = {"questions": questions(), "webhook": hook.url()}
                        job = call(served, "POST", "/v1/batch", body)["id"]
                    seen = len(lives[-1]) if lives else 0
                    _more(served, job, seen + 3)
                    lives.append(results(served, job))
                    unfinished = call(served, "GET", f"/v1/jobs/{job}")["status"] == "processing"
                finally:
                    served.stop(signal.SIGKILL)
                assert unfinished, "it was too fast to be killed"
            assert hook.requests == []
            with serving(state, tmp_path, **said) as last:
                end = ended(last, job)
                assert (end["status"], end["progress"]["done"], end["details"]["answered"]) == ("succeeded", N, N)
                rows = results(last, job)
                assert right(rows)
                answers = {row["id"]: row["response"]["id"] for row in rows}
                for life in lives:  # what had a result kept it, to the id of the answer
                    assert [row["response"]["id"] for row in life] == [answers[row["id"]] for row in life]
                until(lambda: hook.requests)
                told = json.loads(hook.requests[0][2])
                assert (told["type"], told["data"]["job_id"]) == ("batch.succeeded", job)
                assert "lighthouse" not in last.log

    def test_sigterm_does_not_wait_for_a_batch_and_loses_none(self, state: Path, tmp_path: Path) -> None:
        served = Served(state, tmp_path / "log", GROUNDED_BATCH__RUNNING="1", GROUNDED_DRAIN_S="600")
        try:
            served.wait_ready()
            job = call(served, "POST", "/v1/batch", {"questions": questions()})["id"]
            until(lambda: len(results(served, job)) >= 3)
        finally:
            code = served.stop()
        assert code == 0, served.log
        assert "Traceback" not in served.log
        with serving(state, tmp_path) as again:
            assert ended(again, job)["status"] == "succeeded"
            assert right(results(again, job))


class TestCommand:
    def test_it_says_the_same_with_the_service_and_without(self, state: Path, tmp_path: Path) -> None:
        file = file_of(tmp_path, [*questions(6), {"id": "bad", "question": "x", "collection": "nowhere"}])
        alone = grounded("ask", "--batch", str(file), env=environment(state))
        with serving(state, tmp_path) as served:
            there = grounded("ask", "--batch", str(file), env=served.env)
        for ran in (alone, there):
            assert ran.returncode == 1, ran.stderr
            rows = [json.loads(row) for row in ran.stdout.splitlines()]
            assert right(rows[:6], 6)
            assert (rows[6]["id"], rows[6]["error"]["code"]) == ("bad", "collection_not_found")
            assert "7 results, 1 of them errors." in ran.stderr
            assert "Traceback" not in ran.stderr

    def test_an_output_file_is_gone_on_with(self, state: Path, tmp_path: Path) -> None:
        file, out = file_of(tmp_path, questions(8)), tmp_path / "results.jsonl"
        words = ["ask", "--batch", str(file), "--output", str(out), "-q"]
        whole = grounded(*words, env=environment(state))
        assert (whole.returncode, whole.stdout) == (0, ""), whole.stderr
        lines = out.read_bytes().splitlines(keepends=True)
        failed = json.dumps({"id": "q3", "response": None, "error": {"code": "overloaded"}}).encode() + b"\n"
        out.write_bytes(b"".join([*lines[:3], failed]) + lines[4][:40])  # as a crash may leave it
        again = grounded(*words, env=environment(state))
        assert again.returncode == 0, again.stderr
        assert out.read_bytes().startswith(b"".join(lines[:3]))
        assert right([json.loads(row) for row in out.read_bytes().splitlines()], 8)
        nothing = grounded(*words, env=environment(state))
        assert (nothing.returncode, nothing.stdout) == (0, "")
        assert "Nothing is left" in nothing.stderr

    def test_one_that_was_killed_is_taken_up_by_its_id(self, state: Path, tmp_path: Path) -> None:
        file = file_of(tmp_path, questions())
        env = environment(state) | {"GROUNDED_BATCH__RUNNING": "1"}
        with subprocess.Popen(
            [GROUNDED, "ask", "--batch", str(file)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as killed:
            assert killed.stdout
            assert killed.stderr
            job = killed.stderr.readline().split()[1].rstrip(";")
            seen = [killed.stdout.readline() for _ in range(3)]
            killed.kill()
        assert job.startswith("job_")
        resumed = grounded("ask", "--resume", job, env=env)
        assert resumed.returncode == 0, resumed.stderr
        rows = resumed.stdout.splitlines(keepends=True)
        assert rows[:3] == seen
        assert right([json.loads(row) for row in rows])

    def test_ctrl_c_cancels_what_it_has_begun(self, state: Path, tmp_path: Path) -> None:
        file = file_of(tmp_path, questions())
        with serving(state, tmp_path, GROUNDED_BATCH__RUNNING="1") as served:
            with subprocess.Popen(
                [GROUNDED, "ask", "--batch", str(file)],
                env=served.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as ran:
                assert ran.stdout
                assert ran.stderr
                job = ran.stderr.readline().split()[1].rstrip(";")
                ran.stdout.readline()
                ran.send_signal(signal.SIGINT)
                rest, said = ran.stdout.read(), ran.stderr.read()
                ran.wait(READY_S)
            assert ran.returncode == 130, said
            assert "Traceback" not in said
            assert all(json.loads(row) for row in rest.splitlines())
            assert ended(served, job)["status"] == "canceled"

    def test_what_cannot_be_done_is_said(self, state: Path, tmp_path: Path) -> None:
        env = environment(state)
        (tmp_path / "bad.jsonl").write_text("nope\n")
        (tmp_path / "other.txt").write_text("something else\n")
        cases = [
            (["--batch", str(tmp_path / "none.jsonl")], 2, "cannot be read"),
            (["--batch", str(tmp_path / "bad.jsonl")], 2, "line 1"),
            (
                ["--batch", str(file_of(tmp_path, questions(1))), "--output", str(tmp_path / "other.txt")],
                2,
                "something else",
            ),
            (["--resume", "job_none"], 2, "job_not_found"),
            (["--batch", "a", "What?"], 2, "Ask a question, or name a file"),
            (["What?", "--output", "a"], 2, "--output"),
            (["--batch", "a", "--json"], 2, "--json"),
            ([], 2, "Ask a question, or name a file"),
        ]
        for words, code, said in cases:
            ran = grounded("ask", *words, env=env)
            assert (ran.returncode, ran.stdout) == (code, ""), (words, ran.stderr)
            assert said in ran.stderr.replace("\n", " "), (words, ran.stderr)
        gone = grounded(
            "ask", "--batch", str(file_of(tmp_path, questions(1))), env=env | {"GROUNDED_URL": "http://127.0.0.1:1"}
        )
        assert (gone.returncode, gone.stdout) == (3, "")
        assert (tmp_path / "other.txt").read_text() == "something else\n"


@pytest.fixture
def api() -> Iterator[Provider]:
    with provider() as found:
        yield found


def written(orders: list[dict[str, Any]], *, left_out: int = 0) -> list[bytes]:
    """A model that quotes the passage that holds the answer; some replies get lost."""
    lines = []
    for order in orders[left_out:]:
        prompt = order["body"]["messages"][-1]["content"]
        told = "The lighthouse of the harbour was built in 1887" if TEXTS[0] in prompt else QUOTED
        lines.append(line(order["custom_id"], f"{told} [1]."))
    return lines


def settings_of(api: Provider, **more: str) -> dict[str, str]:
    tier = {"name": "small", "base_url": api.url, "model": "m", "price_input": 1, "price_output": 2}
    return {
        "GROUNDED_TIERS": json.dumps([tier]),
        "GROUNDED_BATCH__THROUGH": "api",
        "GROUNDED_BATCH__POLL_S": "0.1",
        **more,
    }


class TestProvider:
    def test_what_the_provider_wrote_is_cited_and_what_it_lost_is_asked(
        self, state: Path, tmp_path: Path, api: Provider
    ) -> None:
        api.write = lambda orders: written(orders, left_out=2)
        asked = questions(10)
        for row, text in zip(
            asked, ("In which year was the lighthouse built?", "Refunds are issued when?"), strict=False
        ):
            row["question"] = text  # or they would be answered by what was written for their equals
        with serving(state, tmp_path, **settings_of(api)) as served:
            job = call(served, "POST", "/v1/batch", {"questions": asked})["id"]
            assert ended(served, job)["status"] == "succeeded"
            rows = results(served, job)
            assert right(rows, 10)
            by = [row["response"]["tier"] for row in rows]
            assert by[2:] == ["small"] * 8
            assert by[:2] == ["extractive"] * 2  # there is no chat at this endpoint, so quoting is left
            for row in rows[2:]:
                answer = row["response"]
                assert answer["usage"]["input_tokens"] == 100
                assert answer["prompt_version"].startswith("answer@")
                assert answer["cost_usd"] == pytest.approx((100 * 1 + 9 * 2) / 1e6)
                citation = answer["claims"][0]["citations"][0]
                assert citation["source"] in {source["id"] for source in answer["sources"]}
            assert len(api.batches) == 1
            assert api.files == {}, "the provider still holds passages"

    def test_a_restart_waits_for_the_same_batch(self, state: Path, tmp_path: Path, api: Provider) -> None:
        served = Served(state, tmp_path / "log", **settings_of(api))
        try:
            served.wait_ready()
            job = call(served, "POST", "/v1/batch", {"questions": questions(4)})["id"]
            until(lambda: api.batches)
            time.sleep(0.5)
        finally:
            served.stop(signal.SIGKILL)
        (id_,) = api.batches
        with serving(state, tmp_path, **settings_of(api)) as again:
            time.sleep(0.5)
            assert call(again, "GET", f"/v1/jobs/{job}")["status"] == "processing"
            api.end(id_, written(api.orders(id_)))
            assert ended(again, job)["status"] == "succeeded"
            rows = results(again, job)
            assert right(rows, 4)
            assert {row["response"]["tier"] for row in rows} == {"small"}
            assert list(api.batches) == [id_]

    @pytest.mark.parametrize("how", ["expired", "failed", "refused", "nonsense"])
    def test_whatever_the_provider_does_every_question_is_answered(
        self, state: Path, tmp_path: Path, api: Provider, how: str
    ) -> None:
        if how == "refused":
            api.refuse = {"/files": 500}
        if how == "nonsense":
            api.write = lambda _: [b"nonsense", b"{}"]
        with serving(state, tmp_path, **settings_of(api)) as served:
            job = call(served, "POST", "/v1/batch", {"questions": questions(4)})["id"]
            if how in ("expired", "failed"):
                (id_,) = until(lambda: list(api.batches))
                api.end(id_, written(api.orders(id_))[:1] if how == "expired" else [], status=how)
            assert ended(served, job)["status"] == "succeeded"
            assert right(results(served, job), 4)
            assert "Traceback" not in served.log

    def test_a_cancel_reaches_the_provider(self, state: Path, tmp_path: Path, api: Provider) -> None:
        with serving(state, tmp_path, **settings_of(api)) as served:
            job = call(served, "POST", "/v1/batch", {"questions": questions(4)})["id"]
            (id_,) = until(lambda: list(api.batches))
            until(lambda: any(path.endswith(id_) for path in api.paths))
            call(served, "POST", f"/v1/jobs/{job}/cancel")
            until(lambda: api.batches[id_]["status"] == "cancelling")
            until(lambda: api.files == {})  # nor does the provider keep the passages

    def test_a_changed_document_is_answered_from_anew(self, state: Path, tmp_path: Path, api: Provider) -> None:
        with serving(state, tmp_path, **settings_of(api)) as served:
            job = call(served, "POST", "/v1/batch", {"questions": questions(2)})["id"]
            (id_,) = until(lambda: list(api.batches))
            changed = {"harbour.md": "# Harbour\n\nThe lighthouse of the harbour was built in 1901.\n"}
            write(tmp_path / "docs", changed)
            done = grounded("ingest", str(tmp_path / "docs"), "-q", env=served.env)
            assert done.returncode == 0, done.stderr
            api.end(id_, written(api.orders(id_)))
            ended(served, job)
            first, second = results(served, job)
            assert "1901" in first["response"]["answer"]
            assert "1887" not in json.dumps(first)
            assert second["response"]["finish_reason"] == "stop"

    def test_a_question_for_another_tier_goes_there(self, state: Path, tmp_path: Path, api: Provider) -> None:
        with serving(state, tmp_path, **settings_of(api)) as served:
            asked = [{**row, "tier": "extractive"} for row in questions(2)]
            job = call(served, "POST", "/v1/batch", {"questions": asked})["id"]
            assert ended(served, job)["status"] == "succeeded"
            assert {row["response"]["model"] for row in results(served, job)} == {"extractive"}
        assert api.batches == {}

    def test_a_collection_that_may_not_be_sent_there_is_not(self, state: Path, tmp_path: Path, api: Provider) -> None:
        sensitive = settings_of(api, GROUNDED_ROUTING__SENSITIVE='["default"]')
        with serving(state, tmp_path, **sensitive) as served:
            job = call(served, "POST", "/v1/batch", {"questions": questions(4)})["id"]
            assert ended(served, job)["status"] == "succeeded"
            assert right(results(served, job), 4)
        assert api.paths == []
