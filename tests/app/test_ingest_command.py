"""`grounded ingest` as its users see it: dry runs, what is left out, and --watch until it is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import pytest
import structlog

from app import cli
from tests.app.serving import fake_embedder, write

ROOT = Path(__file__).parents[2]
GROUNDED = Path(sys.executable).parent / "grounded"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """`grounded ingest ...` here, with a state of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROUNDED_STATE", str(tmp_path / "docs" / "state"))
    monkeypatch.setenv("GROUNDED_INGEST__MIN_FREE_MB", "0")

    def ingest(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            cli.app(["ingest", *words], prog_name="grounded")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        return (code, *capfd.readouterr())

    with fake_embedder():
        yield ingest
    structlog.reset_defaults()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    texts = {f"{name}.md": f"# {name}\n\nThis is about {name}.\n" for name in ("cats", "dogs", "sub/birds", "old/fish")}
    return write(tmp_path / "docs", dict(texts))


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def changes(out: str) -> set[tuple[str, str, str | None]]:
    """Of --jsonl, without what is unchanged and the summary."""
    found = [row for row in rows(out) if row.get("type") != "summary" and row["status"] != "unchanged"]
    return {(row["path"], row["status"], row.get("renamed_from")) for row in found}


def edit(docs: Path) -> None:
    (docs / "cats.md").write_text("# Cats\n\nCats sleep.\n")
    (docs / "dogs.md").unlink()
    (docs / "old").rename(docs / "new")
    write(docs, {"cows.md": "Cows stand.", "drafts/plan.md": "A plan.", ".gitignore": "drafts/\n"})


def test_a_dry_run_in_each_form_names_what_the_run_then_does(run: Run, docs: Path) -> None:
    assert run("docs")[0] == 0
    edit(docs)
    expected = {
        ("cats.md", "updated"),
        ("cows.md", "added"),
        ("new/fish.md", "added"),
        ("dogs.md", "deleted"),
        ("old/fish.md", "deleted"),
    }
    text = run("docs", "--dry-run")[1]
    assert {(line.split()[1], line.split()[0]) for line in text.splitlines()} == expected
    document = json.loads(run("docs", "--dry-run", "--json")[1])
    assert {(change["path"], change["status"]) for change in document["changes"]} == expected
    assert {entry[:2] for entry in changes(run("docs", "--dry-run", "--jsonl")[1])} == expected
    done = changes(run("docs", "--jsonl")[1])
    assert {entry[:2] for entry in done} == expected
    assert ("new/fish.md", "added", "old/fish.md") in done
    assert json.loads(run("docs", "--dry-run", "--json")[1])["changes"] == []


def test_a_renamed_file_is_not_embedded_again(run: Run, docs: Path) -> None:
    run("docs")
    (docs / "old").rename(docs / "new")
    summary = json.loads(run("docs", "--json")[1])
    assert (summary["added"], summary["deleted"], summary["embedded"]) == (1, 1, 0)


def test_what_git_ignores_is_left_out_unless_asked_for(run: Run, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(docs, {".gitignore": "sub/\n", "node_modules/readme.md": "A package."})
    every = {"cats.md", "dogs.md", "old/fish.md"}
    assert {path for path, _, _ in changes(run("docs", "--jsonl")[1])} == every
    found = changes(run("docs", "--no-gitignore", "--jsonl")[1])
    assert found == {("sub/birds.md", "added", None)}
    assert changes(run("docs", "--jsonl")[1]) == {("sub/birds.md", "deleted", None)}
    monkeypatch.setenv("GROUNDED_INGEST__GITIGNORE", "false")
    assert changes(run("docs", "--gitignore", "--jsonl")[1]) == set()
    monkeypatch.setenv("GROUNDED_INGEST__IGNORE", "[]")
    both = {("sub/birds.md", "added", None), ("node_modules/readme.md", "added", None)}
    assert changes(run("docs", "--jsonl")[1]) == both


def test_a_folder_that_is_suddenly_empty_is_told_and_kept(run: Run, docs: Path) -> None:
    run("docs")
    (docs / "sub/birds.md").unlink()
    code, out, err = run("docs", "--json")
    assert code == 1
    assert [(e["path"], e["error"]["code"]) for e in json.loads(out)["errors"]] == [("sub/", "folder_emptied")]
    assert "failed: sub/: [folder_emptied]" in err
    assert "--prune" in err
    assert json.loads(run("docs", "--prune", "--json")[1])["deleted"] == 1
    assert run("docs")[0] == 0


@pytest.mark.parametrize("other", ["--prune", "--dry-run", "--json"])
def test_watching_does_not_go_with(run: Run, docs: Path, other: str) -> None:
    code, out, err = run("docs", "--watch", other)
    assert (code, out) == (2, "")
    assert "--watch" in err


class Watching:
    """A real `grounded ingest --watch --jsonl` and the lines that it prints."""

    def __init__(self, docs: Path, state: Path) -> None:
        environment = {
            **os.environ,
            "GROUNDED_STATE": str(state),
            "GROUNDED_INGEST__MIN_FREE_MB": "0",
            "GROUNDED_INGEST__WATCH_QUIET_S": "0.1",
            "GROUNDED_EMBEDDER__THREADS": "1",
        }
        self.process = subprocess.Popen(
            [GROUNDED, "ingest", docs, "--watch", "--jsonl"],
            env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        # One queue each: a line of one stream must not be taken away while the other's is waited for.
        self._lines: dict[str, Queue[str]] = {"stdout": Queue(), "stderr": Queue()}
        self._threads = [Thread(target=self._collect, args=(name,)) for name in self._lines]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End it, whatever it is at."""
        self.process.kill()
        for thread in self._threads:
            thread.join()
        with self.process:
            pass

    def _collect(self, name: str) -> None:
        for line in getattr(self.process, name):
            self._lines[name].put(line)

    def until(self, name: str, text: str) -> list[str]:
        """The lines up to one that holds this."""
        found: list[str] = []
        end = time.monotonic() + 120
        while not found or text not in found[-1]:
            try:
                found.append(self._lines[name].get(timeout=max(0.1, end - time.monotonic())))
            except Empty:
                raise AssertionError(f"{text!r} never came; {found}") from None
        return found

    def run(self) -> dict[str, str]:
        """The next run, told whole: status by path."""
        lines = [json.loads(line) for line in self.until("stdout", '"summary"')]
        return {row["path"]: row["status"] for row in lines[:-1]}


@pytest.mark.models
@pytest.mark.slow
def test_watching_a_folder_through_changes_absence_and_an_interruption(docs: Path, tmp_path: Path) -> None:
    watching = Watching(docs, tmp_path / "state")
    try:
        assert set(watching.run().values()) == {"added"}
        watching.until("stderr", "Ctrl-C")
        aside = write(tmp_path / "aside", {"cats.md": "# Cats\n\nCats sleep.\n", "new/deep/cows.md": "Cows stand."})
        (aside / "cats.md").replace(docs / "cats.md")  # in one step: it may look at any moment
        assert watching.run() == {"cats.md": "updated"}
        docs.rename(tmp_path / "away")
        watching.until("stderr", "The folder is gone")
        (tmp_path / "away" / "dogs.md").unlink()
        (tmp_path / "away").rename(docs)
        assert watching.run() == {"dogs.md": "deleted"}
        (aside / "new").rename(docs / "new")
        assert watching.run() == {"new/deep/cows.md": "added"}
        watching.process.send_signal(signal.SIGINT)
        watching.until("stderr", "Interrupted")
        assert watching.process.wait(60) == 130
    finally:
        watching.close()
    words = [GROUNDED, "ingest", docs, "--dry-run", "--json"]
    environment = {**os.environ, "GROUNDED_STATE": str(tmp_path / "state")}
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["changes"] == []
