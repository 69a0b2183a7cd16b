"""What is told of an answer once it is over: one line in the log, and its explanation. Neither holds text."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from app.course import Course
from app.explanations import AnswerExplanation, Explanations
from app.flagging import Flags, QuestionFlags, flagged
from generation.events import Finished
from generation.filters.injection import plain_signs
from generation.model import Claim
from retrieval.filters import EVERYTHING
from retrieval.model import Context

if TYPE_CHECKING:
    from app.pipeline import Question


class Recount:
    """Tells. `log_content` puts the question's text into the line, for operators who ask for it."""

    def __init__(
        self,
        explanations: Explanations | None = None,
        *,
        log_content: bool = False,
        flags: QuestionFlags | None = None,
    ) -> None:
        """Without `flags` a question is flagged for its phrases alone."""
        self._explanations = explanations
        self._flags = flags
        self._log_content = log_content

    def tell(self, question: "Question", course: Course, end: Finished, error: str | None = None) -> None:
        """The end of an answer, once."""
        course.told = True
        self._keep(question, course, end)
        structlog.get_logger().info(
            "ask.completed",
            request_id=question.request_id,
            trace_id=end.trace_id,
            answer_id=end.answer_id,
            tenant=question.principal.tenant,
            key_id=question.principal.key_id,
            collection=question.collection,
            finish_reason=end.finish_reason,
            reason=end.abstention.reason if end.abstention else None,
            error=error,
            flags=list(course.flags.question if course.flags else plain_signs(question.text)),
            model=end.model,
            tier=end.tier,
            prompt_version=end.prompt_version,
            cache=end.cache,
            degraded=list(end.degraded),
            claims=end.verification.counts if end.verification else {},
            verification=end.verification.status if end.verification else None,
            unknown_marks=course.end.unknown_marks,
            input_tokens=end.usage.input_tokens,
            output_tokens=end.usage.output_tokens,
            cost_usd=sum(end.cost_nano_usd.values()) / 1e9,
            ms={stage: round(ms, 2) for stage, ms in end.timings_ms.items()},
            **({"question": question.text} if self._log_content else {}),
        )

    def flags(self, question: "Question", context: Context) -> Flags:
        """What there is to say of a question and of what was found for it; it decides nothing."""
        if self._flags is None:
            return Flags(plain_signs(question.text), flagged(context))
        return self._flags.look(question.text, context)

    def _keep(self, question: "Question", course: Course, end: Finished) -> None:
        search = course.search
        if search is None or self._explanations is None:
            return
        kept = AnswerExplanation(
            answer_id=course.answer_id,
            collection_id=search.asked.scope.collection_id,
            created_at=datetime.now(UTC),
            search=search,
            finish_reason=end.finish_reason,
            model=end.model,
            prompt_version=end.prompt_version,
            cost_nano_usd=sum(end.cost_nano_usd.values()),
            rewritten=search.asked.text != question.text,
            narrowed=question.filters != EVERYTHING,
            tier=end.tier,
            routing=_routing(course),
            cache=end.cache,
            dossier=_dossier(course, end),
            owner=question.principal,
        )
        self._explanations.add(kept)


def _dossier(course: Course, end: Finished) -> dict[str, Any]:
    """What the checks, the policy and the filters did: ids and numbers."""
    return {
        "verification": asdict(end.verification) if end.verification else None,
        "claims": [_claim(claim) for claim in course.standing.claims],
        "filter": asdict(end.filter) if end.filter else None,
        "abstention": end.abstention.reason if end.abstention else None,
        "degraded": list(end.degraded),
        "flags": asdict(course.flags) if course.flags else None,
    }


def _claim(claim: Claim) -> dict[str, Any]:
    """Without its words, and without those that it cites."""
    told = asdict(claim)
    del told["text"]
    for citation in told["citations"]:
        del citation["cited_text"]
    return told


def _routing(course: Course) -> dict[str, Any] | None:
    """The decision, its features and every attempt: names and numbers."""
    if course.decision is None:
        return None
    attempts = [
        {
            "model": attempt.model,
            "tier": attempt.tier,
            "outcome": attempt.outcome,
            "ms": round(attempt.ms, 2),
            **asdict(attempt.usage),
        }
        for attempt in course.end.attempts
    ]
    return {**asdict(course.decision), "attempts": attempts}
