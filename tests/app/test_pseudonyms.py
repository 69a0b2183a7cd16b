"""A tier with `pii = "placeholders"`: its endpoint sees no personal data, and the reader sees no placeholder."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.app.serving import Service, events_of, served
from tests.chat_endpoint import streamed
from tests.model_endpoint import Reply, Seen, endpoint

MAIL, CARD, PHONE = "ann@example.org", "4111 1111 1111 1111", "(415) 555-2671"
FILES = {"refunds.md": f"# Refunds\n\nFor refunds of card {CARD} write to {MAIL} or call {PHONE} within 14 days.\n"}
QUESTION = f"Whom do I write to for refunds? I am {MAIL}."


def obliging(body: Any) -> Reply:
    """Says what the first source says, or repeats the question where it has none."""
    asked = body["messages"][-1]["content"]
    said = re.search(r"For refunds .* 14 days\.", asked)
    if "response_format" in body:
        return streamed(json.dumps({"said": said[0] if said else ""}))
    if said:
        return streamed(f"{said[0][:-1]} [1].")
    lines = [line for line in asked.splitlines() if line.startswith("Question:")]
    return streamed(lines[-1].removeprefix("Question: ") if lines else "simple")


@contextmanager
def serving(tmp_path: Path, pii: str, **more: Any) -> Iterator[tuple[Service, Seen]]:
    with ExitStack() as open_:
        seen = open_.enter_context(endpoint(obliging))
        tier = {"name": "out", "base_url": seen.url, "model": "m", "price_input": 1, "price_output": 2, "pii": pii}
        settings = {"tiers": [tier], "context": {"tokenizer": "estimate"}, **more}
        yield open_.enter_context(served(tmp_path, FILES, **settings)), seen


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_the_endpoint_sees_none_and_the_reader_all(tmp_path: Path, release: str) -> None:
    more = {"routing": {"classifier": "out", "verify_tier": "out"}, "query": {"rewrite": "auto"}}
    with serving(tmp_path, "placeholders", **more) as (service, seen):
        history = [
            {"role": "user", "content": f"My card is {CARD}, my number is {PHONE}."},
            {"role": "assistant", "content": f"Then write to {MAIL}."},
        ]
        events = events_of(
            service.ask(f"And whom for refunds of {CARD}?", stream=True, release=release, history=history).content
        )
        answer = "".join(event["text"] for event in events if event["type"] == "delta")
        assert answer == f"For refunds of card {CARD} write to {MAIL} or call {PHONE} within 14 days."
        claim = next(event for event in events if event["type"] == "claim")
        assert [citation["cited_text"] for citation in claim["citations"]] == [answer]
        assert claim["status"] == "supported"
        sent = json.dumps(seen.bodies)
        assert len(seen.bodies) >= 2
        for value in (MAIL, CARD, PHONE, "4111", "555-2671"):
            assert value not in sent
        assert "EMAIL_1" in sent


def test_answers_that_are_data(tmp_path: Path) -> None:
    with serving(tmp_path, "placeholders") as (service, seen):
        body = service.ask(QUESTION, response_format={"type": "json_object"}).json()
        assert json.loads(body["answer"])["said"].endswith(f"write to {MAIL} or call {PHONE} within 14 days.")
        assert MAIL not in json.dumps(seen.bodies)


def test_without_it_all_is_sent(tmp_path: Path) -> None:
    with serving(tmp_path, "send") as (service, seen):
        assert MAIL in service.ask(QUESTION).json()["answer"]
        assert MAIL in json.dumps(seen.bodies)
