"""Models that say one word: how hard a question is, and whether a passage carries a sentence."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from generation.adapters.openai_chat import OpenAIChatGenerator
from generation.breaker import Breaker
from generation.classifier import LEVELS, Graded, ModelClassifier
from generation.errors import GenerationError
from generation.fallback import Chain, Limits, Link
from generation.judge import ChatJudge, ModelVerifier
from generation.model import Ask, Draft, DraftEnd, DraftSentence, DraftText, Usage
from generation.ports import Judged, Verdict
from generation.prompt import load_prompt
from generation.short_reply import one_of
from generation.verify import VerbatimVerifier
from retrieval.model import Context
from tests.contracts.verifier import VerifierContract
from tests.passages import context
from tests.scripted_upstream import HEAD, Reset, Stall, Step, Upstream, chunk, reply, upstream
from tests.upstream.virtual import run_virtually

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


class Served:
    """The verifier with a real endpoint, opened for each sentence, whose model says `unsupported` of everything."""

    name = "served"

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        async with upstream(*reply("unsupported")) as server:
            model = OpenAIChatGenerator(base_url=server.url, model="m", prompt=load_prompt("verify"), max_tokens=16)
            try:
                return await ModelVerifier(VerbatimVerifier(), ChatJudge(model), 5.0).judge(sentence, context)
            finally:
                await model.aclose()


class TestChatJudge(VerifierContract):
    scoring = False

    @pytest.fixture
    def verifier(self) -> Served:
        return Served()


def judged(
    *script: Step, sentence: DraftSentence = REPHRASED, times: int = 1
) -> tuple[Verdict, ModelVerifier, Upstream]:
    async def main() -> tuple[Verdict, ModelVerifier, Upstream]:
        async with upstream(*script) as server:
            model = OpenAIChatGenerator(base_url=server.url, model="m", prompt=load_prompt("verify"), max_tokens=16)
            verifier = ModelVerifier(VerbatimVerifier(), ChatJudge(model), 0.5)
            try:
                for _ in range(times):
                    verdict = (await verifier.judge(sentence, OVER)).verdict
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


def test_a_contradiction_is_told_apart_from_a_lack_of_support() -> None:
    async def main() -> Judged:
        async with upstream(*reply("Contradicted.")) as server:
            model = OpenAIChatGenerator(base_url=server.url, model="m", prompt=load_prompt("verify"), max_tokens=16)
            try:
                return await ModelVerifier(VerbatimVerifier(), ChatJudge(model), 0.5).judge(REPHRASED, OVER)
            finally:
                await model.aclose()

    assert asyncio.run(main()) == Judged("unsupported", contradiction=1.0)
    assert "`contradicted`" in load_prompt("verify").system
    assert "`contradicted`" not in load_prompt("verify@1").system


def test_every_verdict_is_paid() -> None:
    assert judged(*reply("partial"), times=3)[1].usage == Usage(360, 27, 300)


class Hanging:
    """A model that takes its time, in virtual seconds, and counts its calls."""

    name = "m"
    prompt_version = None

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.calls = 0

    async def draft(self, ask: Ask, context: Context) -> AsyncGenerator[Draft, None]:
        self.calls += 1
        await asyncio.sleep(self.takes_s)
        yield DraftText("supported")
        yield DraftEnd(usage=Usage(10, 1))

    async def aclose(self) -> None:
        """Nothing is held."""


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("step", ["verify", "route"])
def test_a_model_that_hangs_costs_few_questions_their_time(step: str) -> None:
    """Wired as the service does it: a chain of one, whose limit is that of the step. The breaker opens, and closes again."""

    async def main() -> None:
        model = Hanging(3600)
        breaker = Breaker(now, dice=lambda: 0.0)
        chain = Chain([Link(model, "small", breaker)], Limits(5.0, attempts=1), clock=now)

        async def ask() -> float:
            begun = now()
            if step == "verify":
                await ModelVerifier(VerbatimVerifier(), ChatJudge(chain), 5.0, clock=now).judge(REPHRASED, OVER)
            else:
                with contextlib.suppress(GenerationError):
                    await ModelClassifier(chain, 5.0).grade("How long?")
            return now() - begun

        took = [await ask() for _ in range(30)]
        assert took[:5] == pytest.approx([5.0] * 5)
        assert took[5:] == [0.0] * 25
        assert (model.calls, breaker.state) == (5, "open")
        model.takes_s = 0.1
        await asyncio.sleep(5)
        assert await ask() == pytest.approx(0.1)
        assert breaker.state == "closed"

    run_virtually(main())


def test_the_verdicts_of_an_answer_share_their_time() -> None:
    async def main() -> None:
        model = Hanging(4.0)
        verifier = ModelVerifier(VerbatimVerifier(), ChatJudge(model), 10.0, clock=now)
        begun = now()
        verdicts = [(await verifier.judge(REPHRASED, OVER)).verdict for _ in range(6)]
        assert verdicts == ["supported", "supported", *["unchecked"] * 4]
        assert now() - begun < 10.2
        assert (model.calls, verifier.failed) == (3, True)

    run_virtually(main())


def test_a_verdict_that_comes_at_the_last_moment_is_no_failure() -> None:
    async def main() -> None:
        verifier = ModelVerifier(VerbatimVerifier(), ChatJudge(Hanging(5.0)), 10.0, clock=now)
        verdicts = [(await verifier.judge(REPHRASED, OVER)).verdict for _ in range(2)]
        assert (verdicts, verifier.failed) == (["supported"] * 2, False)
        assert ((await verifier.judge(REPHRASED, OVER)).verdict, verifier.failed) == ("unchecked", True)

    run_virtually(main())


def test_what_a_verdict_took_that_was_late_is_paid() -> None:
    verdict, verifier, _ = judged(HEAD, chunk("sup"), Stall())
    assert (verdict, verifier.failed) == ("unchecked", True)
    assert verifier.usage.output_tokens == 1
    assert verifier.usage.input_tokens > 20


def test_one_of_several_words() -> None:
    assert one_of("UNSUPPORTED", ("supported", "unsupported")) == "unsupported"
    assert one_of("simple simple", LEVELS) == "simple"
    assert one_of("", LEVELS) is None
