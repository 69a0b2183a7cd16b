"""Versions side by side, a folder of one's own in front, and files that change or break while they are used."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from generation.prompt import SHIPPED, BrokenPromptError, load_prompt, parsed
from generation.prompt_library import PromptLibrary

TEXT = """---
id: answer
version: 7
max_tokens: 99
---
<!-- system -->
Be brief.

<!-- source -->
<{{marker}}>{{text}}</{{marker}}>

<!-- user -->
{{sources}}
<{{marker}}>{{question}}</{{marker}}>
"""


def write(folder: Path, name: str, text: str = TEXT) -> Path:
    """A file that was certainly changed: its time moves on with every write."""
    path = folder / name
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


def test_every_shipped_prompt_can_be_used() -> None:
    rows = PromptLibrary().listed()
    assert {row.problem for row in rows} == {None}
    assert {row.path.name for row in rows} == {path.name for path in SHIPPED.glob("*.md")}
    used = {row.prompt.name for row in rows if row.used and row.prompt}
    assert used == {"answer@2", "rewrite@1", "route@1", "structured@1", "verify@2"}


def test_versions_stand_side_by_side() -> None:
    library = PromptLibrary()
    assert library.find("answer").name == library.find("answer@2").name == "answer@2"
    assert library.find("answer@1").name == "answer@1"
    assert library.find("answer@1") == load_prompt("answer@1")
    with pytest.raises(BrokenPromptError, match=r"there is no prompt 'answer@3'; there are answer@1, answer@2, "):
        library.find("answer@3")


def test_ones_own_folder_goes_before_the_shipped_prompts(tmp_path: Path) -> None:
    write(tmp_path, "answer.md")
    library = PromptLibrary(tmp_path)
    assert library.find("answer").name == library.find("answer@7").name == "answer@7"
    assert library.find("answer").max_tokens == 99
    assert library.find("answer@1") == load_prompt("answer@1")
    assert library.find("rewrite") == load_prompt("rewrite")
    assert [row.prompt.name for row in library.listed() if row.own and row.used and row.prompt] == ["answer@7"]


def test_a_pinned_version_is_the_one_that_is_used() -> None:
    library = PromptLibrary(chosen={"answer": "answer@1"})
    live = library.live("answer")
    assert live.now().name == "answer@1"
    assert next(row.prompt.name for row in library.listed() if row.used and row.prompt) == "answer@1"
    library.use("answer", "answer@2")
    assert live.now().name == "answer@2"
    with pytest.raises(BrokenPromptError):
        library.use("answer", "answer@9")
    assert live.now().name == "answer@2"


def test_a_change_counts_for_the_next_question_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "answer.md")
    live = PromptLibrary(tmp_path).live("answer")
    before = live.now()
    assert live.now() is before
    with capture_logs() as logs:
        write(tmp_path, "answer.md", TEXT.replace("Be brief.", "Be long."))
        after = live.now()
        assert (after.system, after.name) == ("Be long.", before.name)
        assert after.version != before.version
        write(tmp_path, "answer.md", "no front matter")
        assert live.now() is after
        assert live.now() is after
        path.unlink()
        assert live.now().name == "answer@2"  # the shipped one
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("prompt.changed", "info"),
        ("prompt.broken", "warning"),
        ("prompt.changed", "info"),
    ]
    assert logs[1]["kept"] == after.version


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("", "does not begin with front matter"),
        (TEXT.replace("id: answer", "id: [answer"), "front matter that is not YAML"),
        (TEXT.replace("id: answer\n", ""), "has no id"),
        (TEXT.replace("id: answer", "id: Answer!"), "has no id"),
        (TEXT.replace("version: 7", "version: 1.5"), "has no version"),
        (TEXT.replace("version: 7", "version: true"), "has no version"),
        (TEXT.replace("max_tokens: 99", "max_tokens: 0"), "max_tokens that are no whole number"),
        (TEXT.replace("max_tokens", "max_token"), "has the key 'max_token'"),
        (TEXT.replace("<!-- source -->", "<!-- sources -->"), "has a part 'sources'"),
        (TEXT.replace("<!-- system -->", "Hello\n<!-- system -->"), "text in front of its first part"),
        (TEXT.replace("<!-- source -->", "<!-- user -->"), "a part twice"),
        (TEXT.replace("Be brief.", "{{question}}"), "wants 'question' filled in where 'system' may have none"),
        (TEXT.replace("{{text}}", "{{txt}}"), "wants 'txt' filled in"),
        (TEXT.replace("{{question}}", "it"), "has no {{question}} in its part 'user'"),
        (TEXT.replace("<{{marker}}>{{question}}</{{marker}}>", "{{question}}"), "has no {{marker}} in its part 'user'"),
        (TEXT.replace("{{sources}}", ""), "has no {{sources}} in its part 'user'"),
        (TEXT.replace("<{{marker}}>{{text}}</{{marker}}>", "{{text}}"), "has no {{marker}} in its part 'source'"),
        (TEXT.replace("<{{marker}}>{{text}}</{{marker}}>", "").replace("{{sources}}", ""), "has no {{sources}}"),
        (TEXT.replace("id: answer", "id: structured"), "has no {{schema}} in its part 'user'"),
        (
            TEXT.replace("id: answer", "id: structured").replace("{{sources}}", "{{sources}}{{schema}}"),
            "no {{problem}}",
        ),
        (TEXT + "\n<!-- example -->\n{{question}}", "has no {{sources}} in its part 'example'"),
    ],
)
def test_what_is_wrong_with_a_prompt_is_told(wrong: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenPromptError, match=r".*") as told:
        parsed(wrong)
    assert why in str(told.value)
    write(tmp_path, "answer.md", wrong)
    with pytest.raises(BrokenPromptError) as named:
        PromptLibrary(tmp_path).find("answer")
    assert str(named.value).startswith("answer.md ")
    (row,) = [row for row in PromptLibrary(tmp_path).listed() if row.own]
    assert (row.prompt, row.used) == (None, False)
    assert row.problem == str(named.value)


def test_a_file_is_what_its_name_says(tmp_path: Path) -> None:
    write(tmp_path, "rewrite.md")
    with pytest.raises(BrokenPromptError, match=r"rewrite.md has the id 'answer'"):
        PromptLibrary(tmp_path).find("rewrite")
    write(tmp_path, "answer@8.md")
    with pytest.raises(BrokenPromptError, match=r"answer@8.md has the version 7, not 8"):
        PromptLibrary(tmp_path).find("answer@8")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "answer.md").write_bytes(b"---\nid: \xff\n---\n")
    with pytest.raises(BrokenPromptError, match="is not UTF-8"):
        PromptLibrary(tmp_path).find("answer")
    (tmp_path / "answer.md").write_text("x" * 100_001)
    with pytest.raises(BrokenPromptError, match="more than 100000 bytes"):
        PromptLibrary(tmp_path).find("answer")


@pytest.mark.parametrize("name", ["../answer", "answer@", "answer@0", "Answer", "", "answer/../x", "answer@1@2"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(BrokenPromptError, match="is no name of a prompt"):
        PromptLibrary().find(name)
