"""Models that say one word: how hard a question is, and whether a passage carries a sentence."""

import asyncio

import pytest

from generation.adapters.openai_chat import OpenAIChatGenerator
from generation.classifier import LEVELS, Graded, ModelClassifier
from generation.errors import GenerationError
from generation.judge import ModelVerifier
from generation.model import DraftSentence, Usage
from generation.ports import Verdict
from generation.prompt import load_prompt
from generation.short_reply import one_of
from generation.verify import VerbatimVerifier
from tests.passages import context
from tests.scripted_upstream import HEAD, Reset, Stall, Step, Upstream, reply, upstream

OVER = context("Refunds are issued within 14 days.", "Parcels take a month.")
REPHRASED = DraftSentence("You get your money back in two weeks.", (1,))


def graded(*script: Step, timeout_s: float = 5.0) -> tuple[Graded, Upstream]:
    async def main() -> tuple[Graded, Upstream]:
        async with upstream(*script) as server:
            model = OpenAIChatGenerator(base_url=server.url, model="m", prompt=load_prompt("route"), max_tokens=16)
            try:
                return await ModelClassifier(model, timeout_s).grade("Compare A with B?"), server
            finally:
                await model.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize(("said", "level"), [("simple", 0), ("Medium.", 1), ("`complex`", 2), ("Level: complex", 2)])
def test_a_word_is_a_level(said: str, level: int) -> None:
    found, server = graded(*reply(said))
    assert found == Graded(level, Usage(120, 9, 100))
    (request,) = server.requests
    assert request["max_tokens"] == 16
    assert "how hard a question" in request["messages"][0]["content"]
    assert "Compare A with B?" in request["messages"][1]["content"]


@pytest.mark.parametrize("said", ["I cannot say.", "simple or complex", "NOT_IN_SOURCES", "42"])
def test_another_word_is_none(said: str) -> None:
    assert graded(*reply(said))[0] == Graded(None, Usage(120, 9, 100))


@pytest.mark.parametrize("script", [[HEAD, Reset()], [HEAD, Stall()]])
def test_a_model_that_fails_says_so_in_time(script: list[Step]) -> None:
    with pytest.raises(GenerationError):
        graded(*script, timeout_s=0.3)


def judged(
    *script: Step, sentence: DraftSentence = REPHRASED, times: int = 1
) -> tuple[Verdict, ModelVerifier, Upstream]:
    async def main() -> tuple[Verdict, ModelVerifier, Upstream]:
        async with upstream(*script) as server:
            model = OpenAIChatGenerator(base_url=server.url, model="m", prompt=load_prompt("verify"), max_tokens=16)
            verifier = ModelVerifier(VerbatimVerifier(), model, 0.5)
            try:
                for _ in range(times):
                    verdict, _ = await verifier.judge(sentence, OVER)
            finally:
                await model.aclose()
            return verdict, verifier, server

    return asyncio.run(main())


@pytest.mark.parametrize("said", ["supported", "partial", "unsupported"])
def test_a_verdict_is_the_models(said: str) -> None:
    verdict, verifier, server = judged(*reply(said))
    assert (verdict, verifier.usage, verifier.failed) == (said, Usage(120, 9, 100), False)
    (request,) = server.requests
    asked = request["messages"][-1]["content"]
    assert "Refunds are issued within 14 days." in asked
    assert "Parcels" not in asked, "only what is cited is read"
    assert REPHRASED.text in asked


def test_what_stands_word_for_word_costs_nothing() -> None:
    verdict, verifier, server = judged(*reply("unsupported"), sentence=DraftSentence("Parcels take a month.", (2,)))
    assert (verdict, verifier.usage, server.requests) == ("supported", Usage(), [])


def test_what_the_model_cannot_say_is_unchecked() -> None:
    assert judged(*reply("Perhaps."))[0] == "unchecked"
    assert judged(*reply("supported, or unsupported"))[0] == "unchecked"


def test_a_model_that_fails_is_asked_once_an_answer() -> None:
    verdict, verifier, server = judged(HEAD, Reset(), times=3)
    assert (verdict, verifier.failed, server.connections) == ("unchecked", True, 1)


def test_every_verdict_is_paid() -> None:
    assert judged(*reply("partial"), times=3)[1].usage == Usage(360, 27, 300)


def test_one_of_several_words() -> None:
    assert one_of("UNSUPPORTED", ("supported", "unsupported")) == "unsupported"
    assert one_of("simple simple", LEVELS) == "simple"
    assert one_of("", LEVELS) is None
