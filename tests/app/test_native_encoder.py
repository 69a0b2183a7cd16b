import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.encoders.native import STAGES, NativeEncoder, fold, frame
from app.api.encoders.source import rfc3339, source
from app.errors import InternalError
from generation.errors import UpstreamTruncated
from generation.events import (
    EVENT_TYPES,
    Abstention,
    AnswerEvent,
    ClaimJudged,
    Failed,
    Finished,
    Progress,
    Release,
    SourcesFound,
    Started,
    TextAdded,
    TextRetracted,
)
from generation.model import Citation, Claim, Usage
from tests.passages import passage

BASE = "http://127.0.0.1:8000"
ONE, TWO = passage("Refunds take 14 days.", 1, page=12), passage("Shipping is free.", 2)


def started(release: Release = "sentence") -> Started:
    created = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=timezone(timedelta(hours=1)))
    return Started("ans_1", "trace1", "req_1", None, "grounded", "default", release, created)


def claim(index: int, start: int, text: str, *sources: str, **more: Any) -> ClaimJudged:
    citations = tuple(Citation(id_, 5, 9, "cite", None) for id_ in sources)
    status = "supported" if sources else "uncited"
    fields = {"status": status, "score": 1.0 if sources else None, "check_required": True} | more
    return ClaimJudged(Claim(index=index, start=start, end=start + len(text), text=text, citations=citations, **fields))


def finished(**more: Any) -> Finished:
    return Finished(**({"finish_reason": "stop", "answer_id": "ans_1", "trace_id": "trace1", "model": "m"} | more))


def encode(events: Sequence[AnswerEvent], **more: Any) -> list[dict[str, Any]]:
    encoder = NativeEncoder(BASE, **more)
    return [payload for event in events for payload in encoder.encode(event)]


def read(frames: bytes) -> list[dict[str, Any]]:
    """What a client reads from the wire, splitting lines by every rule of Unicode."""
    found: list[dict[str, Any]] = []
    for event in frames.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in event.splitlines())
        payload = json.loads(fields["data"])
        assert set(fields) == {"event", "id", "data"}
        assert payload["type"] == fields["event"]
        assert int(fields["id"]) == len(found)
        found.append(payload)
    return found


EVENTS: list[AnswerEvent] = [
    started("token"),
    Progress("retrieving", 1.23456),
    Progress("generating", 2.0, "fallback"),
    SourcesFound((ONE, TWO)),
    TextAdded("👋 Refunds take 14 days."),
    claim(0, 0, "👋 Refunds take 14 days.", "src-1"),
    TextAdded(" Bad."),
    claim(1, 24, "Bad."),
    TextRetracted(23, 28, "unsupported"),
    Failed(UpstreamTruncated("The stream broke off.")),
    finished(
        finish_reason="error", usage=Usage(10, 5, 2), cost_nano_usd={"generate": 1500}, timings_ms={"total": 9.87654}
    ),
]


def test_every_event_type_has_its_payload() -> None:
    payloads = encode(EVENTS)
    assert [payload["type"] for payload in payloads] == [event.type for event in EVENTS]
    assert {payload["type"] for payload in payloads} == set(EVENT_TYPES)


