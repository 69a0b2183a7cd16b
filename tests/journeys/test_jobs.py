"""Uploads and jobs with the real server process, the real model and kill -9."""

import contextlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.serving import write
from tests.journeys.served_jobs import END_S, call, ended, stood, until
from tests.journeys.test_service import GROUNDED, READY_S, Served, environment, grounded, serving

pytestmark = [pytest.mark.models, pytest.mark.slow]

HARBOUR = "# Harbour\n\nThe lighthouse of the harbour was built in 1887.\n"
REFUNDS = "# Refunds\n\nRefunds are issued within 14 days of the order. Late refunds take 30 days.\n"
ASKED = "When was the lighthouse built?"
SLOWLY = {"GROUNDED_INGEST__GROUP_CHUNKS": "1"}  # a commit for each file, so that there is a middle


def guide(n: int) -> str:
    return f"# Guide {n}\n\n" + "\n\n".join(
        f"The lighthouse number {n} of harbour {k} was built in the year {1000 + 7 * n + k} by builder {n * k}." * 3
        for k in range(4)
    )


def post_files(served: Served, **files: str) -> dict[str, Any]:
    """By curl, as the manual shows it."""
    words = ["curl", "-sS", "--fail-with-body", f"http://127.0.0.1:{served.port}/v1/documents"]
    for name, text in files.items():
        words += ["-F", f"file=@-;filename={name.replace('_', '.')};type=text/markdown"]
        sent = text
    ran = subprocess.run(words, input=sent, capture_output=True, text=True, timeout=READY_S)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    job: dict[str, Any] = json.loads(ran.stdout)
    return job


def answer(served: Served) -> str:
    return str(served.ask(ASKED)["answer"])


def submit(served: Served, folder: Path, **options: Any) -> dict[str, Any]:
    return call(served, "POST", "/v1/jobs", {"type": "ingest", "paths": [str(folder)], "options": options})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "state", tmp_path) as running:
        yield running


def test_upload_ask_update_delete(served: Served) -> None:
    job = ended(served, post_files(served, harbour_md=HARBOUR)["id"])
    assert (job["status"], job["details"]["added"], job["details"]["embedded"]) == ("succeeded", 1, 1)
    first = served.ask(ASKED)
    assert "1887" in first["answer"]
    (document,) = {source["document_id"] for source in first["sources"]}
    citation = first["claims"][0]["citations"][0]
    assert citation["cited_text"] in HARBOUR
    newer = ended(served, post_files(served, harbour_md=HARBOUR.replace("1887", "1901"))["id"])
    assert newer["details"]["updated"] == 1
    assert "1901" in answer(served)
    assert "1887" not in answer(served)
    deleted = call(served, "DELETE", f"/v1/documents/{document}")
    gone = served.ask(ASKED)
    assert (gone["finish_reason"], gone["sources"]) == ("no_context", [])
    receipt = ended(served, deleted["job_id"])["receipt"]
    assert (receipt["vectors"], receipt["uploads"], set(receipt["left"].values())) == (1, 1, {0})
    assert not any(path.is_file() for path in (served_state(served) / "uploads").rglob("*"))
    assert "lighthouse" not in served.log
    assert "1887" not in served.log


def served_state(served: Served) -> Path:
    return Path(served.env["GROUNDED_STATE"])


