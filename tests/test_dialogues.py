"""Conversations about our own manual: a follow-up finds what the question finds that a person wrote out in full."""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.evals.scores import holds, mean
from app.pipeline import Question
from app.settings import Settings
from app.state import StateFolder
from app.wiring import Grounded, opened
from generation.events import Finished, SourcesFound, TextAdded
from ingest.run import Request, Summary
from retrieval.query import Turn

ROOT = Path(__file__).parents[1]
HANDBOOK = ROOT / "data" / "handbook"
DIALOGUES = [json.loads(line) for line in (ROOT / "data" / "evals" / "dialogues.jsonl").read_text().splitlines()]
WITHIN = 0.03  # of the recall that questions written out in full have
FLOOR_RECALL = 0.9
FLOOR_DECLINED = 0.5


def turns(row: dict[str, Any]) -> tuple[Turn, ...]:
    return tuple((turn["role"], turn["content"]) for turn in row["history"])


def test_the_dialogues_are_well_formed() -> None:
    assert len(DIALOGUES) >= 30
    assert len({row["id"] for row in DIALOGUES}) == len(DIALOGUES)
    for row in DIALOGUES:
        assert [role for role, _ in turns(row)][::2] == ["user"] * (len(row["history"]) // 2)
        assert row["standalone"]
        assert bool(row["answers"]) == row["answerable"], row["id"]
        if row["answerable"]:
            page = (HANDBOOK / row["file"]).read_text()
            assert any(holds(page, answer) for answer in row["answers"]), f"{row['id']} is not in the page"


@dataclass(frozen=True)
class Said:
    """What came back for one question."""

    text: str
    sources: tuple[str, ...]
    finish: str

    def finds(self, row: dict[str, Any]) -> bool:
        return any(holds(source, answer) for source in self.sources for answer in row["answers"])

    @property
    def declines(self) -> bool:
        return self.finish in ("abstained", "no_context")


Asked = dict[str, list[Said]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Every follow-up three times: with its history, written out in full, and without its history."""

    async def main() -> Asked:
        settings = Settings(state=tmp_path_factory.mktemp("dialogues") / "state")
        state = StateFolder(settings.state)
        with state.owned():
            async with opened(settings, state) as grounded:
                await grounded.ready()
                plan = await grounded.ingest.plan(Request(HANDBOOK))
                async with aclosing(grounded.ingest.run(Request(HANDBOOK), plan, Summary())) as reports:
                    assert {report.status async for report in reports} == {"added"}
                return {
                    "follow-up": [await _ask(grounded, Question(r["question"], history=turns(r))) for r in DIALOGUES],
                    "in full": [await _ask(grounded, Question(row["standalone"])) for row in DIALOGUES],
                    "alone": [await _ask(grounded, Question(row["question"])) for row in DIALOGUES],
                }

    with structlog.testing.capture_logs():
        return asyncio.run(main())


async def _ask(grounded: Grounded, question: Question) -> Said:
    text, sources, finish = "", (), ""
    async with aclosing(grounded.pipeline.ask(question)) as events:
        async for event in events:
            match event:
                case TextAdded():
                    text += event.text
                case SourcesFound():
                    sources = tuple(passage.text for passage in event.passages)
                case Finished():
                    finish = event.finish_reason
                case _:
                    pass
    return Said(text, sources, finish)


def recall(said: list[Said]) -> float:
    return mean([one.finds(row) for one, row in zip(said, DIALOGUES, strict=True) if row["answerable"]])


@pytest.mark.models
@pytest.mark.slow
class TestDialogues:
    def test_a_follow_up_finds_what_the_full_question_finds(self, asked: Asked) -> None:
        found = {kind: recall(said) for kind, said in asked.items()}
        lost = [
            row["id"]
            for one, row in zip(asked["follow-up"], DIALOGUES, strict=True)
            if row["answers"] and not one.finds(row)
        ]
        sys.stdout.write(f"the answer is among the sources: {found}, not for {lost}")
        assert found["follow-up"] >= max(FLOOR_RECALL, found["in full"] - WITHIN), found
        assert found["follow-up"] > found["alone"], found

    def test_what_the_manual_does_not_answer_is_declined_whatever_was_talked_of(self, asked: Asked) -> None:
        rows = [
            (row, one, full) for row, one, full in zip(DIALOGUES, asked["follow-up"], asked["in full"], strict=True)
        ]
        others = [(one.declines, full.declines) for row, one, full in rows if not row["answerable"]]
        declined, in_full = mean([one for one, _ in others]), mean([full for _, full in others])
        sys.stdout.write(f"declined {declined:.3f}, written out in full {in_full:.3f}, of {len(others)}")
        assert declined >= FLOOR_DECLINED

    def test_a_question_that_stands_alone_gets_the_very_same_answer(self, asked: Asked) -> None:
        alike = [i for i, row in enumerate(DIALOGUES) if row["question"] == row["standalone"]]
        assert len(alike) >= 5
        for i in alike:
            assert asked["follow-up"][i] == asked["in full"][i], DIALOGUES[i]["id"]
