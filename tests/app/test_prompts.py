"""Prompts as the settings choose them: pinned, one's own, changed under way, with examples, compared."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.evals.answers import Outcome
from app.evals.prompts import measured, report
from app.prompts import examples_of, library_of
from app.settings import ConfigurationError, Settings
from generation.events import Finished
from generation.prompt import SHIPPED, load_prompt
from tests.app.serving import Service, fake_embedder, served, settings_for, write
from tests.chat_endpoint import chat, generation
from tests.model_endpoint import Seen

FILES = {"refunds.md": "# Refunds\n\nRefunds are issued within 14 days.\n"}
QUESTION = "When are refunds issued?"
SAID = "Refunds are issued within 14 days [1]."


@contextmanager
def serving(tmp_path: Path, seen: Seen, **prompts: Any) -> Iterator[Service]:
    more = {"generation": generation(seen), "context": {"tokenizer": "estimate"}, "prompts": prompts}
    with served(tmp_path, FILES, **more) as service:
        yield service


def own(folder: Path, said: str, version: int = 3) -> None:
    """A version of one's own, certainly newer than the file before."""
    folder.mkdir(exist_ok=True)
    path = folder / "answer.md"
    text = (SHIPPED / "answer.md").read_text().replace("version: 2", f"version: {version}")
    then = path.stat().st_mtime_ns + 10**9 if path.exists() else 10**18
    path.write_text(text.replace("You answer questions", said))
    os.utime(path, ns=(then, then))


def test_a_pinned_version_answers_and_every_trace_of_it_says_so(tmp_path: Path) -> None:
    with chat(SAID) as seen, serving(tmp_path, seen, answer="answer@1") as service:
        body = service.ask(QUESTION).json()
        assert body["prompt_version"] == load_prompt("answer@1").version
        explained = service.get(f"/v1/answers/{body['id']}/explain").json()
        assert explained["prompt_version"] == body["prompt_version"]


def test_ones_own_prompt_counts_for_the_next_question_and_back_again(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    with chat(SAID) as seen, serving(tmp_path, seen, folder=folder) as service:

        def asked() -> tuple[str, str]:
            version = service.ask(QUESTION).json()["prompt_version"]
            return version.partition("#")[0], seen.bodies[-1]["messages"][0]["content"][:12]

        assert asked() == ("answer@2", "You answer q")
        own(folder, "Thou answerest questions")
        assert asked() == ("answer@3", "Thou answere")
        own(folder, "Ye answer questions", version=4)
        assert asked() == ("answer@4", "Ye answer qu")
        (folder / "answer.md").write_text("broken")
        assert asked() == ("answer@4", "Ye answer qu")
        (folder / "answer.md").unlink()
        assert asked() == ("answer@2", "You answer q")


def test_the_model_is_shown_examples_behind_the_stable_prefix(tmp_path: Path) -> None:
    with chat(SAID) as seen, serving(tmp_path, seen, examples=3) as service:
        first = service.ask(QUESTION).json()
        told = seen.bodies[-1]["messages"][0]["content"]
        assert told.startswith(load_prompt().system)
        assert told.count("Reply: ") == 3
        assert told.count("Reply: NOT_IN_SOURCES") == 1
        assert "+examples#" in first["prompt_version"]
        service.ask(QUESTION)
        assert seen.bodies[-1]["messages"][0]["content"] == told


def test_what_cannot_be_used_is_told_at_the_start_with_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "answer.md").write_text("---\nid: answer\n---\n")
    for prompts, cause in (
        ({"answer": "answer@9"}, "Setting 'prompts.answer': there is no prompt 'answer@9'"),
        ({"folder": tmp_path}, "Setting 'prompts.answer': answer.md has no version in its front matter"),
        ({"folder": tmp_path / "none"}, "names no folder"),
    ):
        with pytest.raises(ConfigurationError) as told:
            library_of(Settings(prompts=prompts))  # type: ignore[arg-type]
        assert cause in told.value.message
        assert told.value.next_step
    (tmp_path / "examples.jsonl").write_text("{}")
    with pytest.raises(ConfigurationError, match="line 1, is no question"):
        examples_of(Settings(prompts={"folder": tmp_path, "examples": 2}))  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"answer": "../x"}, {"answer": "answer@0"}, {"examples": 1}, {"examples": 5}])