def test_the_fields_of_each_event() -> None:
    start, status, detailed, sources, delta, claimed, *_, retract, error, done = encode(EVENTS)
    assert start == {
        "type": "start",
        "answer_id": "ans_1",
        "trace_id": "trace1",
        "request_id": "req_1",
        "conversation_id": None,
        "model": "grounded",
        "collection": "default",
        "release": "token",
        "created": "2026-03-01T11:00:00.500000Z",
    }
    assert status == {"type": "status", "stage": "retrieving", "ms": 1.235}
    assert detailed["detail"] == "fallback"
    assert [found["n"] for found in sources["sources"]] == [1, 2]
    assert delta == {"type": "delta", "text": "👋 Refunds take 14 days."}
    assert claimed == {
        "type": "claim",
        "index": 0,
        "start": 0,
        "end": 23,
        "text": "👋 Refunds take 14 days.",
        "status": "supported",
        "score": 1.0,
        "check_required": True,
        "citations": [{"source": "src-1", "start": 5, "end": 9, "cited_text": "cite", "page": None}],
        "contradiction": None,
        "contradicted": False,
    }
    assert retract == {"type": "retract", "start": 23, "end": 28, "reason": "unsupported", "replacement": ""}
    assert error["error"]["code"] == "upstream_truncated"
    assert error["error"]["request_id"] == "req_1"
    assert done == {
        "type": "done",
        "finish_reason": "error",
        "abstention": None,
        "filter": None,
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "cached_input_tokens": 2},
        "cost_usd": 0.0000015,
        "cost_by_stage_usd": dict.fromkeys(STAGES, 0.0) | {"generate": 0.0000015},
        "timings_ms": {"total": 9.877},
        "degraded": [],
        "cache": "miss",
        "model": "m",
        "tier": None,
        "prompt_version": None,
        "confidence": None,
        "verification": None,
        "answer_id": "ans_1",
        "trace_id": "trace1",
    }


def test_a_source_and_what_include_adds() -> None:
    plain = source(ONE, 1, BASE)
    assert plain == {
        "n": 1,
        "id": "src-1",
        "document_id": "doc_1",
        "version": 1,
        "filename": "guide-1.md",
        "title": "Guide 1",
        "url": f"{BASE}/sources/src-1#page=12",
        "media_type": "text/markdown",
        "page": 12,
        "heading_path": ["Guide 1", "Refunds"],
        "start": 100,
        "end": 121,
        "bbox": None,
        "modified_at": "2026-01-02T03:04:05Z",
        "metadata": {},
    }
    assert source(TWO, 2, BASE)["url"] == f"{BASE}/sources/src-2"
    full = source(ONE, 1, BASE, ("sources.text", "sources.scores"))
    assert full["text"] == ONE.text
    assert full["scores"] == {"dense": 0.5, "bm25": None, "fused": 0.25, "rerank": None}
    (found,) = encode([SourcesFound((ONE,))], include=["sources.text"])
    assert "text" in found["sources"][0]
    assert "scores" not in found["sources"][0]


def test_frames_hold_one_line_of_data_whatever_the_text() -> None:
    text = 'a\nb\r\nc\rd\u2028e\u2029f\x85g\x0bh\x1ci\x00"\\ 👋 event: done\n\ndata: x'
    (payload,) = encode([TextAdded(text)])
    raw = frame(payload, 0)
    assert raw.endswith(b"\n\n")
    assert raw.count(b"\n") == 4
    (back,) = read(raw)
    assert back["text"] == text


def test_the_json_answer_is_the_fold_of_the_stream() -> None:
    events: list[AnswerEvent] = [*EVENTS[:-2], finished(usage=Usage(10, 5, 2))]
    payloads = encode(events)
    wire = b"".join(frame(payload, number) for number, payload in enumerate(payloads))
    body = fold(payloads)
    assert fold(read(wire)) == json.loads(json.dumps(body)) == body
    assert body["answer"] == "👋 Refunds take 14 days."
    assert [found["index"] for found in body["claims"]] == [0]
    assert body["id"] == "ans_1"
    assert body["object"] == "answer"
    start, done = payloads[0], payloads[-1]
    assert (set(start) | set(done)) - {"type"} <= set(body)
    assert body["model"] == "m"
    assert "type" not in body


def test_an_error_makes_the_answer_its_envelope() -> None:
    body = fold(encode(EVENTS))
    assert set(body) == {"error"}
    assert body["error"]["code"] == "upstream_truncated"


