"""What an answer looks like on the native wire, for `/openapi.json`. The encoders write it; tests hold the two together."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from generation.dossier import VerificationStatus
from generation.model import ClaimStatus, Fault, FinishReason


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CitationTold(_Told):
    """A quote and where it stands in the document's stored text, in code points, half open."""

    source: str = Field(description="The id of one of the answer's sources.")
    start: int
    end: int
    cited_text: str | None = Field(
        description="document_text[start:end]; null in a dossier where it is not readable now."
    )
    page: int | None


class ClaimTold(_Told):
    """One finished sentence of the answer."""

    index: int
    start: int = Field(description="In code points of the answer's text, half open.")
    end: int
    text: str | None = Field(None, description="Not in a dossier.")
    status: ClaimStatus
    score: float | None = Field(description="The probability that what it cites carries it; null: not measured.")
    contradiction: float | None = Field(
        description="The probability that what it cites says the opposite, rather than the same; null: not measured."
    )
    contradicted: bool = Field(description="Whether that is likely enough; the status is unsupported then.")
    citations: list[CitationTold]
    check_required: bool = Field(description="Whether it asserts something.")


class VerificationTold(_Told):
    """What the checks of an answer came to. Counts are of sentences that stand in the end and assert something."""

    status: VerificationStatus = Field(
        description="passed: every sentence that stands is supported; failed: none is carried even in part, or the answer was "
        "withdrawn; unchecked: there was nothing to check, or nobody to; partly: all else."
    )
    supported: int
    partial: int
    unsupported: int
    uncited: int
    unchecked: int
    contradicted: int = Field(description="Of the unsupported, those of which the passages say the opposite.")
    dropped: int = Field(description="Sentences that the policy left out.")
    withdrawn: Fault | None = Field(description="The fault for which the policy withdrew the whole answer.")
    escalated: str | None = Field(description="Why the answer was written once more, one tier up.")
    unknown_marks: int = Field(description="Citation marks that named no source and were removed.")


class AnswerTold(BaseModel):
    """`POST /ask` without a stream: the fold of the events. It has all fields of the events start and done."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["answer"]
    answer: str
    sources: list[dict[str, Any]]
    claims: list[ClaimTold]
    finish_reason: FinishReason
    verification: VerificationTold | None


class DossierTold(BaseModel):
    """`GET /v1/answers/{id}`."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["answer.dossier"]
    finish_reason: FinishReason
    claims: list[ClaimTold]
    sources: list[dict[str, Any]]
    verification: VerificationTold | None
