"""What becomes of sentences that fail, from the model's socket to the client: models that write and judge as they are told."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from app.api.answer_schemas import AnswerTold, DossierTold
from app.api.encoders.native import fold
from app.state import StateFolder
from tests.app.serving import Service, events_of, fake_embedder, ingest, settings_for, write
from tests.app.test_filtered import FILES, FIRST, QUESTION, in_pieces
from tests.chat_endpoint import streamed
from tests.model_endpoint import Reply, Seen, endpoint

SECOND = "They are paid by bank transfer."
FOREIGN = "Refunds are brought by penguins."
OPPOSITE = "Refunds are never issued."
UNCITED = "My uncle told me so."
SAID = f"{FOREIGN} [1] {FIRST} [1] {OPPOSITE} [1]\n\n{SECOND} [1] {UNCITED}"


def verdict(body: Any) -> Reply:
    """What the judging model says, by the sentence that it is shown."""
    sentence = body["messages"][-1]["content"]
    if "penguins" in sentence:
        return streamed("unsupported")
    return streamed("contradicted" if "never" in sentence else "supported")


@contextmanager
def serving(tmp_path: Path, *said: str, size: int = 5, **more: Any) -> Iterator[tuple[Service, list[Seen]]]:
    """A service with as many tiers as there are texts, each of which its own model writes."""
    with ExitStack() as open_:
        judge = open_.enter_context(endpoint(verdict))
        writers = [open_.enter_context(endpoint(lambda _, text=text: in_pieces(text, size))) for text in said]  # type: ignore[misc]
        common = {"model": "m", "price_input": 1, "price_output": 1}
        tiers = [{"name": f"writer{n}", "base_url": seen.url, **common} for n, seen in enumerate(writers)]
        tiers.append({"name": "judge", "base_url": judge.url, **common})
        routing = {"verify_tier": "judge", "thresholds": [90.0] * (len(tiers) - 1), **more.pop("routing", {})}
        settings = settings_for(
            tmp_path / "state", tiers=tiers, routing=routing, context={"tokenizer": "estimate"}, **more
        )
        open_.enter_context(fake_embedder())
        open_.enter_context(StateFolder(settings.state).owned())
        service = open_.enter_context(Service(settings))
        service.run(ingest(service.grounded, write(tmp_path / "docs", FILES)))
        yield service, writers


def streamed_answer(service: Service, **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    events = events_of(service.ask(QUESTION, stream=True, **more).content)
    body = fold(events)
    for claim in body["claims"]:
        assert body["answer"][claim["start"] : claim["end"]] == claim["text"]
    return events, body


def told(service: Service, answer_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The dossier and the explanation."""
    return service.get(f"/v1/answers/{answer_id}").json(), service.get(f"/v1/answers/{answer_id}/explain").json()


SAME = ("answer", "claims", "finish_reason", "verification", "abstention")


def both_ways(service: Service) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """The JSON answer, which every stream must come to, and the events by sentence and by token."""
    whole = service.ask(QUESTION).json()
    by_sentence, folded = streamed_answer(service, release="sentence")
    assert [folded[name] for name in SAME] == [whole[name] for name in SAME]
    by_token, folded = streamed_answer(service, release="token")
    assert [folded[name] for name in SAME] == [whole[name] for name in SAME]
    assert not [event for event in by_sentence if event["type"] == "retract"]
    return whole, by_sentence, by_token


MARK = {"uncited": "mark"}
DROP = {"unsupported": "drop", "contradicted": "drop", "uncited": "drop"}


def test_marked_sentences_are_sent_with_what_is_wrong_with_them(tmp_path: Path) -> None:
    with serving(tmp_path, SAID, verification=MARK) as (service, _):
        whole, _, _ = both_ways(service)
        assert whole["answer"] == f"{FOREIGN} {FIRST} {OPPOSITE}\n\n{SECOND} {UNCITED}"
        assert [(c["status"], c["contradicted"], c["contradiction"]) for c in whole["claims"]] == [
            ("unsupported", False, None),
            ("supported", False, 0.0),
            ("unsupported", True, 1.0),
            ("supported", False, 0.0),
            ("uncited", False, None),
        ]
        counts = {"supported": 2, "unsupported": 2, "uncited": 1, "contradicted": 1, "dropped": 0, "partial": 0}
        assert whole["verification"]["status"] == "partly"
        assert {name: whole["verification"][name] for name in counts} == counts


