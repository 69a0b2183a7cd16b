"""Which tier answers, from the request to the bill: real endpoints on real sockets, each saying what its script says."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.commands.explain import _routing as routing_line
from app.course import Course
from app.errors import TierNotAllowed, UnknownTier
from app.pipeline import Question
from app.wiring import Grounded
from generation.events import AnswerEvent, ClaimJudged, Failed, Finished, TextAdded, TextRetracted
from generation.model import Usage
from tests.app.serving import Service, answer, events_of, fake_embedder, ingest, product, served, write
from tests.ingest.memory import LineReader
from tests.model_endpoint import Reply, endpoint
from tests.patience import PATIENCE_S
from tests.scripted_upstream import HEAD, Reset, Stall, Step, Upstream, Wait, chunk, refusal, reply, upstream
from tests.told import text_of

FILES = {
    "refunds.txt": "Refunds are paid by card. Refunds take 14 days at most.",
    "parcels.txt": "Parcels are sent by ship. Parcels take 30 days at most.",
}
PLAIN = "How many days do refunds take at most?"
HARD = "Compare refunds with parcels: why do they differ, what are the consequences, and which would you choose?"
GOOD = "Refunds take 14 days at most. [1]"
BAD = "Refunds are handled by penguins."
SHOWN = {"none_carried": "mark"}  # an answer without a sentence that is carried is shown, with its marks
USAGE = 1000 * 120, 1000 * 9  # what the scripted model says it took, in 1e-9 USD at one dollar a million tokens


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@asynccontextmanager
async def tiered(
    tmp_path: Path, small: list[Step], large: list[Step], routing: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[tuple[Grounded, Upstream, Upstream]]:
    """The product with two tiers; `small` and `large` in `more` add to a tier's settings."""
    async with upstream(*small) as one, upstream(*large) as two:
        tiers = [
            {"name": "small", "base_url": one.url, "model": "model-s", "price_input": 1, "price_output": 1}
            | more.pop("of_small", {}),
            {"name": "large", "base_url": two.url, "model": "model-l", "price_input": 10, "price_output": 10}
            | more.pop("of_large", {}),
        ]
        settings = {"tiers": tiers, "routing": routing or {}, "context": {"tokenizer": "estimate"}} | more
        async with product(tmp_path, FILES, LineReader(), **settings) as grounded:
            yield grounded, one, two


def done(events: list[AnswerEvent]) -> Finished:
    end = events[-1]
    assert isinstance(end, Finished)
    return end


def run(use: Any) -> None:
    with fake_embedder():
        asyncio.run(use())


def test_a_plain_question_goes_to_the_cheap_tier_and_a_hard_one_to_the_dear_one(tmp_path: Path) -> None:
    async def use() -> None:
        async with tiered(tmp_path, reply(GOOD), reply(GOOD)) as (grounded, one, two):
            end = done(await answer(grounded, PLAIN))
            assert (end.tier, end.model, len(one.requests), len(two.requests)) == ("small", "model-s", 1, 0)
            assert end.cost_nano_usd == {"generate": sum(USAGE)}
            end = done(await answer(grounded, HARD))
            assert (end.tier, end.model, len(one.requests), len(two.requests)) == ("large", "model-l", 1, 1)
            assert end.cost_nano_usd == {"generate": 10 * sum(USAGE)}
            assert end.degraded == ()

    run(use)


def test_the_decision_stands_in_the_explanation_and_the_tier_in_the_log(tmp_path: Path, log: list[Any]) -> None:
    async def use() -> None:
        async with tiered(tmp_path, reply(GOOD), reply(GOOD)) as (grounded, _, _):
            end = done(await answer(grounded, HARD))
            kept = await grounded.explanations.find(end.answer_id)
            assert kept is not None
            assert kept.routing is not None
            routing = kept.routing
            assert (kept.tier, routing["tier"], routing["reason"], routing["level"]) == ("large", "large", "rules", 2)
            assert routing["features"]["comparison"] is True
            assert routing["features"]["reasoning"] >= 2
            assert [attempt["outcome"] for attempt in routing["attempts"]] == ["ok"]
            assert routing["chain"] == ("large", "small", "extractive")
            assert "refunds" not in json.dumps(routing).casefold(), "no text"
            line = next(line for line in log if line["event"] == "ask.completed")
            assert (line["tier"], line["model"]) == ("large", "model-l")

    run(use)