class TestKilled:
    def test_an_ingest_goes_on_behind_the_next_start(self, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {f"{n:02}.md": guide(n) for n in range(40)})
        whole = grounded("ingest", str(docs), "--json", env=environment(tmp_path / "other"))
        chunks = json.loads(whole.stdout)["chunks"]
        served = Served(tmp_path / "state", tmp_path / "log", **SLOWLY)
        try:
            served.wait_ready()
            job = submit(served, docs)
            before = until(lambda: (j := call(served, "GET", f"/v1/jobs/{job['id']}"))["details"]["indexed"] >= 5 and j)
        finally:
            served.stop(signal.SIGKILL)
        assert before["status"] == "processing", "it was too fast to be killed"
        with serving(tmp_path / "state", tmp_path, **SLOWLY) as again:
            after = ended(again, job["id"])
            assert after["status"] == "succeeded"
            assert stood(again) == (40, chunks)
            assert after["details"]["indexed"] == after["details"]["received"] == 40
            assert before["details"]["embedded"] <= after["details"]["embedded"] <= chunks  # none twice
            assert len(after["files"]) == after["details"]["added"] >= 40 - after["details"].get("unchanged", 0)
            assert ended(again, submit(again, docs)["id"])["details"]["embedded"] == 0
            doctor = grounded("doctor", "--json", env=again.env)
            checks = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
            assert (checks["jobs"]["status"], checks["jobs"]["detail"]) == ("OK", "none waits")

    def test_again_and_again_nothing_that_was_acknowledged_is_lost(self, tmp_path: Path) -> None:
        """Uploads and a deletion, the process killed at whatever it does then; without a word from anybody all is done."""
        sent: dict[str, str] = {}
        jobs: list[str] = []
        for life in range(4):
            served = Served(tmp_path / "state", tmp_path / f"log{life}", **SLOWLY)
            try:
                served.wait_ready()
                for n in range(4):
                    name = f"note_{life}{n}_md".replace("_md", ".md")
                    text = f"# Note {life}{n}\n\nThe keeper of lighthouse {life}{n} is called Ada{life}{n}.\n"
                    body = {"documents": [{"filename": name, "text": text}]}
                    jobs.append(call(served, "POST", "/v1/documents", body)["id"])
                    sent[name] = text
                time.sleep(0.15 * life)
            finally:
                served.stop(signal.SIGKILL)
        with serving(tmp_path / "state", tmp_path) as last:
            for job in jobs:
                assert ended(last, job)["status"] == "succeeded"
            listed = call(last, "GET", "/v1/documents?limit=200")["data"]
            assert sorted(row["filename"] for row in listed) == sorted(sent)
            for row in listed:
                status, stored = last.http("GET", f"/v1/documents/{row['id']}/content")
                assert (status, stored.decode().split()) == (200, sent[row["filename"]].split())
            assert stood(last)[0] == len(sent)

    def test_a_deletion_that_was_acknowledged_is_carried_through(self, tmp_path: Path) -> None:
        served = Served(tmp_path / "state", tmp_path / "log")
        try:
            served.wait_ready()
            ended(served, post_files(served, harbour_md=HARBOUR)["id"])
            (row,) = call(served, "GET", "/v1/documents")["data"]
            deleted = call(served, "DELETE", f"/v1/documents/{row['id']}")
        finally:
            served.stop(signal.SIGKILL)
        with serving(tmp_path / "state", tmp_path) as again:
            assert again.ask(ASKED)["sources"] == []
            receipt = ended(again, deleted["job_id"])["receipt"]
            assert (receipt["vectors"], set(receipt["left"].values())) == (1, {0})
            assert call(again, "GET", "/v1/documents")["data"] == []


class TestEnding:
    def test_sigterm_does_not_wait_for_a_job_and_loses_none(self, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {f"{n:02}.md": guide(n) for n in range(40)})
        served = Served(tmp_path / "state", tmp_path / "log", GROUNDED_DRAIN_S="600", **SLOWLY)
        try:
            served.wait_ready()
            job = submit(served, docs)
            until(lambda: call(served, "GET", f"/v1/jobs/{job['id']}")["details"]["indexed"] >= 3)
            follower = subprocess.Popen(
                ["curl", "-sN", f"http://127.0.0.1:{served.port}/v1/jobs/{job['id']}/events"], stdout=subprocess.PIPE
            )
            assert follower.stdout
            follower.stdout.readline()
        finally:
            code = served.stop()  # kills it long before the drain time is over: nobody is to be waited for
        assert code == 0, served.log
        follower.communicate(timeout=READY_S)
        assert "Traceback" not in served.log
        waiting = grounded("doctor", "--json", env=served.env)
        checks = {check["name"]: check for check in json.loads(waiting.stdout)["checks"]}
        assert (checks["jobs"]["status"], checks["jobs"]["fix"]) == ("WARN", "grounded serve")
        with serving(tmp_path / "state", tmp_path) as again:
            assert ended(again, job["id"])["status"] == "succeeded"
            assert stood(again)[0] == 40


def untimed(text: str) -> str:
    return re.sub(r'("ms"|"seconds"|"embed_seconds"):\s*[\d.]+|[\d.]+ s\b', "", text)


