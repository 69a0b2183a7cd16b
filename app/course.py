"""What has been learnt about an answer on its way; its end is told from this."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from app.flagging import Flags
from app.followups import Standalone
from generation.dossier import Standing, verification_of
from generation.events import Abstention, ClaimJudged, Filtered, Finished, Started, TextAdded, TextRetracted
from generation.model import AbstentionReason, DraftEnd, FinishReason, Meter, Usage
from generation.route import Decision
from retrieval.model import Explanation, Found, Passage

if TYPE_CHECKING:
    from app.pipeline import Question

_WHY: Mapping[AbstentionReason, str] = {
    "collection_empty": "There are no documents in this collection yet.",
    "nothing_retrieved": "Nothing in these documents resembles the question.",
    "below_threshold": "Nothing in these documents is near enough to the question.",
    "not_in_passages": "The passages that come nearest do not answer the question.",
    "no_supported_sentence": "None of the passages that come nearest answers the question.",
}

_FAILED = ("unsupported", "contradicted", "uncited", "abstained")  # outcomes of attempts whose answer did not do


@dataclass(slots=True)
class Course:
    """One answer's. Times in ms since the start; `nano_usd` counts 1e-9 USD by stage."""

    model: str  # that writes the text; whoever speaks where none does
    answer_id: str = field(default_factory=lambda: f"ans_{token_hex(12)}")
    trace_id: str = field(default_factory=lambda: token_hex(16))
    begun: float = field(default_factory=time.perf_counter)
    prompt_version: str | None = None
    tier: str | None = None
    ms: dict[str, float] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    standing: Standing = field(default_factory=Standing)
    usage: Usage = field(default_factory=Usage)
    nano_usd: dict[str, int] = field(default_factory=lambda: {"generate": 0})
    asked: Standalone | None = None
    decision: Decision | None = None
    end: DraftEnd = field(default_factory=DraftEnd)
    search: Explanation | None = None
    flags: Flags | None = None  # of the question and its passages, once these are found
    told: bool = False  # its line is in the log
    meter: Meter = field(default_factory=Meter)  # while a model writes: what it has taken if it is left

    def now(self) -> float:
        """Milliseconds since the start."""
        return (time.perf_counter() - self.begun) * 1e3

    def spend(self, stage: str, usage: Usage, nano_usd: int) -> None:
        """Count what a stage took of models."""
        if usage.total_tokens:
            self.usage += usage
            self.nano_usd[stage] = self.nano_usd.get(stage, 0) + nano_usd

    def lacks(self, *parts: str) -> None:
        """Name parts that the answer had to do without."""
        self.degraded = tuple(dict.fromkeys((*self.degraded, *parts)))

    def note_retrieval(self, found: Found, ms: Mapping[str, float]) -> None:
        """`retrieve` is the wall time of the search without reranking; the embedding of the question is part of it."""
        self.lacks(*found.degraded)
        self.ms |= {stage: ms[stage] for stage in ("embed", "rerank", "pack") if stage in ms}
        self.ms["retrieve"] = ms["total"] - ms.get("rerank", 0.0)

    def note(self, event: object) -> None:
        """What an event says about the answer."""
        if isinstance(event, TextAdded):
            self.ms.setdefault("ttft", self.now())
        elif isinstance(event, ClaimJudged):
            self.standing.judged(event.claim)
        elif isinstance(event, TextRetracted):
            self.standing.retracted(event.start, event.end, len(event.replacement))

    def started(self, question: "Question") -> Started:
        """The first event."""
        return Started(
            answer_id=self.answer_id,
            trace_id=self.trace_id,
            request_id=question.request_id,
            conversation_id=None,
            model="grounded",
            collection=question.collection,
            release=question.release,
            created=datetime.now(UTC),
        )

    def abstained(
        self, finish: FinishReason, reason: AbstentionReason, nearest: tuple[Passage, ...]
    ) -> list[TextAdded | Finished]:
        """The last two events of an answer that is none."""
        message = f"I cannot answer that from these documents. {_WHY[reason]}"
        self.ms.setdefault("ttft", self.now())
        return [TextAdded(message), self.finished(finish, Abstention(reason, message, nearest))]

    def finished(self, reason: FinishReason, abstention: Abstention | None = None) -> Finished:
        """The last event."""
        return Finished(
            finish_reason=reason,
            answer_id=self.answer_id,
            trace_id=self.trace_id,
            model=self.model,
            prompt_version=self.prompt_version,
            tier=self.tier,
            abstention=abstention,
            usage=self.usage,
            cost_nano_usd=dict(self.nano_usd),
            timings_ms={**self.ms, "total": self.now()},
            degraded=self.degraded,
            confidence=self.end.confidence,
            filter=Filtered("output", self.end.filtered) if self.end.filtered else None,
            verification=verification_of(self.standing.claims, self.end, self._escalated()),
        )

    def _escalated(self) -> str | None:
        """For what an answer was thrown away and written again, one tier up."""
        return next((attempt.outcome for attempt in self.end.attempts if attempt.outcome in _FAILED), None)