@pytest.mark.parametrize("tier", ["small", "large", "extractive"])
def test_a_tier_that_is_asked_for_answers(tmp_path: Path, tier: str) -> None:
    async def use() -> None:
        async with tiered(tmp_path, reply(GOOD), reply(GOOD)) as (grounded, one, two):
            end = done(await answer(grounded, HARD, tier=tier))
            assert end.tier == tier
            assert (len(one.requests), len(two.requests)) == (int(tier == "small"), int(tier == "large"))
            assert "generator" not in end.degraded

    run(use)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("tiers")
    tier = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "price_input": 0, "price_output": 0}
    tiers = [tier | {"name": "house", "self_hosted": True}, tier | {"name": "cloud", "data_policy": ["default"]}]
    more = {"tiers": tiers, "routing": {"sensitive": ["hr"]}, "context": {"tokenizer": "estimate"}}
    with served(folder, FILES, **more) as service:
        service.run(ingest(service.grounded, write(folder / "hr", {"pay.txt": "Pay is secret."}), "hr"))
        service.run(ingest(service.grounded, write(folder / "open", {"a.txt": "All is open."}), "other"))
        yield service


class TestRefused:
    def test_an_unknown_tier(self, service: Service) -> None:
        reply = service.ask(PLAIN, tier="clout")
        assert reply.status_code == 422
        error = reply.json()["error"]
        assert (error["code"], error["param"]) == ("unknown_tier", "tier")
        assert "'cloud'" in error["message"]
        assert error["next_step"]

    @pytest.mark.parametrize(("collection", "tier"), [("hr", "cloud"), ("other", "cloud")])
    def test_a_tier_that_may_not_get_the_collection(self, service: Service, collection: str, tier: str) -> None:
        reply = service.ask(PLAIN, collection=collection, tier=tier)
        assert reply.status_code == 403
        assert (reply.json()["error"]["code"], reply.json()["error"]["type"]) == (
            "tier_not_allowed",
            "permission_error",
        )

    def test_an_unknown_collection_is_told_first(self, service: Service) -> None:
        assert service.ask(PLAIN, collection="nowhere", tier="clout").json()["error"]["code"] == "collection_not_found"

    def test_who_may_get_what(self, service: Service) -> None:
        router = service.grounded.router
        assert router.allowed("default") == ("house", "cloud")
        assert router.allowed("hr") == ("house",)
        assert router.allowed("other") == ("house",)
        for wanted, error in (("nobody", UnknownTier), ("cloud", TierNotAllowed)):
            with pytest.raises(error):
                router.admit(wanted, "hr")
        router.admit(None, "hr")
        router.admit("extractive", "hr")


def test_no_word_of_a_sensitive_collection_leaves_for_another_endpoint(tmp_path: Path) -> None:
    """Not for the answer, not for the rewriting of a follow-up, not for a verdict, not for the classifier."""

    async def use() -> None:
        routing = {"sensitive": ["default"], "classifier": "small", "verify_tier": "small", "rewrite_tier": "small"}
        history = (("user", "How are refunds paid?"), ("assistant", "By card."))
        async with tiered(tmp_path, reply("Never asked."), reply(GOOD), routing, of_large={"self_hosted": True}) as (
            grounded,
            one,
            two,
        ):
            for question in (PLAIN, HARD):
                assert done(await answer(grounded, question, history=history)).tier == "large"
            assert one.connections == 0
            assert len(two.requests) > 2

    run(use)


