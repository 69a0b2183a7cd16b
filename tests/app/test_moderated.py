"""Moderation over HTTP: what is said to whoever asks, and who is asked what."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.commands.ask import print_answer
from app.commands.doctor import _moderation
from app.settings import Settings
from app.state import StateFolder
from tests.app.serving import Service, events_of, fake_embedder, ingest, settings_for, write
from tests.chat_endpoint import chat, generation
from tests.model_endpoint import Reply, Seen, endpoint

FILES = {"refunds.md": "# Refunds\n\nRefunds are issued within 14 days. They are paid by bank transfer.\n"}
QUESTION = "When are refunds issued?"
SAID = "Refunds are issued within 14 days [1]. They are paid by forbidden transfer [1]. That is all [1]."


def verdicts(body: Any) -> Reply:
    """Whatever holds the word `forbidden` is flagged."""
    flagged = ["forbidden" in text for text in body["input"]]
    return Reply(
        {"results": [{"flagged": bad, "categories": {"policy": bad}, "category_scores": {}} for bad in flagged]}
    )


@contextmanager
def serving(
    tmp_path: Path, said: str = SAID, reply: Any = verdicts, sensitive: bool = False, **moderation: Any
) -> Iterator[tuple[Service, Seen, Seen]]:
    with ExitStack() as open_:
        model, moderator = open_.enter_context(chat(said)), open_.enter_context(endpoint(reply))
        chosen = {"backend": "openai", "base_url": moderator.url, **moderation}
        more = {"generation": generation(model), "context": {"tokenizer": "estimate"}, "moderation": chosen}
        more |= {"routing": {"sensitive": ["default"]}} if sensitive else {}
        settings = settings_for(tmp_path / "state", **more)
        open_.enter_context(fake_embedder())
        open_.enter_context(StateFolder(settings.state).owned())
        service = open_.enter_context(Service(settings))
        service.run(ingest(service.grounded, write(tmp_path / "docs", FILES)))
        yield service, model, moderator


def test_a_blocked_question_is_an_error_before_any_model_is_called(tmp_path: Path) -> None:
    with serving(tmp_path) as (service, model, moderator):
        for stream in (False, True):
            reply = service.ask("What is forbidden?", stream=stream)
            assert reply.status_code == 400
            error = reply.json()["error"]
            assert (error["code"], error["details"]) == ("question_blocked", {"categories": ["policy"]})
            assert "forbidden" not in reply.text
        assert model.bodies == []
        assert [body["input"] for body in moderator.bodies] == [["What is forbidden?"]] * 2


def test_what_is_sent_along_is_looked_at_too(tmp_path: Path) -> None:
    history = [{"role": "user", "content": "What is forbidden?"}, {"role": "assistant", "content": "Nothing."}]
    schema = {"type": "object", "properties": {"forbidden": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}}
    with serving(tmp_path) as (service, model, _):
        for more in ({"history": history}, {"response_format": wanted}):
            assert service.ask(QUESTION, **more).json()["error"]["code"] == "question_blocked"
        assert model.bodies == []


def test_sensitive_collections_are_kept_from_an_endpoint_elsewhere(tmp_path: Path) -> None:
    for self_hosted, status in ((False, 503), (True, 200)):
        folder = tmp_path / str(self_hosted)
        with serving(folder, "Refunds.", sensitive=True, self_hosted=self_hosted) as (service, _, moderator):
            assert service.ask(QUESTION, tier="extractive").status_code == status
            assert bool(moderator.bodies) == self_hosted


def test_a_sentence_that_may_not_pass_ends_the_answer_before_it(tmp_path: Path) -> None:
    with serving(tmp_path) as (service, _, moderator):
        events = events_of(service.ask(QUESTION, stream=True).content)
        assert "forbidden" not in str(events)
        done = events[-1]
        assert (done["finish_reason"], done["filter"]) == ("filtered", {"stage": "output", "categories": ["policy"]})
        assert done["usage"]["output_tokens"] == 9
        assert done["abstention"] is None
        body = service.ask(QUESTION).json()
        assert body["answer"] == "Refunds are issued within 14 days."
        assert [claim["status"] for claim in body["claims"]] == ["supported"]
        shown = io.StringIO()
        print_answer(body, shown)
        assert "withheld: policy" in shown.getvalue()
        assert [moderated["input"][0] for moderated in moderator.bodies[:2]] == [QUESTION, body["answer"]]


def test_with_token_the_text_is_taken_back(tmp_path: Path) -> None:
    with serving(tmp_path) as (service, _, _):
        events = events_of(service.ask(QUESTION, stream=True, release="token").content)
        retract, done = events[-2:]
        assert (retract["type"], retract["start"], retract["reason"], retract["replacement"]) == (
            "retract",
            0,
            "policy",
            "",
        )
        assert done["finish_reason"] == "filtered"
        body = service.ask(QUESTION, release="token").json()
        assert (body["answer"], body["claims"], body["finish_reason"]) == ("", [], "filtered")


def test_what_may_pass_is_as_without(tmp_path: Path) -> None:
    with serving(tmp_path, "Refunds are issued within 14 days [1].") as (service, _, _):
        body = service.ask(QUESTION).json()
        assert (body["finish_reason"], body["filter"], body["degraded"]) == ("stop", None, [])
        assert body["answer"] == "Refunds are issued within 14 days."


def test_an_answer_that_is_data_is_looked_at_whole(tmp_path: Path) -> None:
    with serving(tmp_path, '{"a": "forbidden"}') as (service, _, _):
        body = service.ask(QUESTION, response_format={"type": "json_object"}).json()
        assert (body["answer"], body["finish_reason"]) == ("", "filtered")


def test_when_it_fails_nothing_passes_or_it_is_told(tmp_path: Path) -> None:
    def broken(body: Any) -> Reply:
        return Reply({}, status=500)

    with serving(tmp_path / "closed", reply=broken) as (service, model, _):
        reply = service.ask(QUESTION)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "moderation_unavailable")
        assert model.bodies == []
    with serving(tmp_path / "open", reply=broken, on_failure="open") as (service, _, _):
        body = service.ask(QUESTION).json()
        assert (body["degraded"], body["finish_reason"]) == (["moderator"], "stop")
        assert "forbidden" in body["answer"]


def test_only_what_is_wanted_is_looked_at(tmp_path: Path) -> None:
    with serving(tmp_path, answer=False) as (service, _, moderator):
        assert "forbidden" in service.ask(QUESTION).json()["answer"]
        assert [body["input"] for body in moderator.bodies] == [[QUESTION]]


@pytest.mark.parametrize("given", [{"backend": "openai"}, {"backend": "classifier", "model": "x"}, {"threshold": 0}])
def test_half_a_configuration_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(moderation=given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (verdicts, "OK"),
        (lambda _: Reply({}, status=500), "FAIL"),
        (lambda body: verdicts({"input": ["forbidden"]}), "WARN"),
    ],
)
def test_the_doctor_shows_it_a_harmless_word(reply: Any, status: str) -> None:
    with endpoint(reply) as seen:
        chosen = {"backend": "openai", "base_url": seen.url, "on_failure": "open"}
        (check,) = asyncio.run(_moderation(Settings(moderation=chosen)))  # type: ignore[arg-type]
        assert (check.name, check.status) == ("moderation", status)
        assert bool(check.fix) == (status != "OK")
        assert [body["input"] for body in seen.bodies] == [["Hello."]]
    assert asyncio.run(_moderation(Settings())) == []
