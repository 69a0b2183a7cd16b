"""Follow-ups rewritten by a chat model on a real socket: what it may say, how long it may take, what becomes of the rest."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.adapters.openai_chat import OpenAIChatGenerator
from generation.errors import GenerationError, UpstreamTimeout, UpstreamTruncated, UpstreamUnavailable
from generation.model import Rewritten, Usage
from generation.prompt import load_prompt
from generation.rewrite import LONGEST, ModelRewriter, accepted, conversation
from retrieval.query import Turn
from tests.scripted_upstream import HEAD, Reset, Stall, Step, Upstream, chunk, refusal, reply, upstream

HISTORY: tuple[Turn, ...] = (("user", "How are refunds paid?"), ("assistant", "By card."))
ASKED = "How long do they take?"


def rewritten(*script: Step, question: str = ASKED, timeout_s: float = 5.0) -> tuple[Rewritten, Upstream]:
    async def main() -> tuple[Rewritten, Upstream]:
        async with upstream(*script) as server:
            model = OpenAIChatGenerator(base_url=server.url, model="m", prompt=load_prompt("rewrite"), max_tokens=160)
            rewriter = ModelRewriter(model, timeout_s)
            try:
                assert rewriter.prompt_version == load_prompt("rewrite").version
                return await rewriter.rewrite(question, HISTORY), server
            finally:
                await rewriter.aclose()

    return asyncio.run(main())


def test_a_follow_up_becomes_a_question_that_stands_alone() -> None:
    found, server = rewritten(*reply("How long do ", "refunds take?"))
    assert found == Rewritten("How long do refunds take?", Usage(120, 9, 100))
    (request,) = server.requests
    assert request["max_tokens"] == 160
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    said = request["messages"][1]["content"]
    assert "Question: How are refunds paid?\nAnswer: By card.\nQuestion: How long do they take?" in said


@pytest.mark.parametrize(
    "said",
    ['"How long do refunds take?"', "Rewritten question: How long do refunds take?", "\nHow long do refunds take?\n\n"],
)
def test_what_models_put_around_a_question_is_taken_off(said: str) -> None:
    assert rewritten(*reply(said))[0].text == "How long do refunds take?"


@pytest.mark.parametrize(
    "said",
    [
        "Here it is:\nHow long do refunds take?",
        "x" * (LONGEST + 1),
        "NOT_IN_SOURCES",
        "?!",
        "How long\u202e do refunds take?",
        "\x1b[31mHow long do refunds take?",
    ],
)
def test_what_cannot_be_the_question_is_thrown_away_and_still_paid(said: str) -> None:
    assert rewritten(*reply(said))[0] == Rewritten(None, Usage(120, 9, 100))


def test_numbers_and_identifiers_of_the_question_have_to_stay() -> None:
    question = "Does it run on Python 3.14 with rrf_k?"
    assert rewritten(*reply("Does Grounded run on Python 3.14 with rrf_k?"), question=question)[0].text is not None
    assert rewritten(*reply("Does Grounded run on Python 3.11 with rrf_k?"), question=question)[0].text is None
    assert rewritten(*reply("Does Grounded run on Python 3.14?"), question=question)[0].text is None


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([Reset()], UpstreamUnavailable),
        (refusal(500, {}), UpstreamUnavailable),
        ([HEAD, chunk("How long")], UpstreamTruncated),
        (reply(""), UpstreamTruncated),
    ],
)
def test_a_model_that_fails_is_told(script: list[Step], error: type[GenerationError]) -> None:
    with pytest.raises(error):
        rewritten(*script)


@pytest.mark.parametrize("script", [[Stall()], [HEAD, chunk("How"), Stall()]])
def test_a_model_that_hangs_is_not_waited_for(script: list[Step]) -> None:
    start = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        rewritten(*script, timeout_s=0.3)
    assert time.monotonic() - start < 20  # the model's own limits are longer


def test_only_the_last_turns_are_told_and_long_ones_are_cut() -> None:
    turns: list[Turn] = [("user", f"Question {n}\n{'x' * 5000}") for n in range(20)]
    told = conversation("And\nthen?", turns)
    assert "Question 11 " not in told
    assert "Question 12 " in told
    assert told.endswith("Question: And then?")
    assert len(told) < 9 * 1100


@given(st.text(max_size=700), st.text(max_size=100))
def test_what_is_accepted_is_one_printable_line(said: str, question: str) -> None:
    found = accepted(said, question)
    if found is not None:
        assert found.isprintable()
        assert 0 < len(found) <= max(LONGEST, 2 * len(question))
        assert found in " ".join(said.split())