def test_passages_are_counted_by_nobody_who_may_not_get_them(tmp_path: Path) -> None:
    """An endpoint that counts tokens reads the passages."""

    async def use() -> None:
        async with upstream(*refusal(404, {}), path="/tokenize") as counting:
            endpoint = {"base_url": counting.url, "model": "m", "price_input": 0, "price_output": 0}
            for routing, of_tier, seen in (
                ({}, {}, True),
                ({"sensitive": ["default"]}, {"self_hosted": True}, True),
                ({"sensitive": ["default"]}, {}, False),
                ({}, {"data_policy": ["other"]}, False),
            ):
                before = counting.connections
                tiers = [endpoint | {"name": "one"} | of_tier]
                async with product(tmp_path, FILES, LineReader(), tiers=tiers, routing=routing) as grounded:
                    await answer(grounded, PLAIN)
                assert (counting.connections > before) is seen, (routing, of_tier)

    run(use)


def test_where_no_tier_may_be_asked_quoting_answers(tmp_path: Path) -> None:
    async def use() -> None:
        async with tiered(tmp_path, reply(GOOD), reply(GOOD), {"sensitive": ["default"]}) as (grounded, one, two):
            end = done(await answer(grounded, PLAIN))
            assert (end.tier, end.model, end.finish_reason) == ("extractive", "extractive", "stop")
            assert (one.connections, two.connections) == (0, 0)

    run(use)


def test_a_window_that_is_too_small_is_passed_over(tmp_path: Path) -> None:
    async def use() -> None:
        async with tiered(tmp_path, reply(GOOD), reply(GOOD), of_small={"context_window": 1200}) as (grounded, one, _):
            assert done(await answer(grounded, PLAIN)).tier == "large"
            assert one.connections == 0

    run(use)


OUTAGES: dict[str, list[Step]] = {
    "refuses": refusal(503, {"error": {"message": "busy"}}),
    "tears": [HEAD, Reset()],
    "cuts before a sentence": [HEAD, chunk("Half a"), Reset()],
}


@pytest.mark.parametrize("how", OUTAGES)
def test_the_next_tier_stands_in_and_it_is_told(tmp_path: Path, how: str) -> None:
    async def use() -> None:
        async with tiered(tmp_path, OUTAGES[how], reply(GOOD)) as (grounded, _, two):
            events = await answer(grounded, PLAIN)
            end = done(events)
            assert (end.tier, end.model, end.degraded, end.finish_reason) == (
                "large",
                "model-l",
                ("generator",),
                "stop",
            )
            assert len(two.requests) == 1
            assert text_of(events) == "Refunds take 14 days at most."
            kept = await grounded.explanations.find(end.answer_id)
            assert kept is not None
            assert kept.routing is not None
            assert kept.routing["attempts"][-1]["tier"] == "large"
            assert kept.routing["attempts"][0]["outcome"].startswith("upstream_")

    run(use)


def test_an_outage_of_every_model_is_answered_by_quoting(tmp_path: Path) -> None:
    async def use() -> None:
        async with tiered(tmp_path, OUTAGES["refuses"], OUTAGES["tears"]) as (grounded, _, _):
            events = await answer(grounded, PLAIN)
            end = done(events)
            assert (end.tier, end.model, end.degraded) == ("extractive", "extractive", ("generator",))
            assert end.prompt_version is None
            assert any(isinstance(event, ClaimJudged) and event.claim.status == "supported" for event in events)
            assert end.cost_nano_usd == {"generate": 0}

    run(use)


def test_with_no_fallback_an_outage_is_an_error(tmp_path: Path) -> None:
    async def use() -> None:
        more = {"generation": {"fallback": "none"}}
        async with tiered(tmp_path, OUTAGES["refuses"], OUTAGES["refuses"], **more) as (grounded, _, _):
            assert done(await answer(grounded, PLAIN)).finish_reason == "error"

    run(use)