def test_a_later_claim_replaces_the_earlier() -> None:
    late = claim(0, 0, "One.", "src-1", status="partial", score=0.5)
    body = fold(encode([started(), SourcesFound((ONE,)), TextAdded("One."), claim(0, 0, "One."), late, finished()]))
    assert [(found["index"], found["status"]) for found in body["claims"]] == [(0, "partial")]


def test_retractions_move_and_drop_claims_and_a_restart_begins_again() -> None:
    events: list[AnswerEvent] = [
        started("token"),
        SourcesFound(()),
        TextAdded("One. Two. Six."),
        claim(0, 0, "One."),
        claim(1, 5, "Two."),
        claim(2, 10, "Six."),
        TextRetracted(5, 9, "pii", "👋"),
    ]
    body = fold(encode(events))
    assert body["answer"] == "One. 👋 Six."
    assert [(found["index"], found["start"], found["end"]) for found in body["claims"]] == [(0, 0, 4), (2, 7, 11)]
    again: list[AnswerEvent] = [
        *events,
        TextRetracted(0, 11, "restart"),
        TextAdded("New."),
        claim(0, 0, "New."),
        finished(),
    ]
    body = fold(encode(again))
    assert body["answer"] == "New."
    assert [found["text"] for found in body["claims"]] == ["New."]


def test_an_abstention_with_its_nearest_sources() -> None:
    abstention = Abstention("not_in_passages", "I cannot answer that.", (TWO, passage("x", 9)))
    end = finished(finish_reason="abstained", abstention=abstention)
    body = fold(encode([started(), SourcesFound((ONE, TWO)), TextAdded("I cannot answer that."), end]))
    assert body["answer"] == "I cannot answer that."
    assert body["claims"] == []
    assert body["abstention"]["reason"] == "not_in_passages"
    assert [(found["n"], found["id"]) for found in body["abstention"]["nearest"]] == [(2, "src-2"), (3, "src-9")]
    assert [found["n"] for found in body["sources"]] == [1, 2]


@given(st.dictionaries(st.sampled_from([*STAGES, "other"]), st.integers(0, 10**14)))
def test_cost_is_exact_to_nine_decimals(cost: dict[str, int]) -> None:
    raw = frame(encode([finished(cost_nano_usd=cost)])[0], 0).decode()
    done = json.loads(raw.partition("data: ")[2].partition("\n")[0], parse_float=Decimal)
    assert done["cost_usd"] == sum(done["cost_by_stage_usd"].values()) == Decimal(sum(cost.values())) / 10**9


MARKED: list[AnswerEvent] = [
    started(),
    SourcesFound((ONE, TWO)),
    TextAdded("👋 One."),
    claim(0, 0, "👋 One.", "src-1", "src-2", "src-1"),
    TextAdded(" Two."),
    claim(1, 7, "Two."),
    TextAdded(" Three."),
    claim(2, 12, "Three.", "src-2", "src-unknown"),
    finished(),
]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("bracket", "👋 One.[1][2] Two. Three.[2]"),
        (
            "markdown",
            f"👋 One.[[1]]({BASE}/sources/src-1#page=12)[[2]]({BASE}/sources/src-2) Two. Three.[[2]]({BASE}/sources/src-2)",
        ),
        ("none", "👋 One. Two. Three."),
    ],
)
def test_marks_stand_behind_their_sentence_and_count(style: str, expected: str) -> None:
    payloads = encode(MARKED, citation_style=style)
    body = fold(payloads)
    assert body["answer"] == expected
    text = ""
    for payload in payloads:
        text += payload["text"] if payload["type"] == "delta" else ""
        if payload["type"] == "claim":
            assert text[payload["start"] : payload["end"]] == payload["text"]


def test_a_second_verdict_brings_no_second_mark() -> None:
    events: list[AnswerEvent] = [*MARKED[:4], claim(0, 0, "👋 One.", "src-1", status="partial"), *MARKED[4:]]
    body = fold(encode(events, citation_style="bracket"))
    assert body["answer"] == "👋 One.[1][2] Two. Three.[2]"
    assert body["claims"][0]["status"] == "partial"


