"""Every reason for which there is no answer, from a running service: as JSON, by sentence and by token, and at the terminal."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.api.encoders.native import fold
from tests.app.serving import events_of, write
from tests.chat_endpoint import streamed
from tests.journeys.test_service import Served, environment, grounded, serving
from tests.model_endpoint import Reply, Seen, endpoint

pytestmark = [pytest.mark.models, pytest.mark.slow]

FILES: dict[str, str | bytes] = {
    "refunds.md": "# Refunds\n\nRefunds are issued within 14 days of the order. Late refunds take 30 days.\n",
    "harbour.md": "# Harbour\n\nThe lighthouse of the harbour was built in 1887. The harbour master has the key.\n",
}
KNOWN, NEAR, FOREIGN = (
    "When was the lighthouse of the harbour built?",
    "Who designed the lighthouse of the harbour?",
    "Who owns the lighthouse of the harbour?",
)
FAR = "Which guitarist recorded the most jazz albums in Brazil?"
SAYS = {
    KNOWN: "The lighthouse of the harbour was built in 1887. [1]",
    NEAR: "NOT_IN_SOURCES",
    FOREIGN: "Penguins from Peru bought it for a hundred bananas in 2003. [1]",
}
GOOD = [
    {"role": "user", "content": KNOWN},
    {"role": "assistant", "content": "The lighthouse of the harbour was built in 1887."},
]
WHERE = {"filename": ["nowhere.md"]}
# question, what else is asked for, the reason, and whether the model is asked
CASES: list[tuple[str, dict[str, Any], str, bool]] = [
    (FAR, {}, "below_threshold", False),
    (NEAR, {}, "not_in_passages", True),
    (FOREIGN, {}, "no_supported_sentence", True),
    (KNOWN, {"filters": WHERE}, "nothing_retrieved", False),
    (KNOWN, {"collection": "empty"}, "collection_empty", False),
    (FAR, {"tier": "extractive"}, "below_threshold", False),
]


def says(body: Any) -> Reply:
    """What the model makes of the last question in its prompt."""
    asked = body["messages"][-1]["content"]
    return streamed(next((text for question, text in SAYS.items() if question in asked), "I was not told."))


def ingested(folder: Path) -> Path:
    """A state folder with the documents in two collections."""
    write(folder / "docs", FILES)
    for words in ((), ("--collection", "empty")):
        ran = grounded("ingest", str(folder / "docs"), *words, env=environment(folder / "state"))
        assert ran.returncode == 0, ran.stderr
    return folder / "state"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ingested(tmp_path_factory.mktemp("abstaining"))


@contextmanager
def with_chat(state: Path, folder: Path, **settings: str) -> Iterator[tuple[Served, Seen]]:
    with endpoint(says) as seen:
        chat = {"BACKEND": "openai_chat", "BASE_URL": seen.url, "MODEL": "m", "PRICE_INPUT": "1", "PRICE_OUTPUT": "1"}
        env = {f"GROUNDED_GENERATION__{name}": value for name, value in chat.items()} | settings
        env["GROUNDED_CONTEXT__TOKENIZER"] = "estimate"  # the endpoint counts nothing
        with serving(state, folder, **env) as served:
            yield served, seen


@pytest.fixture(scope="module")
def running(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Seen]]:
    with with_chat(state, tmp_path_factory.mktemp("log"), GROUNDED_QUERY__REWRITE="rules") as both:
        served, _ = both
        for document in json.loads(served.http("GET", "/v1/documents?collection=empty")[1])["data"]:
            assert served.http("DELETE", f"/v1/documents/{document['id']}")[0] in (200, 202)
        yield both


def asked(served: Served, **body: Any) -> dict[str, Any]:
    status, content = served.http("POST", "/ask", body)
    assert status == 200, content
    answer: dict[str, Any] = fold(events_of(content)) if body.get("stream") else json.loads(content)
    return answer


def known(answer: dict[str, Any]) -> tuple[Any, ...]:
    told = answer["abstention"]
    return (
        answer["answer"],
        answer["finish_reason"],
        told["reason"],
        [near["id"] for near in told["nearest"]],
        answer["claims"],
    )


@pytest.mark.parametrize(("question", "more", "reason", "pays"), CASES)
def test_each_reason_in_each_form(
    running: tuple[Served, Seen], question: str, more: dict[str, Any], reason: str, pays: bool
) -> None:
    served, model = running
    before = len(model.bodies)
    forms: list[dict[str, Any]] = [{}, {"stream": True, "release": "sentence"}, {"stream": True, "release": "token"}]
    told = [asked(served, question=question, **more, **form) for form in forms]
    assert len(model.bodies) - before == (len(forms) if pays else 0)
    for answer in told:
        assert answer["abstention"]["reason"] == reason
        assert answer["finish_reason"] == (
            "no_context" if reason in ("nothing_retrieved", "collection_empty") else "abstained"
        )
        assert answer["answer"] == answer["abstention"]["message"]
        assert answer["claims"] == []
        assert known(answer) == known(told[0])
        assert bool(answer["abstention"]["nearest"]) == (answer["finish_reason"] == "abstained")
        assert bool(answer["usage"]["total_tokens"]) == pays
    assert ("Penguins" in json.dumps(told)) is False


def test_the_model_answers_what_it_can(running: tuple[Served, Seen]) -> None:
    answer = asked(running[0], question=KNOWN)
    assert (answer["finish_reason"], answer["abstention"], answer["claims"][0]["status"]) == ("stop", None, "supported")


@pytest.mark.parametrize(("question", "more", "reason", "pays"), CASES[:3])
def test_a_good_conversation_before_it_changes_nothing(
    running: tuple[Served, Seen], question: str, more: dict[str, Any], reason: str, pays: bool
) -> None:
    del pays
    alone = known(asked(running[0], question=question, **more))
    for turns in (GOOD, GOOD * 5):
        after = asked(running[0], question=question, history=turns, **more)
        assert known(after) == alone
        assert after["abstention"]["reason"] == reason


def test_by_setting_every_model_is_asked_and_everything_shown(tmp_path: Path) -> None:
    shown = {"GROUNDED_ABSTENTION__BEFORE_MODEL": "ask", "GROUNDED_VERIFICATION__NONE_CARRIED": "mark"}
    with with_chat(ingested(tmp_path), tmp_path, **shown) as (served, model):
        assert asked(served, question=FAR)["answer"] == "I was not told."
        foreign = asked(served, question=FOREIGN)
        assert foreign["answer"].startswith("Penguins")
        assert foreign["claims"][0]["status"] in ("unsupported", "uncited")
        assert len(model.bodies) == 2


class TestTerminal:
    """A question that has no answer was asked in vain and not wrongly: exit code 0, the reason, and what comes nearest."""

    def test_far_off_with_the_nearest(self, state: Path) -> None:
        ran = grounded("ask", FAR, env=environment(state))
        assert ran.returncode == 0, ran.stderr
        assert "I cannot answer that from these documents." in ran.stdout
        assert re.search(r"nearest: \w+\.md", ran.stdout)

    def test_as_json(self, state: Path) -> None:
        ran = grounded("ask", FAR, "--json", env=environment(state))
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["abstention"]["reason"] == "below_threshold"

    def test_without_documents(self, running: tuple[Served, Seen], state: Path) -> None:
        del running
        ran = grounded("ask", KNOWN, "--collection", "empty", "--json", env=environment(state))
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["abstention"]["reason"] == "collection_empty"