class TestEscalation:
    @pytest.mark.parametrize("release", ["sentence", "token"])
    def test_an_answer_without_a_citation_is_written_one_tier_up(self, tmp_path: Path, release: Any) -> None:
        async def use() -> None:
            async with tiered(tmp_path, reply(BAD), reply(GOOD)) as (grounded, one, two):
                events = await answer(grounded, PLAIN, release=release)
                end = done(events)
                assert text_of(events) == "Refunds take 14 days at most."
                assert (end.tier, len(one.requests), len(two.requests)) == ("large", 1, 1)
                assert end.degraded == ()
                seen = "".join(event.text for event in events if isinstance(event, TextAdded))
                assert ("handled" in seen) == (release == "token")  # the last words wait for the output filter
                assert sum(isinstance(event, TextRetracted) for event in events) == int(release == "token")

        run(use)

    def test_both_answers_are_paid_each_at_its_price(self, tmp_path: Path) -> None:
        async def use() -> None:
            async with tiered(tmp_path, reply("Here it is:"), reply(GOOD)) as (grounded, _, _):  # fails at its end
                end = done(await answer(grounded, PLAIN))
                assert end.usage == Usage(240, 18, 200)
                assert end.cost_nano_usd == {"generate": 11 * sum(USAGE)}
                kept = await grounded.explanations.find(end.answer_id)
                assert kept is not None
                assert kept.routing is not None
                told = [(attempt["tier"], attempt["outcome"]) for attempt in kept.routing["attempts"]]
                assert told == [("small", "uncited"), ("large", "ok")]

        run(use)

    def test_what_was_broken_off_is_estimated_and_paid(self, tmp_path: Path) -> None:
        async def use() -> None:
            said = f"{BAD} And they are"
            async with tiered(tmp_path, [HEAD, chunk(said), Stall()], reply(GOOD)) as (grounded, one, _):
                end = done(await answer(grounded, PLAIN))
                sent = sum(len(message["content"]) for message in one.requests[0]["messages"])
                assert end.usage == Usage(120 + -(-sent // 4), 9 + -(-len(said) // 4), 100)
                assert end.cost_nano_usd["generate"] > 10 * sum(USAGE)
                kept = await grounded.explanations.find(end.answer_id)
                assert kept is not None
                assert kept.routing is not None
                told = [(attempt["tier"], attempt["outcome"]) for attempt in kept.routing["attempts"]]
                assert told == [("small", "uncited"), ("large", "ok")]

        run(use)

    def test_at_most_once(self, tmp_path: Path) -> None:
        async def use() -> None:
            async with tiered(tmp_path, reply(BAD), reply(BAD), verification=SHOWN) as (grounded, one, two):
                events = await answer(grounded, PLAIN)
                assert text_of(events) == BAD
                assert (len(one.requests), len(two.requests)) == (1, 1)
                claim = next(event.claim for event in events if isinstance(event, ClaimJudged))
                assert claim.status == "uncited"

        run(use)

    @pytest.mark.parametrize(("routing", "asked"), [({"escalate": False}, {}), ({}, {"tier": "small"})])
    def test_not_where_it_is_off_and_not_for_a_tier_that_was_asked_for(
        self, tmp_path: Path, routing: dict[str, Any], asked: dict[str, Any]
    ) -> None:
        async def use() -> None:
            async with tiered(tmp_path, reply(BAD), reply(GOOD), routing, verification=SHOWN) as (grounded, _, two):
                events = await answer(grounded, PLAIN, **asked)
                assert (text_of(events), done(events).tier, two.connections) == (BAD, "small", 0)

        run(use)


class TestExtractiveFirst:
    def test_a_look_up_that_the_searches_agree_on_is_quoted(self, tmp_path: Path) -> None:
        async def use() -> None:
            routing = {"extractive": True, "extractive_confidence": 0.5}
            async with tiered(tmp_path, reply(GOOD), reply(GOOD), routing) as (grounded, one, _):
                end = done(await answer(grounded, "Refunds take how many days at most?"))
                assert (end.tier, end.model, one.connections) == ("extractive", "extractive", 0)
                assert end.degraded == ()
                assert done(await answer(grounded, HARD)).tier == "large"

        run(use)

    @pytest.mark.parametrize("escalate", [True, False])
    def test_what_cannot_be_quoted_is_written_by_the_cheapest(self, tmp_path: Path, escalate: bool) -> None:
        async def use() -> None:
            routing = {"extractive": True, "extractive_confidence": 0.0, "escalate": escalate}
            more = {"generation": {"abstain_below": 1.0}}
            async with tiered(tmp_path, reply(GOOD), reply(GOOD), routing, **more) as (grounded, one, two):
                events = await answer(grounded, "Refunds take how many days?")
                assert (done(events).tier, len(one.requests), two.connections) == ("small", 1, 0)
                assert text_of(events) == "Refunds take 14 days at most."

        run(use)


class TestSteps:
    def test_each_step_has_its_own_tier_and_prompt(self, tmp_path: Path) -> None:
        async def use() -> None:
            routing = {"rewrite_tier": "large", "answer_tier": "small"}
            async with tiered(tmp_path, reply(GOOD), reply("How many days do refunds take?"), routing) as found:
                grounded, one, two = found
                history = (("user", "How are refunds paid?"), ("assistant", "By card."))
                end = done(await answer(grounded, "How many days at most do they take?", history=history))
                assert "You rewrite the last question" in two.requests[0]["messages"][0]["content"]
                assert "You answer questions" in one.requests[0]["messages"][0]["content"]
                assert (two.requests[0]["max_tokens"], one.requests[0]["max_tokens"]) == (160, 512)
                assert (end.tier, end.cost_nano_usd) == (
                    "small",
                    {"generate": sum(USAGE), "rewrite": 10 * sum(USAGE)},
                )
                assert sum(end.cost_nano_usd.values()) == 11 * sum(USAGE)

        run(use)

    def test_a_model_may_say_how_hard_a_question_is(self, tmp_path: Path) -> None:
        async def use() -> None:
            async with tiered(tmp_path, reply("complex"), reply(GOOD), {"classifier": "small"}) as (grounded, one, two):
                end = done(await answer(grounded, PLAIN))
                assert (end.tier, len(one.requests), len(two.requests)) == ("large", 1, 1)
                assert "how hard a question" in one.requests[0]["messages"][0]["content"]
                assert end.cost_nano_usd == {"generate": 10 * sum(USAGE), "rewrite": sum(USAGE)}
                kept = await grounded.explanations.find(end.answer_id)
                assert kept is not None
                assert kept.routing is not None
                assert (kept.routing["reason"], kept.routing["level"]) == ("classifier", 2)

        run(use)

    @pytest.mark.parametrize("said", [reply("No idea."), refusal(500, {})])
    def test_where_it_says_nothing_the_rules_stand_in(self, tmp_path: Path, said: list[Step]) -> None:
        async def use() -> None:
            async with tiered(tmp_path, said, reply(GOOD), {"classifier": "small"}) as (grounded, _, _):
                end = done(await answer(grounded, HARD))
                kept = await grounded.explanations.find(end.answer_id)
                assert kept is not None
                assert kept.routing is not None
                assert (end.tier, kept.routing["reason"]) == ("large", "rules")

        run(use)

    def test_a_model_judges_what_is_no_quote(self, tmp_path: Path) -> None:
        async def use() -> None:
            rephrased = "Refunds come back within two weeks. [1]"
            routing = {"verify_tier": "large", "answer_tier": "small"}
            async with tiered(tmp_path, reply(rephrased), reply("partial"), routing) as (grounded, _, two):
                events = await answer(grounded, PLAIN)
                claims = [event.claim for event in events if isinstance(event, ClaimJudged)]
                assert [claim.status for claim in claims] == ["partial"]
                end = done(events)
                assert end.cost_nano_usd == {"generate": sum(USAGE), "verify": 10 * sum(USAGE)}
                assert "whether a sentence is carried" in two.requests[0]["messages"][0]["content"]
                assert end.degraded == ()

        run(use)

    def test_what_it_finds_unsupported_is_written_one_tier_up(self, tmp_path: Path) -> None:
        async def use() -> None:
            first = reply("Refunds come back within two weeks. [1]")
            judging = {"verify_tier": "large"}
            policy = {"unsupported": "escalate"} | SHOWN
            async with tiered(tmp_path, first, reply("unsupported"), judging, verification=policy) as (
                grounded,
                one,
                two,
            ):
                events = await answer(grounded, PLAIN)
                assert (len(one.requests), len(two.requests)) == (1, 2)  # the verdict, and the second answer
                assert (done(events).tier, text_of(events)) == ("large", "unsupported")

        run(use)

    def test_a_judge_that_fails_is_told(self, tmp_path: Path) -> None:
        async def use() -> None:
            routing = {"verify_tier": "large", "answer_tier": "small"}
            async with tiered(tmp_path, reply("Refunds come in two weeks. [1]"), [HEAD, Reset()], routing) as (
                grounded,
                _,
                _,
            ):
                end = done(await answer(grounded, PLAIN))
                assert (end.finish_reason, end.degraded) == ("stop", ("verifier",))

        run(use)


def test_without_tiers_nothing_is_decided(tmp_path: Path) -> None:
    async def use() -> None:
        async with product(tmp_path, FILES, LineReader()) as grounded:
            end = done(await answer(grounded, PLAIN))
            assert (end.tier, end.model, end.cost_nano_usd) == (None, "extractive", {"generate": 0})
            kept = await grounded.explanations.find(end.answer_id)
            assert kept is not None
            assert kept.routing is None
            assert done(await answer(grounded, PLAIN, tier="extractive")).model == "extractive"
            with pytest.raises(UnknownTier):
                await answer(grounded, PLAIN, tier="small")

    run(use)


def test_what_is_spent_is_summed_by_stage() -> None:
    course = Course("m")
    course.spend("rewrite", Usage(10, 5), 7)
    course.spend("rewrite", Usage(1, 1), 2)
    course.spend("verify", Usage(), 99)
    end = course.finished("stop")
    assert (end.usage, end.cost_nano_usd) == (Usage(11, 6), {"generate": 0, "rewrite": 9})


def streamed(text: str) -> Reply:
    """A whole answer of a chat endpoint that lives in a thread of its own."""
    body = b"".join(step for step in reply(text)[1:] if isinstance(step, bytes))
    return Reply(body, headers={"content-type": "text/event-stream"})


def test_over_http_the_tier_the_reason_and_the_attempts_are_told(tmp_path: Path) -> None:
    answers = {"model-s": BAD, "model-l": GOOD}
    with endpoint(lambda body: streamed(answers[body["model"]])) as model:
        one = {"base_url": model.url, "price_input": 1, "price_output": 1}
        tiers = [one | {"name": "small", "model": "model-s"}, one | {"name": "large", "model": "model-l"}]
        with served(tmp_path, FILES, tiers=tiers, context={"tokenizer": "estimate"}) as service:
            said = service.ask(PLAIN).json()
            assert (said["tier"], said["model"], said["answer"]) == (
                "large",
                "model-l",
                "Refunds take 14 days at most.",
            )
            assert said["cost_usd"] == sum(said["cost_by_stage_usd"].values()) > 0
            told = service.get(f"/v1/answers/{said['id']}/explain").json()
            assert (told["tier"], told["fallback_reason"]) == ("large", "uncited")
            routing = told["routing"]
            assert (routing["tier"], routing["up"], routing["reason"]) == ("small", "large", "rules")
            assert [(one["tier"], one["outcome"]) for one in routing["attempts"]] == [
                ("small", "uncited"),
                ("large", "ok"),
            ]
            service.run(service.grounded.explanations.close())  # from the disk it is the same
            assert service.get(f"/v1/answers/{said['id']}/explain").json()["routing"] == routing
            line = routing_line(routing)
            assert line.startswith("Tier small by rules, score ")
            assert line.endswith("tried small: uncited, large: ok")
            events = events_of(service.ask(PLAIN, tier="large", stream=True).content)
            assert (events[-1]["type"], events[-1]["tier"]) == ("done", "large")
            assert service.get("/health/ready").json()["checks"]["generator"] == "ok"


def test_a_sentence_that_was_sent_is_never_withdrawn(tmp_path: Path) -> None:
    """Where the model breaks off behind it, the answer ends with the error."""

    async def use() -> None:
        broken = [HEAD, chunk("Refunds take 14 days at most. [1] Parcels "), chunk("take"), Wait(0.2), Reset()]
        async with tiered(tmp_path, broken, reply(GOOD)) as (grounded, _, _):
            events = await answer(grounded, PLAIN)
            assert not any(isinstance(event, TextRetracted) for event in events)
            assert text_of(events) == "Refunds take 14 days at most."
            assert isinstance(events[-2], Failed)
            assert (events[-2].error.code, done(events).finish_reason) == ("upstream_truncated", "error")
            events = await answer(grounded, PLAIN, release="token")
            assert sum(isinstance(event, TextRetracted) for event in events) == 1
            assert (text_of(events), done(events).tier) == ("Refunds take 14 days at most.", "large")

    run(use)


class TestUnfinished:
    """An answer without an end has cost something too."""

    @pytest.mark.parametrize("release", ["sentence", "token"])
    def test_of_a_client_that_leaves(self, tmp_path: Path, log: list[Any], release: Any) -> None:
        async def use() -> None:
            stalled = [HEAD, chunk("Refunds take 14 days at most. [1] And they are"), Stall()]
            async with tiered(tmp_path, stalled, reply(GOOD)) as (grounded, one, _):
                events = grounded.pipeline.ask(Question(PLAIN, release=release))
                async for event in events:
                    if isinstance(event, ClaimJudged):
                        break
                await events.aclose()
                await asyncio.wait_for(one.gone.wait(), PATIENCE_S)
            line = next(line for line in log if line["event"] == "ask.completed")
            assert (line["finish_reason"], line["model"]) == ("cancelled", "model-s")
            sent = sum(len(message["content"]) for message in one.requests[0]["messages"])
            assert line["input_tokens"] == -(-sent // 4)  # four characters a token
            assert line["output_tokens"] == -(-len("Refunds take 14 days at most. [1] And they are") // 4)
            assert line["cost_usd"] == pytest.approx((line["input_tokens"] + line["output_tokens"]) / 1e6)

        run(use)

    def test_of_one_that_breaks_off_behind_a_sentence(self, tmp_path: Path) -> None:
        async def use() -> None:
            broken = [HEAD, chunk("Refunds take 14 days at most. [1] And they are"), Wait(0.2), Reset()]
            async with tiered(tmp_path, broken, reply(GOOD)) as (grounded, _, _):
                end = done(await answer(grounded, PLAIN))
                assert end.finish_reason == "error"
                assert end.cost_nano_usd["generate"] > 0

        run(use)

    def test_of_calls_that_failed_before_it_was_left(self, tmp_path: Path, log: list[Any]) -> None:
        """A tier that broke off is paid at its prices, and so is the next, which was writing when the client left."""

        async def use() -> None:
            broken = [HEAD, chunk("Refunds take"), Wait(0.2), Reset()]
            stalled = [HEAD, chunk("Refunds take 14 days at most. [1] And they are"), Stall()]
            async with tiered(tmp_path, broken, stalled) as (grounded, one, two):
                events = grounded.pipeline.ask(Question(PLAIN))
                async for event in events:
                    if isinstance(event, ClaimJudged):
                        break
                await events.aclose()
                sent = [-(-sum(len(m["content"]) for m in t.requests[0]["messages"]) // 4) for t in (one, two)]
            line = next(line for line in log if line["event"] == "ask.completed")
            assert (line["finish_reason"], line["input_tokens"]) == ("cancelled", sum(sent))
            assert line["cost_usd"] == pytest.approx((sent[0] + 3 + 10 * (sent[1] + 12)) / 1e6)

        run(use)

    def test_of_one_that_was_quoted_nothing(self, tmp_path: Path, log: list[Any]) -> None:
        async def use() -> None:
            async with product(tmp_path, FILES, LineReader()) as grounded:
                events = grounded.pipeline.ask(Question(PLAIN))
                async for event in events:
                    if isinstance(event, ClaimJudged):
                        break
                await events.aclose()
            line = next(line for line in log if line["event"] == "ask.completed")
            assert (line["finish_reason"], line["cost_usd"], line["input_tokens"]) == ("cancelled", 0, 0)

        run(use)
