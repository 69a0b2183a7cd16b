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
from app.wiring import Grounded
from generation.events import Finished, SourcesFound, TextAdded
from retrieval.query import Turn
from tests.manual import HANDBOOK, manual

ROOT = Path(__file__).parents[1]
DIALOGUES = [json.loads(line) for line in (ROOT / "data" / "evals" / "dialogues.jsonl").read_text().splitlines()]
# A little under what the rule reaches without a model: recall .80 and .68 right, where questions that a person wrote out
# in full reach .92 and .80, and follow-ups without their history .84 and .44.
FLOOR_RECALL, FLOOR_RIGHT, FLOOR_DECLINED = 0.76, 0.56, 0.66


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

    def answers(self, row: dict[str, Any]) -> bool:
        return any(holds(self.text, answer) for answer in row["answers"])

    @property
    def declines(self) -> bool:
        return self.finish in ("abstained", "no_context")


Asked = dict[str, list[Said]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Every follow-up three times: with its history, written out in full, and without its history."""

    async def main() -> Asked:
        async with manual(tmp_path_factory.mktemp("dialogues")) as grounded:
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


@pytest.mark.models
@pytest.mark.slow
class TestDialogues:
    def test_follow_ups_are_found_and_answered(self, asked: Asked) -> None:
        rows = [(i, row) for i, row in enumerate(DIALOGUES) if row["answerable"]]
        recall = {kind: mean([said[i].finds(row) for i, row in rows]) for kind, said in asked.items()}
        right = {kind: mean([said[i].answers(row) for i, row in rows]) for kind, said in asked.items()}
        sys.stdout.write(f"the answer is among the sources: {recall}, in the answer: {right}, of {len(rows)}")
        assert recall["follow-up"] >= FLOOR_RECALL, recall
        assert right["follow-up"] >= FLOOR_RIGHT, right
        assert right["follow-up"] > right["alone"], right

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