@pytest.mark.parametrize("size", [1, 4, 500])
def test_what_is_dropped_is_not_there_and_is_counted(tmp_path: Path, size: int) -> None:
    with serving(tmp_path, SAID, size=size, verification=DROP) as (service, _):
        whole, by_sentence, by_token = both_ways(service)
        assert whole["answer"] == f"{FIRST}\n\n{SECOND}"
        assert [claim["index"] for claim in whole["claims"]] == [0, 1]
        assert (whole["verification"]["status"], whole["verification"]["dropped"]) == ("passed", 3)
        sent = orjson.dumps(by_sentence).decode()
        assert not any(word in sent for word in ("penguins", "never", "uncle"))
        assert [event["reason"] for event in by_token if event["type"] == "retract"] == ["unsupported"] * 3
        assert "brought" in orjson.dumps(by_token).decode(), "it was out, and was taken back"


def test_the_log_the_dossier_and_the_explanation_tell_the_same(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as log, serving(tmp_path, f"{SAID} [9]", verification=DROP) as (service, _):
        whole = service.ask(QUESTION).json()
        assert whole["verification"]["unknown_marks"] == 1
        dossier, explained = told(service, whole["id"])
        schema = service.get("/openapi.json").json()["components"]["schemas"]
        assert set(AnswerTold.model_validate(whole).claims[0].model_dump()) == set(schema["ClaimTold"]["properties"])
        assert DossierTold.model_validate(dossier).verification == AnswerTold.model_validate(whole).verification
        line = next(line for line in log if line["event"] == "ask.completed")
        assert (line["claims"], line["verification"], line["unknown_marks"]) == (
            {"supported": 2, "dropped": 3},
            "passed",
            1,
        )
        for found in (dossier, explained):
            assert found["verification"] == whole["verification"]
            assert (found["filter"], found["abstention"], found["finish_reason"]) == (None, None, "stop")
        kept = [{name: value for name, value in claim.items() if name != "text"} for claim in whole["claims"]]
        assert dossier["claims"] == kept, "with the quotes, read again"
        assert [source["id"] for source in dossier["sources"]] == [whole["claims"][0]["citations"][0]["source"]]
        stored = orjson.dumps(explained["claims"]).decode()
        assert "Refunds" not in stored
        assert "cited_text" not in stored
        path = f"/v1/documents/{whole['sources'][0]['document_id']}"
        assert service.request("DELETE", path).status_code == 200
        gone, _ = told(service, whole["id"])
        assert {c["cited_text"] for claim in gone["claims"] for c in claim["citations"]} == {None}
        assert gone["sources"] == []
        assert gone["verification"] == whole["verification"]
        assert service.get("/v1/answers/ans_unknown").status_code == 404


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        ({"unsupported": "abstain"}, "unsupported"),
        ({"contradicted": "abstain"}, "contradicted"),
        ({"uncited": "abstain"}, "uncited"),
    ],
)
def test_an_answer_that_must_not_stay_is_an_abstention(tmp_path: Path, policy: dict[str, str], fault: str) -> None:
    with serving(tmp_path, SAID, verification={**MARK, **policy}) as (service, _):
        whole, by_sentence, by_token = both_ways(service)
        assert (whole["finish_reason"], whole["abstention"]["reason"]) == ("abstained", "no_supported_sentence")
        assert whole["abstention"]["nearest"]
        assert whole["claims"] == []
        assert (whole["verification"]["status"], whole["verification"]["withdrawn"]) == ("failed", fault)
        assert "penguins" not in orjson.dumps(by_sentence).decode()
        assert [event["reason"] for event in by_token if event["type"] == "retract"] == ["unsupported"]


def test_when_nothing_that_is_carried_is_left_there_is_no_answer(tmp_path: Path) -> None:
    said = f"## Refunds\n\n{FOREIGN} [1] {OPPOSITE} [1]"
    with serving(tmp_path, said, verification=DROP) as (service, _):
        whole, _, _ = both_ways(service)
        assert (whole["finish_reason"], whole["abstention"]["reason"]) == ("abstained", "no_supported_sentence")
        assert whole["answer"] == whole["abstention"]["message"]
        assert whole["verification"]["dropped"] == 2