def test_a_mark_does_not_keep_a_fence_open() -> None:
    fenced: list[AnswerEvent] = [
        started(),
        SourcesFound((ONE,)),
        TextAdded("```\nx\n```"),
        claim(0, 0, "```\nx\n```", "src-1"),
    ]
    assert fold(encode(fenced, citation_style="bracket"))["answer"] == "```\nx\n```\n[1]"


def test_marks_need_whole_sentences() -> None:
    with pytest.raises(ValueError, match="release=sentence"):
        encode([started("token")], citation_style="bracket")
    with pytest.raises(ValueError, match="taken back"):
        encode([started(), TextRetracted(0, 1, "pii")], citation_style="bracket")


def test_times_are_utc() -> None:
    assert rfc3339(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"


SENTENCE = st.text(alphabet="ab👋é\u2028`.[]1 ", min_size=1, max_size=8).map(lambda text: f"x{text.strip()}.")


@st.composite
def histories(draw: Callable[..., Any]) -> list[AnswerEvent]:
    """A legal list of events: see the Order in events.py."""
    release = draw(st.sampled_from(["sentence", "token"]))
    events: list[AnswerEvent] = [started(release), Progress("retrieving", 1.0)]
    if draw(st.booleans()):
        events += [SourcesFound((ONE, TWO)), Progress("generating", 2.0)]
        events += draw(_writing(release))
    if draw(st.integers(0, 3)) == 0:
        return [*events, Failed(InternalError("x")), finished(finish_reason="error")]
    return [*events, finished(cost_nano_usd={"generate": draw(st.integers(0, 10**10))})]


@st.composite
def _writing(draw: Callable[..., Any], release: Release) -> list[AnswerEvent]:
    events: list[AnswerEvent] = []
    length, index = 0, 0
    for text in draw(st.lists(SENTENCE, max_size=6)):
        lead = draw(st.sampled_from([" ", "\n\n"])) if length else ""
        cut = draw(st.integers(0, len(text))) if release == "token" else 0
        events += (
            [TextAdded(piece) for piece in (lead + text[:cut], text[cut:]) if piece]
            if cut
            else [TextAdded(lead + text)]
        )
        events.append(claim(index, length + len(lead), text, *draw(st.sets(st.sampled_from(["src-1", "src-2"])))))
        length, index = length + len(lead) + len(text), index + 1
        if release == "token" and draw(st.integers(0, 3)) == 0:
            start = draw(st.integers(0, length))
            end = draw(st.integers(start, length))
            events.append(TextRetracted(start, end, "policy", draw(st.sampled_from(["", "👋", "[…]"]))))
            length += len(events[-1].replacement) - (end - start)  # type: ignore[union-attr]
    return events


@settings(max_examples=300, deadline=None)
@given(histories(), st.sampled_from(["none", "bracket", "markdown"]))
def test_random_legal_histories(events: list[AnswerEvent], style: str) -> None:
    style = style if events[0].release == "sentence" else "none"  # type: ignore[union-attr]
    payloads = encode(events, citation_style=style)
    types = [payload["type"] for payload in payloads]
    assert types[0] == "start"
    assert types.count("done") == 1
    assert types[-1] == "done"
    wire = b"".join(frame(payload, number) for number, payload in enumerate(payloads))
    assert read(wire) == json.loads(json.dumps(payloads))
    for end in range(len(payloads) + 1):
        seen = [payload for payload in payloads[:end] if payload["type"] != "error"]
        body = fold(seen)
        assert all(body["answer"][c["start"] : c["end"]] == c["text"] for c in body["claims"])
    expected = {"error"} if "error" in types else {"answer", "sources", "claims", "finish_reason", "cost_usd"}
    assert expected <= set(fold(payloads))
