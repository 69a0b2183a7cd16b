"""Follow-ups from the wire to the answer: what is searched, what it costs, and that the history decides nothing else."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from app.followups import FollowUps, Standalone
from app.pipeline import Question
from app.wiring import Grounded
from generation.errors import UpstreamUnavailable
from generation.events import AnswerEvent, Finished, Progress, SourcesFound
from generation.model import DraftEnd, Rewritten, Usage
from retrieval.query import Turn
from tests.app.serving import Service, answer, events_of, fake_embedder, product, served
from tests.app.test_pipeline import piped
from tests.fakes import ScriptedGenerator
from tests.ingest.memory import LineReader
from tests.scripted_upstream import reply, upstream

pytestmark = pytest.mark.usefixtures("silent")

FILES = {
    "refunds.txt": "Refunds are paid by card. Refunds take 14 days at most.",
    "parcels.txt": "Parcels are sent by ship. Parcels take 30 days at most.",
    "cats.txt": "Cats sleep most of the day. A cat has four legs.",
}
REFUNDS: tuple[Turn, ...] = (("user", "How are refunds paid?"), ("assistant", "Refunds are paid by card."))
PARCELS: tuple[Turn, ...] = (("user", "How are parcels sent?"), ("assistant", "Parcels are sent by ship."))
FOLLOW_UP = "How many days at most do they take?"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("followups"), FILES) as service:
        yield service


def wired(history: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in history]


@pytest.mark.parametrize(("history", "days"), [(REFUNDS, "14"), (PARCELS, "30")])
def test_a_follow_up_is_answered_from_what_it_points_back_to(
    service: Service, history: Sequence[Turn], days: str
) -> None:
    said = service.ask(FOLLOW_UP, history=wired(history)).json()
    assert said["finish_reason"] == "stop"
    assert f"take {days} days" in said["claims"][0]["text"]
    assert said["degraded"] == []
    assert "rewrite" not in said["timings_ms"]  # no model was called
    stages = [
        e["stage"]
        for e in events_of(service.ask(FOLLOW_UP, history=wired(history), stream=True).content)
        if e["type"] == "status"
    ]
    assert stages == ["retrieving", "generating"]


def outcome(said: dict[str, Any]) -> tuple[Any, ...]:
    return said["finish_reason"], said["abstention"], said["confidence"], said["answer"], said["sources"]


@pytest.mark.parametrize("question", ["Which enzyme unwinds DNA during replication?", "How many legs has a cat?"])
def test_a_question_that_stands_alone_gets_the_same_with_and_without_history(service: Service, question: str) -> None:
    plain = service.ask(question).json()
    for history in (REFUNDS, PARCELS, (*REFUNDS, *PARCELS)):
        assert outcome(service.ask(question, history=wired(history)).json()) == outcome(plain)


def test_what_an_earlier_turn_found_answers_nothing_now(service: Service) -> None:
    """The answer stands in the history word for word; the documents do not say it, so it is not said."""
    history = (("user", "Which enzyme unwinds DNA?"), ("assistant", "The helicase enzyme unwinds DNA in 5 minutes."))
    said = service.ask("Which enzyme unwinds it during replication?", history=wired(history)).json()  # type: ignore[arg-type]
    assert said["finish_reason"] == "abstained"


class Rewriting:
    """A rewriter that says one thing, and counts."""

    prompt_version = "rewrite@1"

    def __init__(self, *said: Rewritten | Exception) -> None:
        self.said = list(said)
        self.asked: list[tuple[str, Sequence[Turn]]] = []

    async def rewrite(self, question: str, history: Sequence[Turn]) -> Rewritten:
        self.asked.append((question, history))
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def aclose(self) -> None:
        """Nothing is held."""


def test_the_first_question_makes_no_call() -> None:
    rewriter = Rewriting()
    follow_ups = FollowUps(rewriter)
    for history in ((), (("assistant", "Hello, ask me anything."),)):
        assert not follow_ups.asks_a_model(history)  # type: ignore[arg-type]
        assert asyncio.run(follow_ups.standalone("How long do they take?", history)).usage == Usage()  # type: ignore[arg-type]
    assert rewriter.asked == []


def test_every_later_question_makes_one() -> None:
    rewriter = Rewriting(Rewritten("How long do refunds take?", Usage(10, 5)))
    found = asyncio.run(FollowUps(rewriter).standalone("How long do they take?", REFUNDS))
    assert found == Standalone("How long do refunds take?", Usage(10, 5))
    assert rewriter.asked == [("How long do they take?", REFUNDS)]


def test_where_the_model_fails_the_rule_stands_in_and_it_is_told() -> None:
    rewriter = Rewriting(UpstreamUnavailable("The test says no."), Rewritten(None, Usage(10, 5)))
    by_rule = "refunds paid: How long do they take?"
    follow_ups = FollowUps(rewriter)
    assert asyncio.run(follow_ups.standalone("How long do they take?", REFUNDS)) == Standalone(
        by_rule, Usage(), ("rewriter",)
    )
    assert asyncio.run(follow_ups.standalone("How long do they take?", REFUNDS)) == Standalone(
        by_rule, Usage(10, 5), ("rewriter",)
    )


def test_off_searches_for_what_was_asked() -> None:
    assert asyncio.run(FollowUps(rules=False).standalone("And they?", REFUNDS)) == Standalone("And they?")


async def told(
    grounded: Grounded, follow_ups: FollowUps, question: Question
) -> tuple[list[AnswerEvent], ScriptedGenerator]:
    generator = ScriptedGenerator(DraftEnd(usage=Usage(100, 20)))
    pipeline = piped(grounded, generator, follow_ups=follow_ups)
    async with aclosing(pipeline.ask(question)) as events:
        return [event async for event in events], generator


def test_a_rewrite_is_searched_paid_and_told_in_its_stage(tmp_path: Path) -> None:
    async def main() -> None:
        async with product(tmp_path, FILES, LineReader()) as grounded:
            rewriter = Rewriting(Rewritten("How many days do parcels take?", Usage(10, 5)), UpstreamUnavailable("No."))
            question = Question(FOLLOW_UP, history=REFUNDS)
            events, generator = await told(grounded, FollowUps(rewriter), question)
            found = next(event for event in events if isinstance(event, SourcesFound))
            assert found.passages[0].name == "parcels.txt"
            assert [event.stage for event in events if isinstance(event, Progress)] == [
                "rewriting",
                "retrieving",
                "generating",
            ]
            end = events[-1]
            assert isinstance(end, Finished)
            assert end.usage == Usage(110, 25)
            assert set(end.cost_nano_usd) == {"rewrite", "generate"}
            assert "rewrite" in end.timings_ms
            assert (generator.asked[0].question, generator.asked[0].standalone) == (
                FOLLOW_UP,
                "How many days do parcels take?",
            )
            events, _ = await told(grounded, FollowUps(rewriter), question)
            end = events[-1]
            assert isinstance(end, Finished)
            assert end.degraded == ("rewriter",)
            assert end.finish_reason == "stop"
            assert set(end.cost_nano_usd) == {"generate"}

    with fake_embedder():
        asyncio.run(main())


def test_the_configured_chat_model_rewrites_with_a_prompt_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with upstream(*reply("How many days do refunds take?")) as server:
            generation = {
                "backend": "openai_chat",
                "base_url": server.url,
                "model": "m",
                "price_input": 1,
                "price_output": 2,
            }
            more = {"generation": generation, "context": {"tokenizer": "estimate"}}
            async with product(tmp_path, FILES, LineReader(), **more) as grounded:
                await answer(grounded, "How are refunds paid?")
                assert len(server.requests) == 1
                events = await answer(grounded, FOLLOW_UP, history=REFUNDS)
                assert len(server.requests) == 3
                rewriting, answering = server.requests[1:]
                assert "You rewrite the last question" in rewriting["messages"][0]["content"]
                assert "You answer questions from numbered sources" in answering["messages"][0]["content"]
                end = events[-1]
                assert isinstance(end, Finished)
                assert end.usage == Usage(240, 18, 200)
                assert sum(end.cost_nano_usd.values()) == 1000 * (240 * 1 + 18 * 2)

    with fake_embedder():
        asyncio.run(main())
