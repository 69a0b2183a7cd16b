"""What happens while an answer is made, as a closed union. Each wire is a pure encoder of it.

Order: Started, then Progress anywhere, SourcesFound, then TextAdded / ClaimJudged / TextRetracted, at most one Failed,
and exactly one Finished, always last. A ClaimJudged follows the last TextAdded of its text; indexes rise from 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from generation.dossier import Verification
from generation.model import AbstentionReason, Claim, FinishReason, Usage
from ingest.errors import GroundedError
from retrieval.model import Passage

Stage = Literal["queued", "rewriting", "retrieving", "reranking", "generating", "verifying"]
Release = Literal["sentence", "token"]
RetractReason = Literal["unsupported", "pii", "prompt_leak", "unsafe_link", "policy", "restart"]


@dataclass(frozen=True, slots=True)
class Started:
    """The question was admitted. Nothing that is refused gets this far."""

    type: ClassVar[Literal["start"]] = "start"
    answer_id: str
    trace_id: str
    request_id: str
    conversation_id: str | None
    model: str
    collection: str
    release: Release
    created: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """A stage began, `ms` after the start."""

    type: ClassVar[Literal["status"]] = "status"
    stage: Stage
    ms: float
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """The passages of the context in order; source n is `passages[n - 1]`. Once, before the first text; may be empty."""

    type: ClassVar[Literal["sources"]] = "sources"
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class TextAdded:
    """Answer text, without citation marks."""

    type: ClassVar[Literal["delta"]] = "delta"
    text: str


@dataclass(frozen=True, slots=True)
class ClaimJudged:
    """A finished sentence and its verdict."""

    type: ClassVar[Literal["claim"]] = "claim"
    claim: Claim


@dataclass(frozen=True, slots=True)
class TextRetracted:
    """`text = text[:start] + replacement + text[end:]`, offsets as the text stands now."""

    type: ClassVar[Literal["retract"]] = "retract"
    start: int
    end: int
    reason: RetractReason
    replacement: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Something broke after the start. A Finished follows."""

    type: ClassVar[Literal["error"]] = "error"
    error: GroundedError


@dataclass(frozen=True, slots=True)
class Abstention:
    """Why there is no answer, in words, and the nearest passages."""

    reason: AbstentionReason
    message: str
    nearest: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Filtered:
    """What was withheld: the question, or the answer from some sentence on; and for what."""

    stage: Literal["input", "output"]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The end. `cost_nano_usd` counts 1e-9 USD by stage; `confidence` is the generator's own measure, if it has one;
    `verification` is None where the answer did not get as far as its end."""

    type: ClassVar[Literal["done"]] = "done"
    finish_reason: FinishReason
    answer_id: str
    trace_id: str
    model: str
    prompt_version: str | None = None
    tier: str | None = None
    abstention: Abstention | None = None
    usage: Usage = field(default_factory=Usage)
    cost_nano_usd: Mapping[str, int] = field(default_factory=dict)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    cache: Literal["miss", "exact", "semantic"] = "miss"
    confidence: float | None = None
    filter: Filtered | None = None
    verification: Verification | None = None


AnswerEvent = Started | Progress | SourcesFound | TextAdded | ClaimJudged | TextRetracted | Failed | Finished
EVENT_TYPES: tuple[str, ...] = tuple(
    kind.type for kind in (Started, Progress, SourcesFound, TextAdded, ClaimJudged, TextRetracted, Failed, Finished)
)
