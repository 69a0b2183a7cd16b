"""Examples: data that is checked, chosen by likeness, always with a refusal, in a text that can be cached."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from generation.examples import LARGEST, BrokenExamplesError, ExampleChooser, WithExamples, load_examples
from generation.model import Ask, Draft, DraftEnd, DraftText, Example, ResponseFormat
from generation.prompt import NOT_IN_SOURCES, load_prompt
from generation.sizes import told
from retrieval.errors import EmbedderUnavailable
from retrieval.model import Context, EmbeddedQuery
from tests.fakes import FakeEmbedder
from tests.passages import context

ROW = {"question": "When?", "sources": [["A", "At noon."]], "answer": "At noon [1]."}
NO_TOKENS = np.zeros((0, 64), np.float32)


def written(folder: Path, *rows: object) -> Path:
    (folder / "examples.jsonl").write_bytes(
        b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows)
    )
    return folder


def asked(embedder: FakeEmbedder, question: str) -> Context:
    return replace(context("At noon."), query=asyncio.run(embedder.embed_query(question)))


def chooser(wanted: int = 3) -> tuple[ExampleChooser, FakeEmbedder]:
    embedder = FakeEmbedder()
    return ExampleChooser(load_examples(), wanted, lambda: embedder.fingerprint, embedder.embed_query), embedder


def test_the_shipped_examples_are_of_both_kinds_and_small() -> None:
    found = load_examples()
    answers = [row.answer for row in found.rows]
    assert len(answers) == 12
    assert answers.count(NOT_IN_SOURCES) == 4
    for row in found.rows:
        assert row.answer == NOT_IN_SOURCES or "[1]" in row.answer
        assert len(set(found.rows)) == 12


def test_room_is_kept_for_the_largest_that_may_be_shown() -> None:
    chosen, embedder = chooser(4)
    room = told(load_prompt(), chosen.largest(load_prompt()))
    assert told(load_prompt()) < room
    for example in load_examples().rows:
        shown = asyncio.run(chosen.chosen(asked(embedder, example.question)))
        assert told(load_prompt(), shown) <= room


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((b"{",), "line 1, is no question"),
        ((ROW, {"question": "When?"}), "line 2, is no question"),
        (({**ROW, "answer": " "},), "line 1, is no question"),
        (({**ROW, "sources": [["A"]]},), "line 1, is no question"),
        (({**ROW, "question": "word " * LARGEST},), "tokens long"),
        ((ROW,), "needs answers, and at least one"),
        (({**ROW, "answer": NOT_IN_SOURCES},), "needs answers, and at least one"),
    ],
)
def test_what_is_wrong_with_examples_is_told(rows: tuple[object, ...], why: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenExamplesError, match=why):
        load_examples(written(tmp_path, *rows))


def test_ones_own_go_before_the_shipped_ones(tmp_path: Path) -> None:
    assert load_examples(tmp_path) == load_examples()
    mine = load_examples(written(tmp_path, ROW, {**ROW, "answer": NOT_IN_SOURCES}))
    assert mine.rows == (
        Example("When?", (("A", "At noon."),), "At noon [1]."),
        replace(mine.rows[0], answer=NOT_IN_SOURCES),
    )
    assert mine.version != load_examples().version


def test_the_nearest_are_chosen_and_one_refusal() -> None:
    chosen, embedder = chooser()
    for example in load_examples().rows:
        found = asyncio.run(chosen.chosen(asked(embedder, example.question)))
        assert example in found
        assert len(found) == 3
        assert [row.answer for row in found].count(NOT_IN_SOURCES) == 1
        assert asyncio.run(chosen.chosen(asked(embedder, example.question))) == found


def test_they_keep_their_order_so_that_the_same_choice_is_the_same_text() -> None:
    chosen, embedder = chooser(4)
    rows = load_examples().rows
    for question in ("How do I list the backups?", "Who founded the company?", "Which port?"):
        found = asyncio.run(chosen.chosen(asked(embedder, question)))
        places = [rows.index(row) for row in found]
        assert places == sorted(places)


def test_the_examples_are_embedded_once_for_each_embedder() -> None:
    calls: list[str] = []
    now = ["one"]

    async def embed(text: str) -> EmbeddedQuery:
        calls.append(text)
        return await FakeEmbedder().embed_query(text)

    chosen = ExampleChooser(load_examples(), 2, lambda: now[0], embed)
    question = asked(FakeEmbedder(), "Which port?")
    for _ in range(3):
        asyncio.run(chosen.chosen(question))
    assert len(calls) == 12
    now[0] = "two"
    asyncio.run(chosen.chosen(question))
    assert len(calls) == 24


def test_without_vectors_the_first_ones_stand_in() -> None:
    async def broken(text: str) -> EmbeddedQuery:
        raise EmbedderUnavailable(text)

    rows = load_examples().rows
    first = (rows[0], next(row for row in rows if row.answer == NOT_IN_SOURCES))
    failing = ExampleChooser(load_examples(), 2, lambda: "", broken)
    assert asyncio.run(failing.chosen(asked(FakeEmbedder(), "Which port?"))) == first
    chosen, _ = chooser(2)
    assert asyncio.run(chosen.chosen(context("At noon."))) == first
    other = EmbeddedQuery(np.zeros(7, np.float32), NO_TOKENS)  # of another embedder
    assert asyncio.run(chosen.chosen(replace(context("At noon."), query=other))) == first


def test_the_prefix_stays_and_the_examples_stand_behind_it() -> None:
    prompt, rows = load_prompt(), load_examples().rows
    plain, shown = prompt.fill("Why?", context("So.")), prompt.fill("Why?", context("So."), examples=rows[:2])
    assert shown[0]["content"].startswith(plain[0]["content"])
    added = shown[0]["content"][len(plain[0]["content"]) :]
    places = [added.index(part) for row in rows[:2] for part in (row.sources[0][1], row.question, row.answer)]
    assert places == sorted(places)
    assert [message["role"] for message in shown] == ["system", "user"]
    assert (
        load_prompt("answer@1").fill("Why?", context("So."), examples=rows)[0]
        == load_prompt("answer@1").fill("Why?", context("So."))[0]
    )


class _Echo:
    """A generator that says what it was shown."""

    name = "echo"
    prompt_version = "answer@2#abc"

    async def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
        yield DraftText(" ".join(example.question for example in ask.examples))
        yield DraftEnd(prompt_version=self.prompt_version)

    async def aclose(self) -> None:
        """Nothing."""


def test_the_generator_is_shown_them_and_the_version_says_so() -> None:
    chosen, embedder = chooser(2)
    generator = WithExamples(_Echo(), chosen)

    async def drafted(ask: Ask) -> list[Draft]:
        return [draft async for draft in generator.draft(ask, question)]

    question = asked(embedder, "How do I list the backups?")
    text, end = asyncio.run(drafted(Ask("How do I list the backups?")))
    assert isinstance(text, DraftText)
    assert "How do I list the backups?" in text.text
    assert isinstance(end, DraftEnd)
    assert end.prompt_version == generator.prompt_version == f"answer@2#abc+examples#{load_examples().version}"
    text, end = asyncio.run(drafted(Ask("How?", response_format=ResponseFormat())))
    assert text == DraftText("")
    assert isinstance(end, DraftEnd)
    assert end.prompt_version == "answer@2#abc"
