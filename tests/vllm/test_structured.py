"""Structured output: vLLM's own dialect, which our requests rely on, and an answer of ours that is held to a schema."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vllm.conftest import Asked, Serving
from tests.vllm.endpoint import Endpoint

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "year": {"type": "integer", "minimum": 1000, "maximum": 2999},
        "place": {"enum": ["harbour", "station"]},
        "carried": {"type": "boolean"},
    },
    "required": ["year", "place", "carried"],
    "additionalProperties": False,
}
ASKED = [{"role": "user", "content": "The lighthouse of the harbour was built in 1887. Which year, and where?"}]


def format_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def test_a_model_that_makes_things_up_still_fills_the_schema(vllm: Endpoint) -> None:
    body = {"messages": ASKED, "temperature": 0, "max_tokens": 100, "response_format": format_of(SCHEMA)}
    reply = vllm.post("/v1/chat/completions", **body).raise_for_status().json()
    (choice,) = reply["choices"]
    assert choice["finish_reason"] == "stop"
    _check(choice["message"]["content"])


def test_streamed_too_and_in_the_chunks_that_our_reader_reads(vllm: Endpoint) -> None:
    from generation.adapters.chat_stream import EventData, Reply

    body = {"messages": ASKED, "temperature": 0, "max_tokens": 100, "response_format": format_of(SCHEMA)}
    whole = vllm.post("/v1/chat/completions", **body, stream=True, stream_options={"include_usage": True})
    events, reply = EventData(), Reply()
    text = "".join(reply.read(data)[0] for data in [*events.feed(whole.content), *events.close()])
    reply.check_complete()
    assert reply.usage is not None
    assert reply.usage.output_tokens > 0
    _check(text)


def test_cut_at_the_cap_it_is_told_as_cut(vllm: Endpoint) -> None:
    """A schema holds as far as the text goes: what is cut is no JSON, and only the finish reason says so."""
    body = {"messages": ASKED, "temperature": 0, "max_tokens": 3, "response_format": format_of(SCHEMA)}
    (choice,) = vllm.post("/v1/chat/completions", **body).raise_for_status().json()["choices"]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["content"])


def test_a_schema_that_is_none_is_refused_and_not_ignored(vllm: Endpoint) -> None:
    bad = format_of({"type": "no such type"})
    reply = vllm.post("/v1/chat/completions", messages=ASKED, max_tokens=8, response_format=bad)
    assert reply.status_code == 400
    assert "error" in reply.json()


# The root is a list, so that there is no place for the way out that a model of this size always takes.
ROWS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 2,
    "items": {
        "type": "object",
        "properties": {
            "topic": {"enum": ["lighthouse", "refunds"]},
            "sentence": {"type": "string", "pattern": "^[A-Z][a-z]{2,8}( [a-z]{2,8}){2,4} \\[[1-3]\\]\\.$"},
        },
        "required": ["topic", "sentence"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def asked(serving: Serving) -> Iterator[Asked]:
    """With every question put to the model, also one that no passage comes near."""
    with serving(GENERATION__MAX_TOKENS="160", ABSTENTION__BEFORE_MODEL="ask") as running:
        yield running


class TestOurs:
    def test_an_answer_is_the_data_that_was_asked_for(self, asked: Asked, vllm: Endpoint) -> None:
        """Its sentences are judged like any other: the schema makes this model cite, and what it cites carries nothing."""
        wanted = {"type": "json_schema", "json_schema": {"name": "rows", "schema": ROWS, "strict": True}}
        answer = asked.ask("What is known of the lighthouse?", response_format=wanted)
        assert (answer["finish_reason"], answer["model"]) == ("stop", vllm.model)
        rows = json.loads(answer["answer"])
        assert 1 <= len(rows) <= 2
        assert {row["topic"] for row in rows} <= {"lighthouse", "refunds"}
        assert len(answer["claims"]) == len(rows)
        for claim in answer["claims"]:
            assert answer["answer"][claim["start"] : claim["end"]] == claim["text"]
            assert claim["status"] != "supported"

    def test_the_way_out_is_an_abstention(self, asked: Asked) -> None:
        answer = asked.ask("Which moons has Jupiter?", response_format=format_of(SCHEMA))
        if answer["finish_reason"] == "abstained":
            assert answer["abstention"]["reason"] == "not_in_passages"
        else:
            _check(answer["answer"])


def _check(text: str) -> None:
    said = json.loads(text)
    assert set(said) == set(SCHEMA["required"])
    assert isinstance(said["year"], int)
    assert said["place"] in SCHEMA["properties"]["place"]["enum"]
    assert isinstance(said["carried"], bool)
