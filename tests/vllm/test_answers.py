"""Answers that a real model writes: cited, judged, counted, and with every sentence that no source carries told as such."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generation.verify import find_verbatim
from tests.vllm.conftest import Asked, Serving
from tests.vllm.endpoint import Endpoint, within

Events = list[dict[str, Any]]
PROMPTS = Path(__file__).parent / "prompts"
pytestmark = [pytest.mark.vllm, pytest.mark.slow]

QUESTIONS = (
    "When was the lighthouse built?",
    "Within how many days are refunds issued?",
    "When is the support desk open?",
    "Who painted the lighthouse, and in which colours?",
    "How long do late refunds take?",
    "Who keeps the key of the lighthouse?",
    "When was the lamp replaced?",
    "Does the support desk answer by mail?",
)
# So small a model cites only after turns that look just like its own, so a prompt of its own and these go before.
SHOWN = (
    ("5e0c [1] Tea is served at four. Milk comes in a blue jug.", "When is tea served?", "Tea is served at four. [1]"),
    (
        "91af [1] The boats leave at noon.\n\n91af [2] The last train leaves at eleven. It has no restaurant.",
        "When does the last train leave?",
        "The last train leaves at eleven. [2]",
    ),
    (
        "c3b7 [1] The gardener feeds the dogs.\n\nc3b7 [2] Cats sleep in the attic.",
        "Who feeds the dogs?",
        "The gardener feeds the dogs. [1]",
    ),
)
TURNS = [
    {"role": role, "content": content}
    for sources, question, answer in SHOWN
    for role, content in (("user", f"{sources}\n\n{sources[:4]} {question}"), ("assistant", answer))
]
NOT_CARRIED = {"unsupported", "uncited", "unchecked", "partial"}


@pytest.fixture(scope="module")
def asked(serving: Serving) -> Iterator[Asked]:
    """With the prompts that are shipped."""
    with serving() as running:
        yield running


@pytest.fixture(scope="class")
def citing(serving: Serving) -> Iterator[Asked]:
    """With a prompt that this model can follow."""
    with serving(PROMPTS__FOLDER=str(PROMPTS), QUERY__REWRITE="off", GENERATION__MAX_TOKENS="40") as running:
        yield running


@pytest.fixture(scope="class")
def streams(citing: Asked) -> list[Events]:
    return [citing.stream(question, history=TURNS, include=["sources.text"]) for question in QUESTIONS]


def of(events: Events, kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


def brings_in_little(sentence: str, text: str) -> bool:
    """Whether all numbers of the sentence, and at least half of its other words, stand in the text in any case."""
    said, there = (re.findall(r"\w+", part.casefold()) for part in (sentence, text))
    new = set(said) - set(there)
    return not any(word.isdigit() for word in new) and 2 * len(new) <= len(set(said))


class TestStreamed:
    def test_each_begins_and_ends_and_says_something(self, streams: list[Events], vllm: Endpoint) -> None:
        for events in streams:
            assert [events[0]["type"], events[-1]["type"]] == ["start", "done"]
            assert len(of(events, "done")) == 1
            assert of(events, "error") == []
            assert "".join(event["text"] for event in of(events, "delta")).strip()
            assert events[-1]["finish_reason"] in ("stop", "length", "abstained")
            assert events[-1]["model"] == vllm.model
            assert events[-1]["prompt_version"].startswith("answer@1#")

    def test_citations_resolve_to_the_bytes_that_they_quote(self, streams: list[Events], citing: Asked) -> None:
        cited = 0
        for events in streams:
            sources = {source["id"]: source for found in of(events, "sources") for source in found["sources"]}
            for claim in of(events, "claim"):
                for citation in claim["citations"]:
                    document = citing.document(sources[citation["source"]]["document_id"])
                    assert document[citation["start"] : citation["end"]] == citation["cited_text"]
                    cited += 1
        assert cited  # this model cites most of the time; without one citation nothing was tried

    def test_a_verdict_is_what_the_cited_passage_carries(self, streams: list[Events]) -> None:
        """The verifier supports what stands word for word in what is cited, and in other words only what brings in no
        number and nothing else that most of it is made of. This model makes things up: most is not supported."""
        verdicts = []
        for events in streams:
            texts = {source["id"]: source["text"] for found in of(events, "sources") for source in found["sources"]}
            for claim in of(events, "claim"):
                cited = [texts[citation["source"]] for citation in claim["citations"]]
                if any(find_verbatim(claim["text"], text) for text in cited):
                    assert claim["status"] == "supported", claim
                elif claim["status"] == "supported":
                    assert brings_in_little(claim["text"], " ".join(cited)), (claim, cited)
                if not claim["citations"] and claim["check_required"]:
                    assert claim["status"] == "uncited", claim
                verdicts.append(claim["status"])
        assert NOT_CARRIED & set(verdicts), verdicts
        sys.stdout.write(f"verdicts: {dict(Counter(verdicts))}")

    def test_the_text_is_the_claims_and_what_is_between_them(self, streams: list[Events]) -> None:
        for events in streams:
            text = "".join(event["text"] for event in of(events, "delta"))
            for claim in of(events, "claim"):
                assert text[claim["start"] : claim["end"]] == claim["text"]


class TestCounted:
    def test_usage_and_cost_are_by_vllms_own_count(self, asked: Asked, vllm: Endpoint) -> None:
        before = vllm.counted()
        answer = asked.ask(QUESTIONS[0])
        usage = answer["usage"]
        given, made = usage["input_tokens"], usage["output_tokens"]
        assert min(given, made) > 0
        assert within(5, lambda: vllm.counted() == (before[0] + given, before[1] + made)), (before, vllm.counted())
        assert usage["total_tokens"] == given + made
        assert answer["cost_usd"] == pytest.approx((given * 1 + made * 2) / 1e6)

    def test_the_prompt_begins_alike_so_its_beginning_is_computed_once(self, asked: Asked, vllm: Endpoint) -> None:
        """The rules stand first, word for word the same in every request; the sources have a marker drawn anew."""
        hits = vllm.metric("vllm:prefix_cache_hits_total")
        first, second = (asked.ask(question)["usage"] for question in QUESTIONS[1:3])
        for usage in (first, second):
            assert 0 < usage["cached_input_tokens"] < usage["input_tokens"]
        told = first["cached_input_tokens"] + second["cached_input_tokens"]
        assert within(5, lambda: vllm.metric("vllm:prefix_cache_hits_total") - hits == told)

    def test_the_endpoint_counts_as_the_models_own_tokenizer(self, vllm: Endpoint) -> None:
        """Its file counts what its endpoint counts, so either may be named in the settings."""
        path = os.environ.get("GROUNDED_TEST_VLLM_TOKENIZER")
        if not path:
            pytest.skip("no tokenizer beside the server: set GROUNDED_TEST_VLLM_TOKENIZER")
        from tokenizers import Tokenizer

        file = Tokenizer.from_file(path)
        for text in ("Refunds take 14 days.", "def f(x):\n    return x", "Ärger über 2,5 €", "灯台は1887年", ""):
            assert len(file.encode(text, add_special_tokens=False).ids) == vllm.tokens(text), text

    def test_the_cap_on_an_answer_is_the_models(self, asked: Asked) -> None:
        answer = asked.ask("Tell me everything about refunds.", max_tokens=5)
        assert answer["usage"]["output_tokens"] <= 5
        assert answer["finish_reason"] in ("length", "stop", "abstained")


HISTORY = [
    {"role": "user", "content": "When was the lighthouse of the harbour built?"},
    {"role": "assistant", "content": "The lighthouse of the harbour was built in 1887."},
]


class TestFollowUps:
    def test_the_model_rewrites_and_the_call_is_counted(self, asked: Asked, vllm: Endpoint) -> None:
        """Whatever this model makes of it: the right passage is found, or the rule stood in and that is told."""
        given, made = vllm.counted()
        answer = asked.ask("When was its lamp replaced?", history=HISTORY)
        usage = answer["usage"]
        assert within(5, lambda: vllm.counted() == (given + usage["input_tokens"], made + usage["output_tokens"])), (
            usage,
            given,
            made,
            vllm.counted(),
        )
        assert any(source["title"] == "Harbour" for source in answer["sources"])
        assert set(answer["degraded"]) <= {"rewriter"}
        assert "rewrite" in answer["timings_ms"]

    def test_the_first_question_costs_no_call_more(self, asked: Asked, vllm: Endpoint) -> None:
        before = vllm.counted()
        answer = asked.ask("When was the lamp of the lighthouse replaced?", max_tokens=4)
        assert within(5, lambda: vllm.counted() != before)
        assert vllm.counted()[1] - before[1] <= 4
        assert "rewrite" not in answer["timings_ms"]
