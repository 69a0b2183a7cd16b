"""What replies look like, for `/openapi.json`; answers and dossiers stand in `answer_schemas`. The routes write them, and the
fuzzing of the whole interface (`python -m tests.api_fuzz`) holds the two together."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.error_table import ErrorType
from app.jobs import JobStatus
from app.webhooks import WebhookState
from ingest.generation import State


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorBody(_Told):
    """Why a request was not carried out, and what to do."""

    message: str = Field(description="The cause.")
    type: ErrorType
    param: str | None = Field(description="The field that is wrong, if it is one.")
    code: str = Field(description="See the chapter Errors.")
    next_step: str
    request_id: str
    details: dict[str, Any] | None = None


class ErrorTold(_Told):
    """The one envelope of every refusal."""

    error: ErrorBody


class WhyTold(_Told):
    """Why a file or a job failed."""

    code: str
    message: str
    next_step: str


class LiveTold(_Told):
    """`GET /health/live`."""

    status: Literal["ok"]


class ReadyTold(_Told):
    """`GET /health/ready`."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, str]
    details: dict[str, str | None]


class CollectionTold(_Told):
    """A collection, with what of it may be read."""

    name: str
    documents: int
    chunks: int
    generation: str
    embedder: str


class DocumentTold(_Told):
    """A document."""

    id: str
    collection: str
    filename: str
    title: str
    media_type: str
    status: str
    version: int | None
    sha256: str | None
    bytes: int | None
    pages: int | None
    chunks: int
    modified_at: datetime | None
    updated_at: datetime | None
    metadata: dict[str, Any]
    access: list[str]
    error: WhyTold | None


class SourceTold(BaseModel):
    """A passage, and where it stands in the document's stored text, in code points, half open."""

    model_config = ConfigDict(extra="allow")

    id: str
    document_id: str
    filename: str
    title: str
    url: str
    page: int | None
    start: int
    end: int
    text: str


class FileTold(_Told):
    """What a job did with a file."""

    path: str
    status: str
    document_id: str | None
    chunks: int
    pages: int | None
    ms: float
    error: WhyTold | None
    warnings: list[str]
    renamed_from: str | None = None


class ProgressTold(_Told):
    """How far a job is."""

    done: int
    total: int | None
    unit: str


class WebhookTold(_Told):
    """Who is told of a job's end, and how that stands."""

    id: str
    object: Literal["webhook"]
    job_id: str
    url: str
    state: WebhookState
    attempts: int
    status: int | None
    next_attempt_at: datetime | None
    ended_at: datetime | None
    error: WhyTold | None


class JobTold(_Told):
    """A job. Its files, receipt or webhook come with `GET /v1/jobs/{id}`."""

    id: str
    object: Literal["job"]
    type: str
    status: JobStatus
    details: dict[str, Any]
    progress: ProgressTold
    error: WhyTold | None
    enqueued_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    duration_ms: int | None
    joined: bool | None = Field(None, description="Whether the request joined a job that was there.")
    files: list[FileTold] | None = None
    receipt: "ReceiptTold | None" = None
    webhook: WebhookTold | None = None


class CancelledTold(_Told):
    """An answer that is ended; its stream tells how."""

    id: str
    object: Literal["answer"]


class DeletedTold(_Told):
    """A deletion that has begun. Its receipt is told by the job when it has ended."""

    id: str
    deleted: Literal[True]
    job_id: str
    receipt: dict[str, int | None]


class ReceiptTold(BaseModel):
    """What a deletion removed of each store, by the store's name, and what is left there; null until both are known."""

    model_config = ConfigDict(extra="allow")

    left: dict[str, int | None] | None
    document_id: str
    deleted_at: datetime
    signed_at: datetime | None


class GenerationTold(_Told):
    """An index, and the embedder that it was built with."""

    id: str
    object: Literal["generation"]
    state: State
    embedder: dict[str, Any]
    dimension: int
    scores: dict[str, float]
    created_at: datetime | None
    swapped_at: datetime | None
    retired_at: datetime | None


class _Page(_Told):
    object: Literal["list"]
    has_more: bool
    next: str | None = Field(description="What `after` is for the next page.")


class CollectionPage(_Page):
    """Collections."""

    data: list[CollectionTold]


class DocumentPage(_Page):
    """Documents."""

    data: list[DocumentTold]


class JobPage(_Page):
    """Jobs, the newest first."""

    data: list[JobTold]


class WebhookPage(_Page):
    """Dead letters, the newest first."""

    data: list[WebhookTold]


class GenerationPage(_Page):
    """Indexes, the newest first."""

    data: list[GenerationTold]


class HitTold(_Told):
    """A passage that was found, in the shape that OpenAI's clients read."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | int | float]
    content: list[dict[str, str]]


class FoundTold(_Told):
    """`POST /v1/vector_stores/{collection}/search`."""

    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[HitTold]
    has_more: bool
    next_page: str | None
    degraded: list[str]
    explanation: dict[str, Any] | None = None


class ExplanationTold(BaseModel):
    """`GET /v1/answers/{id}/explain`."""

    model_config = ConfigDict(extra="allow")

    object: Literal["answer.explanation"]
    answer_id: str
    collection: str
    candidates: list[dict[str, Any]]