class TestEscalation:
    def test_a_false_alarm_costs_nothing_by_default(self, tmp_path: Path) -> None:
        with serving(tmp_path, f"{FOREIGN} [1] {SECOND} [1]", f"{FIRST} [1]") as (service, writers):
            body = service.ask(QUESTION).json()
            assert (body["tier"], body["claims"][0]["status"]) == ("writer0", "unsupported")
            assert [len(seen.bodies) for seen in writers] == [1, 0]

    @pytest.mark.parametrize(
        ("said", "policy", "fault"),
        [
            (f"{FOREIGN} [1]", {"unsupported": "escalate"}, "unsupported"),
            (f"{OPPOSITE} [1]", {"contradicted": "escalate"}, "contradicted"),
            (UNCITED, {}, "uncited"),
        ],
    )
    @pytest.mark.parametrize("release", ["sentence", "token"])
    def test_where_it_is_set_the_answer_is_written_again(
        self, tmp_path: Path, said: str, policy: dict[str, str], fault: str, release: str
    ) -> None:
        with serving(tmp_path, said, f"{FIRST} [1]", verification=policy) as (service, writers):
            _, body = streamed_answer(service, release=release)
            assert (body["answer"], body["tier"], body["verification"]["escalated"]) == (FIRST, "writer1", fault)
            assert body["verification"]["status"] == "passed"
            assert [len(seen.bodies) for seen in writers] == [1, 1]

    def test_the_second_answer_is_held_to_what_is_dropped(self, tmp_path: Path) -> None:
        policy = {"unsupported": "drop", "uncited": "escalate"}
        again = f"{FOREIGN} [1] {FIRST} [1]"
        with serving(tmp_path, UNCITED, again, verification=policy) as (service, _):
            body = service.ask(QUESTION).json()
            assert (body["answer"], body["verification"]["dropped"], body["verification"]["escalated"]) == (
                FIRST,
                1,
                "uncited",
            )


class TestAttribution:
    @pytest.mark.parametrize("release", ["sentence", "token"])
    def test_a_mark_that_was_forgotten_costs_no_second_answer(self, tmp_path: Path, release: str) -> None:
        with serving(tmp_path, f"{FIRST} {SECOND}", f"{FIRST} [1]") as (service, writers):
            _, body = streamed_answer(service, release=release)
            assert [claim["status"] for claim in body["claims"]] == ["supported", "supported"]
            assert [claim["citations"][0]["cited_text"] for claim in body["claims"]] == [FIRST, SECOND]
            assert [len(seen.bodies) for seen in writers] == [1, 0]

    def test_it_can_be_switched_off(self, tmp_path: Path) -> None:
        with serving(tmp_path, f"{FIRST} {SECOND} [1]", verification={"attribute": "off", **MARK}) as (service, _):
            claim, cited = service.ask(QUESTION).json()["claims"]
            assert (claim["status"], claim["citations"], cited["status"]) == ("uncited", [], "supported")


@pytest.mark.parametrize("action", ["drop", "abstain"])
@pytest.mark.parametrize("release", ["sentence", "token"])
def test_data_goes_out_whole_or_not_at_all(tmp_path: Path, action: str, release: str) -> None:
    form = {"type": "json_object"}
    good = orjson.dumps({"when": FIRST}).decode()
    bad = orjson.dumps({"when": FIRST, "who": FOREIGN, "sources": {"/who": [1]}}).decode()
    with serving(tmp_path / "good", good, verification={**MARK, "unsupported": action}) as (service, _):
        body = service.ask(QUESTION, response_format=form, release=release).json()
        assert orjson.loads(body["answer"])["when"] == FIRST
    policy = {"uncited": action, "unsupported": action, "contradicted": action}
    with serving(tmp_path / "bad", bad, verification=policy) as (service, _):
        events, body = streamed_answer(service, response_format=form, release=release)
        assert (body["finish_reason"], body["verification"]["status"]) == ("abstained", "failed")
        assert not [event for event in events if event["type"] == "retract"]
        assert "penguins" not in orjson.dumps(events).decode()
