"""The native wire: events as server-sent events, and the JSON answer as a fold of the very same payloads.

A payload is the dict that stands in `data:`. Offsets count code points of the text as this wire has sent it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal, assert_never

import orjson
from fastapi.sse import format_sse_event

from app.api.encoders.source import rfc3339, source, source_url
from app.error_table import envelope
from generation.events import (
    Abstention,
    AnswerEvent,
    ClaimJudged,
    Failed,
    Finished,
    Progress,
    SourcesFound,
    Started,
    TextAdded,
    TextRetracted,
)
from generation.model import Citation, Claim
from retrieval.model import Passage

Payload = dict[str, Any]
CitationStyle = Literal["none", "bracket", "markdown"]
Include = Literal["sources.text", "sources.scores"]
STAGES = ("rewrite", "embed", "rerank", "generate", "verify", "moderate")
_NANO = 1_000_000_000
_STOPS = tuple(".!?…:;。！？\"'”’")  # a mark stands directly behind one of these
# JSON allows these as they are, and so do server-sent events; clients that split lines by Unicode rules do not.
_LINE_ENDS = {"\u2028".encode(): b"\\u2028", "\u2029".encode(): b"\\u2029", "\x85".encode(): b"\\u0085"}


class NativeEncoder:
    """Encodes the events of one answer, in order. With a citation style the marks are text of their own, directly behind
    their sentence, and later offsets are shifted by them; that needs release `sentence`, or Started raises ValueError."""

    def __init__(self, base_url: str, include: Collection[str] = (), citation_style: CitationStyle = "none") -> None:
        """`base_url` is where people reach the service; `include` may name `sources.text` and `sources.scores`."""
        self._base_url = base_url.rstrip("/")
        self._include = frozenset(include)
        self._style = citation_style
        self._request_id = ""
        self._known: dict[str, tuple[int, str]] = {}  # n and url by source id
        self._marked = 0  # code points of marks sent so far
        self._shifts: dict[int, int] = {}  # by claim index: marks in front of it

    def encode(self, event: AnswerEvent) -> list[Payload]:
        """One payload; two where a sentence's marks go before its claim."""
        match event:
            case ClaimJudged():
                return self._claim(event.claim)
            case TextRetracted() if self._style != "none":
                raise ValueError("text with citation marks cannot be taken back")
            case _:
                return [{"type": event.type, **self._fields(event)}]

    def _fields(self, event: AnswerEvent) -> Payload:
        fields: Payload
        match event:
            case Started():
                fields = self._start(event)
            case Progress():
                fields = {"stage": event.stage, "ms": round(event.ms, 3)}
                fields |= {} if event.detail is None else {"detail": event.detail}
            case SourcesFound():
                fields = {"sources": self._sources(event.passages)}
            case TextAdded():
                fields = {"text": event.text}
            case ClaimJudged():
                fields = _claim_fields(event.claim, 0)
            case TextRetracted():
                fields = {name: getattr(event, name) for name in ("start", "end", "reason", "replacement")}
            case Failed():
                fields = envelope(event.error, self._request_id)
            case Finished():
                fields = self._done(event)
            case _ as never:
                assert_never(never)
        return fields

    def _start(self, event: Started) -> Payload:
        if self._style != "none" and event.release != "sentence":
            raise ValueError("citation marks need release=sentence")
        self._request_id = event.request_id
        names = ("answer_id", "trace_id", "request_id", "conversation_id", "model", "collection", "release")
        return {name: getattr(event, name) for name in names} | {"created": rfc3339(event.created)}

    def _sources(self, passages: Iterable[Passage]) -> list[Payload]:
        """Passages beyond those of the context (the nearest of an abstention) are numbered on behind them."""
        for passage in passages:
            self._known.setdefault(passage.id, (len(self._known) + 1, source_url(passage, self._base_url)))
        return [source(p, self._known[p.id][0], self._base_url, self._include) for p in passages]

    def _claim(self, claim: Claim) -> list[Payload]:
        again = claim.index in self._shifts  # a later verdict on text that has its marks already
        shift = self._shifts.setdefault(claim.index, self._marked)
        payload = {"type": "claim", **_claim_fields(claim, shift)}
        marks = "" if again or self._style == "none" else self._marks(claim)
        self._marked += len(marks)
        return [{"type": "delta", "text": marks}, payload] if marks else [payload]

    def _marks(self, claim: Claim) -> str:
        ids = dict.fromkeys(c.source for c in claim.citations if c.source in self._known)
        marks = "".join(self._mark(id_) for id_ in ids)
        # A mark behind a closing fence would keep the fence open, and one behind code would read as a part of it.
        apart = claim.text.endswith(("```", "~~~")) or "\n" in claim.text
        return marks if not marks or claim.text[-1:] in _STOPS else f"\n{marks}" if apart else f" {marks}"

    def _mark(self, id_: str) -> str:
        number, url = self._known[id_]
        return f"[{number}]" if self._style == "bracket" else f"[[{number}]]({url})"

    def _done(self, event: Finished) -> Payload:
        cost = {stage: event.cost_nano_usd.get(stage, 0) for stage in (*STAGES, *event.cost_nano_usd)}
        usage = event.usage
        return {
            "finish_reason": event.finish_reason,
            "abstention": self._abstention(event.abstention),
            "filter": None
            if event.filter is None
            else {"stage": event.filter.stage, "categories": list(event.filter.categories)},
            "usage": {
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "total_tokens": usage.total_tokens,
                "cached_input_tokens": usage.cached_input_tokens,
            },
            "cost_usd": usd(sum(cost.values())),
            "cost_by_stage_usd": {stage: usd(nano) for stage, nano in cost.items()},
            "timings_ms": {stage: round(ms, 3) for stage, ms in event.timings_ms.items()},
            "degraded": list(event.degraded),
            "cache": event.cache,
            "model": event.model,
            "tier": event.tier,
            "prompt_version": event.prompt_version,
            "confidence": event.confidence,
            "verification": asdict(event.verification) if event.verification else None,
            "answer_id": event.answer_id,
            "trace_id": event.trace_id,
        }

    def _abstention(self, abstention: Abstention | None) -> Payload | None:
        if abstention is None:
            return None
        nearest = self._sources(abstention.nearest)
        return {"reason": abstention.reason, "message": abstention.message, "nearest": nearest}