def test_settings_that_can_mean_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(prompts=given)  # type: ignore[arg-type]


def test_the_command_lists_versions_and_what_is_used(tmp_path: Path) -> None:
    own(tmp_path / "prompts", "Thou answerest questions")
    (tmp_path / "prompts" / "verify@3.md").write_text("broken")
    env = {
        **os.environ,
        "GROUNDED_PROMPTS__FOLDER": str(tmp_path / "prompts"),
        "GROUNDED_PROMPTS__REWRITE": "rewrite@1",
    }
    run = subprocess.run(
        [str(Path(sys.executable).with_name("grounded")), "prompts", "--json"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    rows = {(row["file"], row["own"]): row for row in json.loads(run.stdout)["prompts"]}
    assert run.returncode == 1  # one of them is broken
    assert rows["answer.md", True]["used"]
    assert not rows["answer.md", False]["used"]
    assert rows["rewrite.md", False]["version"] == load_prompt("rewrite").version
    assert "front matter" in rows["verify@3.md", True]["problem"]


def outcome(text: str, finish: Any, version: str) -> Outcome:
    done = Finished(finish, "ans_1", "t", "m", prompt_version=version, timings_ms={"total": 1.0})
    return Outcome(text=text, done=done)


def test_two_versions_are_compared_case_by_case() -> None:
    rows = [
        {"question": "a", "answers": ["14 days"]},
        {"question": "b", "answers": ["14 days"]},
        {"question": "c", "answers": [], "answerable": False},
        {"question": "d"},
    ]
    before = [outcome("no", "stop", "answer@1#a") for _ in rows]
    after = [
        outcome("14 days", "stop", "answer@2#b"),
        outcome("no", "stop", "answer@2#b"),
        outcome("", "abstained", "answer@2#b"),
        outcome("x", "stop", "answer@2#b"),
    ]
    found = report(rows, ("answer@1", "answer@2"), (before, after))
    assert found["prompts"]["answer@1"]["accuracy"] == 0.0
    assert found["prompts"]["answer@2"]["prompt_version"] == "answer@2#b"
    difference = found["difference"]
    assert (difference["judged"], difference["accuracy"]) == (3, pytest.approx(2 / 3, abs=1e-3))
    assert 0 <= difference["ci95"][0] <= difference["accuracy"] <= difference["ci95"][1] <= 1
    same = report(rows, ("answer@1", "answer@2"), (before, before))["difference"]
    assert (same["accuracy"], same["ci95"]) == (0.0, [0.0, 0.0])


def test_the_comparison_asks_the_same_cases_under_both(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    rows = [{"question": QUESTION, "answers": ["14 days"]}, {"question": "Who?", "answers": [], "answerable": False}]
    cases.write_text("\n".join(json.dumps(row) for row in rows))
    write(tmp_path / "docs", FILES)
    versions = ("answer@1", "answer@2")
    with chat(SAID) as seen, fake_embedder():
        settings = settings_for(tmp_path / "state", generation=generation(seen), context={"tokenizer": "estimate"})
        found = asyncio.run(measured(settings, versions, tmp_path / "docs", cases, None, 0))
        for version in versions:
            row = found["prompts"][version]
            assert row["prompt_version"] == load_prompt("answer@1" if version == "answer@1" else "answer").version
            assert (row["judged"], row["accuracy"]) == (2, 0.5)  # it never declines
        assert found["difference"] == {"accuracy": 0.0, "ci95": [0.0, 0.0], "judged": 2}
        with pytest.raises(ConfigurationError, match="there is no prompt 'answer@9'"):
            asyncio.run(measured(settings, ("answer@1", "answer@9"), tmp_path / "docs", cases, None, 0))
        with pytest.raises(ConfigurationError, match="Two versions of one prompt"):
            asyncio.run(measured(settings, ("answer@1", "verify@1"), tmp_path / "docs", cases, None, 0))
    with pytest.raises(ConfigurationError, match="none is configured"):
        asyncio.run(measured(settings_for(tmp_path / "s"), versions, tmp_path / "docs", cases, None, 0))
