"""The command line: exit codes, what goes to stdout and what to stderr, and what is said about bad input.

Most of it runs in this process with the fake embedder; what depends on a fresh process starts one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from app import cli
from app.commands.output import exit_code
from app.errors import CommandError, Overloaded, ServiceUnreachable, ValidationFailed
from app.settings import ConfigurationError
from app.state import StateFolder
from ingest.errors import Broken, FolderEmpty, StateLocked, StorageFull
from retrieval.errors import EmbedderUnavailable
from tests.app.serving import fake_embedder, write
from tests.fakes import FakeEmbedder
from tests.ingest.reading import SHARED, pdf
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
GROUNDED = Path(sys.executable).parent / "grounded"
HEAVY = ("torch", "transformers", "fastapi", "starlette", "uvicorn", "sqlalchemy", "qdrant_edge", "openai", "pydantic")
REFUNDS = "# Refunds\n\nRefunds are issued within 14 days of the order.\n"
IS_ROOT = os.geteuid() == 0


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout; anything else there fails."""
        return json.loads(self.out)

    def says(self, code: str) -> None:
        """An error has its code, a cause and a next step, and nothing of it is on stdout."""
        lines = self.err.splitlines()
        said = next((n for n, line in enumerate(lines) if line.startswith(f"error[{code}]: ")), None)
        assert said is not None, self.err
        assert len(lines[said]) > len(f"error[{code}]: ") + 5
        assert lines[said + 1].startswith("  next: ")
        assert len(lines[said + 1]) > len("  next: ") + 5
        assert "Traceback" not in self.err


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run `grounded ...` here, in an empty folder, with a state of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROUNDED_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")

    def grounded(*words: str) -> Ran:
        capfd.readouterr()
        try:
            cli.app(words, prog_name="grounded", standalone_mode=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    with fake_embedder():
        yield grounded
    structlog.reset_defaults()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write(tmp_path / "docs", {"refunds.md": REFUNDS, "cats.md": "# Cats\n\nCats sleep most of the day.\n"})


def fresh(*words: str, **env: str) -> Ran:
    """The command in a process of its own."""
    done = subprocess.run([GROUNDED, *words], capture_output=True, text=True, env={**os.environ, **env}, cwd=ROOT)
    return Ran(done.returncode, done.stdout, done.stderr)


class TestHelp:
    def test_it_lists_every_command_at_once(self) -> None:
        ran = fresh("--help")
        assert ran.code == 0
        for command in ("serve", "ingest", "ask", "search", "doctor", "config", "eval", "openapi"):
            assert command in ran.out

    def test_ingest_explains_its_options(self) -> None:
        for ran in (fresh("ingest", "--help"),):
            assert ran.code == 0
            for option in ("--include", "--exclude", "--dry-run", "--jsonl", "--fail-fast", "--no-prune"):
                assert option in ran.out

    @pytest.mark.parametrize("words", [["--help"], ["ingest", "--help"], ["eval", "beir", "--help"]])
    def test_help_loads_nothing_heavy(self, words: list[str]) -> None:
        script = (
            "import sys, json\nfrom app.cli import app\n"
            f"try: app({words!r}, prog_name='grounded')\nexcept SystemExit: pass\n"
            "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
        loaded = set(json.loads(done.stderr.splitlines()[-1]))
        own = {"pydantic"} if len(words) > 1 else set()  # typer's own way to read a command's options
        assert loaded & set(HEAVY) <= own
        assert not [name for name in loaded if name.startswith(("app.commands.", "app.wiring", "numpy"))]

    def test_no_words_are_a_usage_error_that_shows_the_help(self, run: Run) -> None:
        ran = run()
        assert ran.code == 2
        assert "ingest" in ran.out + ran.err

    def test_a_command_that_there_is_not(self, run: Run) -> None:
        ran = run("inegst")
        assert (ran.code, ran.out) == (2, "")
        assert "inegst" in ran.err

    def test_ingest_is_a_command_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        done = subprocess.run(
            [GROUNDED.with_name("ingest"), "--help"], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert "grounded ingest" in done.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (FolderEmpty("x"), 2),
        (ValidationFailed("x"), 2),
        (Broken("x"), 2),
        (StateLocked("x"), 3),
        (StorageFull("x"), 3),
        (Overloaded("x"), 3),
        (ServiceUnreachable("x"), 3),
        (CommandError("x"), 3),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert exit_code(error) == code  # type: ignore[arg-type]


class TestIngest:
    def test_the_first_run_and_the_second(self, run: Run, docs: Path) -> None:
        first = run("ingest", "docs")
        assert (first.code, first.out) == (0, "")
        assert 'grounded ask "..."' in first.err
        second = run("ingest", "docs", "--json")
        assert second.code == 0
        assert {name: second.json[name] for name in ("unchanged", "added", "embedded", "failed")} == {
            "unchanged": 2,
            "added": 0,
            "embedded": 0,
            "failed": 0,
        }

    def test_json_is_one_document(self, run: Run, docs: Path) -> None:
        ran = run("ingest", "docs", "--json")
        assert ran.json["added"] == 2
        assert ran.json["errors"] == []

    def test_jsonl_is_a_row_a_file_and_the_summary(self, run: Run, docs: Path) -> None:
        write(docs, {"broken.pdf": b"%PDF-1.4 nothing"})
        ran = run("ingest", "docs", "--jsonl")
        rows = [json.loads(line) for line in ran.out.splitlines()]
        assert {row["path"]: row["status"] for row in rows[:-1]} == {
            "broken.pdf": "failed",
            "cats.md": "added",
            "refunds.md": "added",
        }
        for row in rows[:-1]:
            assert set(row) == {"path", "status", "chunks", "pages", "ms", "error", "warnings"}
        assert rows[-1]["type"] == "summary"
        assert (ran.code, rows[-1]["failed"]) == (1, 1)

    def test_quiet_says_only_what_failed(self, run: Run, docs: Path) -> None:
        assert run("ingest", "docs", "-q") == Ran(0, "", "")
        write(docs, {"broken.pdf": b"%PDF-1.4 nothing"})
        ran = run("ingest", "docs", "-q")
        assert ran.code == 1
        assert ran.err.startswith("failed: broken.pdf: [broken_file]")
        assert len(ran.err.splitlines()) == 2

    def test_a_dry_run_changes_nothing(self, run: Run, docs: Path) -> None:
        first = run("ingest", "docs", "--dry-run", "--json")
        assert (first.code, first.json["added"], first.json["chunks"]) == (0, 2, 2)
        assert run("ingest", "docs", "--json").json["added"] == 2

    def test_patterns_and_collections(self, run: Run, docs: Path) -> None:
        ran = run("ingest", "docs", "--include", "*.md", "--exclude", "cats*", "--collection", "shop", "--json")
        assert ran.json["added"] == 1
        found = run("ask", "When are refunds issued?", "--collection", "shop", "--json")
        assert found.json["collection"] == "shop"

    def test_fail_fast_stops(self, run: Run, docs: Path) -> None:
        write(docs, {"a-broken.pdf": b"%PDF-1.4 nothing"})
        ran = run("ingest", "docs", "--fail-fast", "--json")
        assert (ran.code, ran.json["failed"], ran.json["added"]) == (1, 1, 0)


class TestBadInput:
    """The issue's table: a clear error with a code, a cause and a next step, and nothing lost."""

    def test_a_folder_that_is_not_there(self, run: Run) -> None:
        ran = run("ingest", "nowhere", "--json")
        assert (ran.code, ran.out) == (2, "")
        ran.says("folder_not_found")

    def test_an_empty_folder(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        ran = run("ingest", "empty", "--jsonl")
        assert (ran.code, ran.out) == (2, "")
        ran.says("folder_empty")

    def test_a_state_folder_that_cannot_be_one(self, run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (docs.parent / "file").write_text("in the way")
        monkeypatch.setenv("GROUNDED_STATE", str(docs.parent / "file"))
        for words in (["ingest", "docs"], ["ask", "Why?"], ["search", "why"], ["serve", "--port", "0"]):
            ran = run(*words)
            assert (ran.code, ran.out) == (3, "")
            ran.says("state_not_writable")
        assert (docs.parent / "file").read_text() == "in the way"

    @pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
    def test_a_state_folder_that_may_not_be_written(self, run: Run, docs: Path, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir(mode=0o500)
        ran = run("ingest", "docs")
        assert ran.code == 3
        ran.says("state_not_writable")

    def test_a_second_process_on_the_same_state(self, run: Run, docs: Path, tmp_path: Path) -> None:
        with StateFolder(tmp_path / "state").owned():
            for words in (["ingest", "docs"], ["ask", "Why?"]):
                ran = run(*words)
                assert (ran.code, ran.out) == (3, "")
                ran.says("state_locked")
                assert str(os.getpid()) in ran.err
        assert run("ingest", "docs", "--json").json["added"] == 2

    @pytest.mark.parametrize(
        ("name", "content", "code"),
        [
            ("broken.pdf", b"%PDF-1.7\nnothing of the kind", "broken_file"),
            ("cut.pdf", pdf("A page that is cut short.")[:200], "broken_file"),
            ("broken.docx", b"PK\x03\x04 nothing", "broken_file"),
            ("binary.md", bytes(range(256)) * 40, "not_text"),
        ],
    )
    def test_a_bad_file_fails_alone(self, run: Run, docs: Path, name: str, content: bytes, code: str) -> None:
        write(docs, {name: content})
        ran = run("ingest", "docs", "--json")
        assert (ran.code, ran.json["added"], ran.json["failed"]) == (1, 2, 1)
        (entry,) = ran.json["errors"]
        assert (entry["path"], entry["error"]["code"]) == (name, code)
        assert entry["error"]["message"]
        assert entry["error"]["next_step"]
        assert f"failed: {name}: [{code}] " in ran.err
        assert run("ask", "When are refunds issued?", "--json").json["finish_reason"] == "stop"

    def test_files_without_text_are_no_failures_and_are_named(self, run: Run, docs: Path) -> None:
        empty: dict[str, str | bytes] = {"empty.txt": b"", "blank.md": b"  \n\n ", "scan.pdf": pdf("")}
        write(docs, empty)
        ran = run("ingest", "docs", "--jsonl")
        rows = [json.loads(line) for line in ran.out.splitlines()]
        assert ran.code == 0
        assert {row["path"]: row["error"]["code"] for row in rows if row.get("error")} == dict.fromkeys(
            empty, "empty_text"
        )
        assert (rows[-1]["added"], rows[-1]["empty_text"], rows[-1]["failed"]) == (2, 3, 0)
        assert "3 files hold no text" in ran.err

    def test_a_report_names_what_is_not_in_the_index(self, run: Run, docs: Path) -> None:
        write(docs, {"broken.pdf": b"%PDF-1.7 and no more", "empty.txt": b""})
        assert run("ingest", "docs", "-q").code == 1
        ran = run("ingest", "--report", "--json")
        assert ran.code == 1
        files = {row["filename"]: (row["status"], row["error"]["code"]) for row in ran.json["files"]}
        assert files == {"broken.pdf": ("failed", "broken_file"), "empty.txt": ("empty_text", "empty_text")}
        assert all(row["error"]["next_step"] for row in ran.json["files"])
        told = run("ingest", "--report")
        assert "broken.pdf" in told.out
        assert "next: " in told.out
        (docs / "broken.pdf").unlink()
        run("ingest", "docs", "-q")
        assert run("ingest", "--report").code == 0
        assert run("ingest").code == 2

    @pytest.mark.shared
    def test_a_pdf_with_a_password(self, run: Run, docs: Path) -> None:
        (found,) = SHARED.rglob("libreoffice-writer-password.pdf")
        write(docs, {"locked.pdf": found.read_bytes()})
        (entry,) = run("ingest", "docs", "--json").json["errors"]
        assert entry["error"]["code"] == "encrypted_file"

    @pytest.mark.skipif(IS_ROOT, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self, run: Run, docs: Path) -> None:
        (docs / "cats.md").chmod(0)
        ran = run("ingest", "docs", "--json")
        assert (ran.code, ran.json["added"]) == (1, 1)
        assert ran.json["errors"][0]["error"]["code"] == "unreadable"

    def test_a_file_above_the_limit(self, run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDED_INGEST__MAX_FILE_MB", "1")
        write(docs, {"large.md": b"word " * 300_000})
        ran = run("ingest", "docs", "--json")
        assert (ran.json["added"], ran.json["errors"][0]["error"]["code"]) == (2, "file_too_large")

    def test_a_disk_that_is_nearly_full(self, run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", str(2**40))
        ran = run("ingest", "docs")
        assert ran.code == 3
        ran.says("storage_full")

    @pytest.mark.parametrize("question", ["", "   ", "a\x07b"])
    def test_a_question_that_is_none(self, run: Run, docs: Path, question: str) -> None:
        run("ingest", "docs", "-q")
        ran = run("ask", question, "--json")
        assert (ran.code, ran.out) == (2, "")
        ran.says("validation_failed")

    def test_a_question_of_ten_megabytes(self, run: Run, docs: Path) -> None:
        run("ingest", "docs", "-q")
        ran = run("ask", "x" * 10_000_000)
        assert (ran.code, ran.out) == (2, "")
        ran.says("body_too_large")

    def test_a_collection_that_there_is_not(self, run: Run, docs: Path) -> None:
        for words in (["ask", "Why?", "--collection", "nowhere"], ["search", "why", "--collection", "nowhere"]):
            ran = run(*words)
            assert (ran.code, ran.out) == (2, "")
            ran.says("collection_not_found")

    def test_a_damaged_catalog(self, run: Run, docs: Path) -> None:
        run("ingest", "docs", "-q")
        (docs.parent / "state" / "catalog.sqlite").write_bytes(b"this is not what it was " * 400)
        for words in (["ask", "When are refunds issued?"], ["ingest", "docs"]):
            ran = run(*words)
            assert (ran.code, ran.out) == (3, "")
            ran.says("catalog_corrupt")

    @pytest.mark.parametrize("file", ["index/*/shard/edge_config.json", "index/*/vectors.sqlite"])
    def test_a_damaged_index_is_made_again(self, run: Run, docs: Path, file: str) -> None:
        run("ingest", "docs", "-q")
        before = run("ask", "When are refunds issued?", "--json")
        (damaged,) = (docs.parent / "state").glob(file)
        damaged.write_bytes(b"this is not what it was " * 400)
        after = run("ask", "When are refunds issued?", "--json")
        assert (after.code, json.loads(after.out)["answer"]) == (0, json.loads(before.out)["answer"])
        assert json.loads(run("ingest", "docs", "--json").out)["embedded"] == 0

    def test_an_index_of_another_embedder(self, run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run("ingest", "docs", "-q")
        monkeypatch.setattr(FakeEmbedder, "fingerprint", "another")
        for words in (["ask", "When are refunds issued?"], ["ingest", "docs"], ["serve", "--port", "0"]):
            ran = run(*words)
            assert (ran.code, ran.out) == (3, "")
            ran.says("generation_mismatch")
        monkeypatch.undo()

    def test_an_embedder_that_is_broken(self, run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run("ingest", "docs", "-q")

        def fails(self: FakeEmbedder) -> FakeEmbedder:
            self.broken = True
            raise EmbedderUnavailable("The model's file is damaged.")

        monkeypatch.setattr(FakeEmbedder, "load", fails)
        ran = run("ask", "When are refunds issued?", "--json")
        if ran.code == 0:
            assert ran.json["degraded"] == ["embedder"]
            assert "14 days" in ran.json["answer"]
        else:
            ran.says("embedder_unavailable")
        more = write(docs.parent / "more", {"new.md": "# New\n\nSomething new.\n"})
        ran = run("ingest", str(more), "--json")
        assert (ran.code, ran.out) == (3, "")
        ran.says("embedder_unavailable")

    def test_an_unreachable_service(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDED_URL", "http://127.0.0.1:1")
        ran = run("ask", "Why?")
        assert (ran.code, ran.out) == (3, "")
        ran.says("service_unreachable")

    @pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"detail": "Not Found"}'])
    def test_a_service_that_is_not_ours(self, run: Run, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
        async def elsewhere(*_: Any, **__: Any) -> httpx2.Response:
            return httpx2.Response(404, content=body)

        monkeypatch.setenv("GROUNDED_URL", "http://localhost:9")
        monkeypatch.setattr(httpx2.AsyncClient, "request", elsewhere)
        for words in (("ask", "Why?"), ("search", "why")):
            ran = run(*words)
            assert ran.code == 3
            ran.says("service_unreachable")
        ran = run("doctor", "--json")
        assert ran.code == 1
        assert "service_unreachable" in [check["name"] for check in ran.json["checks"]]

    def test_an_address_that_is_none(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDED_URL", "http://localhost:port")
        ran = run("ask", "Why?")
        assert ran.code == 3
        ran.says("service_unreachable")

    def test_a_question_that_is_not_utf8(self, run: Run, docs: Path) -> None:
        run("ingest", "docs")
        ran = run("ask", os.fsdecode(b"When are refunds issued, caf\xe9?"))
        assert ran.code == 0
        assert "14 days" in ran.out

    @pytest.mark.parametrize("words", [("ingest", "docs"), ("ask", "Why?"), ("search", "why")])
    @pytest.mark.parametrize("name", ["My Docs", "../x", "", "a" * 64, "line\n"])
    def test_a_collection_name_that_could_not_be_asked_for(
        self, run: Run, docs: Path, words: tuple[str, ...], name: str
    ) -> None:
        ran = run(*words, "--collection", name)
        assert (ran.code, ran.out) == (2, "")
        assert "Traceback" not in ran.err

    @pytest.mark.parametrize(
        ("questions", "corpus"),
        [
            ('{"question": 1, "answers": [], "answerable": true}', '{"_id": "1", "text": "x"}'),
            ("[1]", '{"_id": "1", "text": "x"}'),
            ("", '{"_id": "1", "text": "x"}'),
            ("{", '{"_id": "1", "text": "x"}'),
            ('{"question": "Why?", "answers": [], "answerable": true}', '{"_id": "1"}'),
        ],
    )
    def test_evaluation_data_that_is_none(self, run: Run, tmp_path: Path, questions: str, corpus: str) -> None:
        write(tmp_path / "set", {"qa.jsonl": questions, "corpus.jsonl": corpus})
        ran = run("eval", "qa", "set", "--qa", "set/qa.jsonl")
        assert (ran.code, ran.out) == (2, "")
        ran.says("bad_eval_data")


class TestConfiguration:
    def test_show_tells_each_value_and_where_it_comes_from(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "grounded.toml").write_text("[retrieval]\nrrf_k = 7\n")
        monkeypatch.setenv("GROUNDED_GENERATION__API_KEY", "sk-secret")
        ran = run("config", "show", "--json")
        rows = {row["name"]: row for row in ran.json["settings"]}
        assert rows["retrieval.rrf_k"] == {"name": "retrieval.rrf_k", "value": 7, "source": "grounded.toml"}
        assert rows["state"]["source"] == "GROUNDED_STATE"
        assert rows["port"] == {"name": "port", "value": 8000, "source": "default"}
        assert "sk-secret" not in ran.out + ran.err + run("config", "show").out

    @pytest.mark.parametrize(
        ("toml", "near"),
        [("[retrieval]\nrff_k = 7\n", "retrieval.rrf_k"), ("prot = 1\n", "port"), ("[retrival]\n", "retrieval")],
    )
    def test_an_unknown_setting_in_the_file(self, run: Run, tmp_path: Path, toml: str, near: str) -> None:
        (tmp_path / "grounded.toml").write_text(toml)
        for words in (["ingest", "docs"], ["ask", "Why?"], ["config", "show"]):
            ran = run(*words)
            assert (ran.code, ran.out) == (2, "")
            ran.says("configuration_error")
            assert near.rsplit(".", 1)[-1] in ran.err

    def test_a_file_that_is_no_toml(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "grounded.toml").write_text("this is not toml")
        ran = run("config", "show")
        assert ran.code == 2
        ran.says("configuration_error")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("GROUNDED_PORT", "many"),
            ("GROUNDED_PORT", "70000"),
            ("GROUNDED_RETRIEVAL__RRF_K", "-1"),
            ("GROUNDED_ALLOWED_HOSTS", "localhost"),
        ],
    )
    def test_a_value_that_is_none(self, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        ran = run("config", "show")
        assert (ran.code, ran.out) == (2, "")
        ran.says("configuration_error")

    def test_a_misspelt_variable_is_a_warning_that_names_the_nearest(
        self, run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GROUNDED_PROT", "9000")
        ran = run("ingest", "docs", "--json")
        assert ran.code == 0
        assert ran.json["added"] == 2
        assert "warning: GROUNDED_PROT is not a setting. Did you mean GROUNDED_PORT?" in ran.err

    def test_a_chat_model_without_its_settings(self, run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GROUNDED_GENERATION__BACKEND", "openai_chat")
        ran = run("ask", "Why?")
        assert (ran.code, ran.out) == (2, "")
        ran.says("configuration_error")

    def test_openapi_is_one_document(self, run: Run) -> None:
        assert "/ask" in run("openapi").json["paths"]


class TestAskAndSearch:
    def test_ask_prints_the_answer_with_footnotes(self, run: Run, docs: Path) -> None:
        run("ingest", "docs", "-q")
        ran = run("ask", "When are refunds issued?")
        assert ran.code == 0
        assert "Refunds are issued within 14 days of the order. [1]" in ran.out
        assert "[1] refunds.md" in ran.out
        assert "\x1b" not in ran.out  # no colours where nobody looks

    def test_ask_as_json_is_one_document(self, run: Run, docs: Path) -> None:
        run("ingest", "docs", "-q")
        ran = run("ask", "When are refunds issued?", "--json")
        assert ran.json["claims"][0]["status"] == "supported"
        assert ran.json["sources"][0]["text"]

    def test_an_abstention_is_no_failure(self, run: Run, docs: Path) -> None:
        run("ingest", "docs", "-q")
        ran = run("ask", "Which enzyme unwinds DNA during replication?")
        assert ran.code == 0
        assert "cannot answer" in ran.out
        assert "nearest" in ran.out

    def test_a_tier_can_be_asked_for(self, run: Run, docs: Path) -> None:
        run("ingest", "docs", "-q")
        assert run("ask", "When are refunds issued?", "--tier", "extractive", "--json").json["model"] == "extractive"
        ran = run("ask", "When are refunds issued?", "--tier", "large")
        assert ran.code != 0
        ran.says("unknown_tier")

    def test_search_shows_ranks(self, run: Run, docs: Path) -> None:
        run("ingest", "docs", "-q")
        ran = run("search", "refunds")
        assert ran.code == 0
        assert "refunds.md" in ran.out
        assert "bm25 #1" in ran.out
        assert run("search", "refunds", "--limit", "1", "--json").json["data"][0]["filename"] == "refunds.md"


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    """`grounded config show | head -1`"""
    process = subprocess.Popen(
        [GROUNDED, "openapi"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "GROUNDED_STATE": str(tmp_path / "state")},
        cwd=ROOT,
    )
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(PATIENCE_S) == 0
    assert said == b""