def frame(payload: Payload, number: int) -> bytes:
    """A server-sent event; `data:` is one line whatever the text holds."""
    data = orjson.dumps(payload)
    for raw, escaped in _LINE_ENDS.items():
        data = data.replace(raw, escaped)
    return format_sse_event(data_str=data.decode(), event=payload["type"], id=str(number))


def fold(payloads: Iterable[Payload]) -> Payload:
    """The JSON answer: what a client that follows the stream to its end has in hand. After an `error`, its envelope."""
    text, claims = "", dict[int, Payload]()
    head: Payload = {}
    sources: list[Payload] = []
    for payload in payloads:
        match payload["type"]:
            case "delta":
                text += payload["text"]
            case "claim":
                claims[payload["index"]] = _without_type(payload)
            case "retract":
                text = text[: payload["start"]] + payload["replacement"] + text[payload["end"] :]
                claims = {i: kept for i, claim in claims.items() if (kept := _after_retract(claim, payload))}
            case "sources":
                sources = payload["sources"]
            case "error":
                return {"error": payload["error"]}
            case "start" | "done":
                head |= _without_type(payload)
    body = {"answer": text, "sources": sources, "claims": [claims[i] for i in sorted(claims)]}
    return {"id": head.get("answer_id"), "object": "answer", **body, **head}


def _after_retract(claim: Payload, retract: Payload) -> Payload | None:
    """The claim as it stands after the text before it changed; None if its own text did."""
    start, end = retract["start"], retract["end"]
    if claim["start"] >= end:
        shift = len(retract["replacement"]) - (end - start)
        return claim | {"start": claim["start"] + shift, "end": claim["end"] + shift}
    return claim if claim["end"] <= start else None


def _claim_fields(claim: Claim, shift: int) -> Payload:
    return {
        "index": claim.index,
        "start": claim.start + shift,
        "end": claim.end + shift,
        "text": claim.text,
        "status": claim.status,
        "score": claim.score,
        "citations": [_citation(citation) for citation in claim.citations],
        "check_required": claim.check_required,
        "contradiction": claim.contradiction,
        "contradicted": claim.contradicted,
    }


def _citation(citation: Citation) -> Payload:
    names = ("source", "start", "end", "cited_text", "page")
    return {name: getattr(citation, name) for name in names}


def _without_type(payload: Mapping[str, Any]) -> Payload:
    return {name: value for name, value in payload.items() if name != "type"}


def usd(nano: int) -> float:
    """1e-9 USD as USD: the nearest double, which prints with at most nine decimals up to a million dollars."""
    return nano / _NANO