class TestHandedOver:
    """`grounded ingest` with the service running says what it says without."""

    @pytest.fixture
    def docs(self, tmp_path: Path) -> Path:
        files: dict[str, str | bytes] = {
            "harbour.md": HARBOUR,
            "deep/refunds.md": REFUNDS,
            "bad.pdf": b"%PDF-1.4 no",
            "song.mp3": b"x",
        }
        return write(tmp_path / "docs", files)

    @pytest.mark.parametrize("form", [[], ["--json"], ["--jsonl"], ["-q"], ["--dry-run", "--jsonl"], ["--fail-fast"]])
    def test_the_same_output_and_exit_code(self, served: Served, tmp_path: Path, docs: Path, form: list[str]) -> None:
        alone = environment(tmp_path / "alone")
        for _ in range(2):
            here, there = (grounded("ingest", str(docs), *form, env=env) for env in (alone, served.env))
            assert there.returncode == here.returncode == 1, there.stderr
            assert sorted(untimed(there.stdout).splitlines()) == sorted(untimed(here.stdout).splitlines())
            assert untimed(there.stderr) == untimed(here.stderr)
        (docs / "harbour.md").rename(docs / "haven.md")
        here, there = (grounded("ingest", str(docs), "--jsonl", env=env) for env in (alone, served.env))
        assert sorted(untimed(there.stdout).splitlines()) == sorted(untimed(here.stdout).splitlines())

    def test_what_cannot_be_done_is_said_the_same(self, served: Served, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for path in ("empty", "nowhere"):
            here, there = (
                grounded("ingest", str(tmp_path / path), env=env)
                for env in (environment(tmp_path / "alone"), served.env)
            )
            assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)
            assert there.returncode == 2

    def test_two_at_once_are_one(self, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {f"{n:02}.md": guide(n) for n in range(30)})
        with serving(tmp_path / "state", tmp_path, **SLOWLY) as served:
            words = [GROUNDED, "ingest", str(docs), "--json"]
            both = [
                subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=served.env)
                for _ in range(2)
            ]
            told = [json.loads(process.communicate(timeout=END_S)[0]) for process in both]
            assert [process.returncode for process in both] == [0, 0]
            jobs = call(served, "GET", "/v1/jobs")["data"]
            assert sum(job["details"]["embedded"] for job in jobs) == stood(served)[1]
            if len(jobs) == 1:  # else the first was over before the second had even started
                assert told[0] == told[1]
            assert stood(served)[0] == 30

    def test_ctrl_c_cancels_the_job_that_it_began(self, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {f"{n:02}.md": guide(n) for n in range(60)})
        with serving(tmp_path / "state", tmp_path, **SLOWLY) as served:
            process = subprocess.Popen(
                [GROUNDED, "ingest", str(docs), "--jsonl"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=served.env,
            )
            assert process.stdout
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=READY_S)
            assert process.returncode == 130, said
            assert b"run the same command again" in said
            (job,) = call(served, "GET", "/v1/jobs")["data"]
            assert ended(served, job["id"])["status"] == "canceled"
            assert 0 < stood(served)[0] < 60
            assert served.ask(ASKED)["finish_reason"] in ("stop", "abstained")

    def test_when_the_service_dies_the_command_says_what_becomes_of_the_job(self, tmp_path: Path) -> None:
        docs = write(tmp_path / "docs", {f"{n:02}.md": guide(n) for n in range(60)})
        served = Served(tmp_path / "state", tmp_path / "log", **SLOWLY)
        try:
            served.wait_ready()
            process = subprocess.Popen(
                [GROUNDED, "ingest", str(docs), "--jsonl"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=served.env,
            )
            assert process.stdout
            process.stdout.readline()
        finally:
            served.stop(signal.SIGKILL)
        _, said = process.communicate(timeout=READY_S)
        assert process.returncode == 3
        assert b"error[service_unreachable]" in said
        assert b"goes on by itself" in said
        with serving(tmp_path / "state", tmp_path) as again:
            (job,) = call(again, "GET", "/v1/jobs")["data"]
            assert ended(again, job["id"])["status"] == "succeeded"
            assert stood(again)[0] == 60


def test_the_command_line_does_not_load_what_runs_jobs(tmp_path: Path) -> None:
    """`dbos` is imported by the service alone."""
    docs = write(tmp_path / "docs", {"harbour.md": HARBOUR})
    code = (
        "import sys\nfrom app.cli import main\n"
        "try:\n    sys.argv = ['grounded', *sys.argv[1:]]\n    main()\n"
        "finally:\n    print('dbos' in sys.modules, file=sys.stderr)"
    )
    python = str(GROUNDED.parent / "python")
    for words in (["--help"], ["ingest", str(docs)], ["ask", ASKED]):
        ran = subprocess.run(
            [python, "-c", code, *words],
            capture_output=True,
            text=True,
            env=environment(tmp_path / "state"),
            timeout=READY_S,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr.strip().endswith("False"), ran.stderr
    with contextlib.suppress(FileNotFoundError):
        assert not (tmp_path / "state" / "jobs.sqlite").stat()
