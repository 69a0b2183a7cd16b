"""The native wire's bodies. Unknown fields are refused; what is checked here never reaches the pipeline unchecked."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from app.model_settings import EmbedderSettings
from generation.filters.invisible import without_invisible
from ingest.metadata import check as check_metadata
from ingest.metadata import extra as extra_metadata
from ingest.metadata import labels as check_labels
from ingest.metadata import web_address
from ingest.model import COLLECTION_NAME

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
CollectionName = Annotated[str, StringConstraints(pattern=f"^{COLLECTION_NAME}$")]
# What there is to say of it in a schema; `retrieval.filters` reads it and says what is wrong with it.
Filters = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"type": ["string", "integer", "array"]}},
                {
                    "type": "object",
                    "properties": {
                        "type": {"enum": ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]},
                        "key": {"type": "string"},
                        "value": {"type": ["string", "integer", "array"]},
                    },
                    "required": ["type", "key", "value"],
                },
                {
                    "type": "object",
                    "properties": {
                        "type": {"enum": ["and", "or"]},
                        "filters": {"type": "array", "items": {"type": "object"}, "minItems": 1},
                    },
                    "required": ["type", "filters"],
                },
            ]
        }
    ),
]


def _described(metadata: dict[str, Any]) -> dict[str, str]:
    """Each value as a document would say it of itself; what would be left out of one is refused here."""
    found: dict[str, str] = {}
    for name, value in metadata.items():
        several = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not (several or isinstance(value, str | int | float | bool)):
            raise ValueError(f"{name} is no text, number or truth value, nor a list of texts")
        found[name] = ",".join(value) if several else str(value).lower() if isinstance(value, bool) else str(value)
        if name != "title":
            check_metadata(name, found[name])
    if len(extra_metadata(found)) < len(found):
        raise ValueError("has two names that are the same to filters, or an empty value")
    return found


def _web_address(url: str | None) -> str | None:
    return web_address(url) if url is not None else None


Metadata = Annotated[dict[str, Any], Field(max_length=50), AfterValidator(_described)]
Labels = Annotated[list[str], Field(max_length=64), AfterValidator(lambda texts: list(check_labels(texts)))]
WebAddress = Annotated[str | None, AfterValidator(_web_address)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Turn(_Body):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    content: Annotated[str, AfterValidator(without_invisible)] = Field(max_length=20_000)


class JsonSchema(_Body):
    """The schema of a `response_format`, as OpenAI's clients send it."""

    name: str = Field("answer", max_length=64, description="What endpoints call it.")
    description: str | None = Field(None, max_length=1000, description="For people; it is not sent on.")
    schema_: dict[str, Any] = Field(alias="schema", description="A JSON Schema.")
    strict: bool = Field(False, description="Passed on to endpoints that have a strict mode.")


class ResponseFormatBody(_Body):
    """What form the answer is to have: any JSON object, or what a schema allows."""

    type: Literal["json_object", "json_schema"] = Field(description="Any object, or the schema that stands beside it.")
    json_schema: JsonSchema | None = Field(None, description="With type json_schema.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with type json_schema, and with no other")
        return self


class AskBody(_Body):
    """`POST /ask`."""

    question: str = Field(description="What you want to know.", min_length=1)
    collection: CollectionName = Field("default", description="Where to look.")
    filters: Filters = Field(
        default_factory=dict,
        description="Which documents to search: {field: value or [values]}, or a tree of comparisons with and/or.",
    )
    top_k: int = Field(8, ge=1, le=50, description="Passages that the answer may rest on.")
    history: list[Turn] = Field(
        default_factory=list, max_length=50, description="Earlier turns; they help to read a follow-up."
    )
    model: Literal["grounded"] = Field("grounded", description="The pipeline.")
    tier: str | None = Field(None, max_length=32, description="A configured tier that must answer; null: as routed.")
    max_tokens: int | None = Field(None, ge=1, le=32_768, description="Cap on the answer.")
    release: Literal["sentence", "token"] | None = Field(None, description="Text by checked sentence, or at once.")
    citation_style: Literal["none", "bracket", "markdown"] | None = Field(
        None, description="Citation marks inside the text: none, [1], or [[1]](url)."
    )
    include: list[Literal["sources.text", "sources.scores"]] = Field(
        default_factory=list, description="Add the passages' texts or scores to the sources."
    )
    cache: Literal["use", "bypass"] = Field(
        "use", description="bypass has an answer made that is neither taken from the cache nor kept in it."
    )
    stream: bool = Field(False, description="Server-sent events instead of one JSON document.")
    resumable: bool = Field(
        False,
        description="With stream: when the line is cut the answer goes on for a while, and its events can be taken up again "
        "at GET /v1/answers/{id}/events.",
    )
    response_format: ResponseFormatBody | None = Field(
        None, description="The answer as JSON, an object or what a schema allows; needs a chat model."
    )

    @field_validator("question")
    @classmethod
    def _printable(cls, value: str) -> str:
        _check_text(value)
        return without_invisible(value)


class IngestOptions(_Body):
    """How folders are brought in step; as the options of `grounded ingest`."""

    collection: CollectionName = Field("default", description="Where the documents go.")
    include: list[str] = Field(default_factory=list, max_length=1000, description="Only names that match a glob.")
    exclude: list[str] = Field(default_factory=list, max_length=1000, description="No names that match a glob.")
    gitignore: bool | None = Field(None, description="Honour .gitignore files; null: as configured.")
    prune: bool | None = Field(None, description="Forget files that are gone; null: if any file is there.")
    force: bool = Field(False, description="Read unchanged files too.")
    dry_run: bool = Field(False, description="Tell the change set, change nothing.")
    fail_fast: bool = Field(False, description="Stop at the first file that fails.")


class JobBody(_Body):
    """`POST /v1/jobs`."""

    type: Literal["ingest"] = Field(description="What is to be done.")
    paths: list[str] = Field(min_length=1, max_length=100, description="Absolute paths of folders or files.")
    options: IngestOptions = Field(default_factory=IngestOptions, description="How.")

    @field_validator("paths")
    @classmethod
    def _absolute(cls, value: list[str]) -> list[str]:
        if not all(path.startswith("/") for path in value):
            raise ValueError("is not absolute: the service does not know where you are")
        if any("\0" in path for path in value):
            raise ValueError("holds control characters")
        return value


class ReindexOptions(_Body):
    """How the index is built anew; as the options of `grounded reindex`."""

    embedder: EmbedderSettings | None = Field(None, description="The embedder to build with; null: as configured here.")
    golden: str | None = Field(
        None, max_length=4096, description="Absolute path of the golden set; null: as configured."
    )
    force: bool = Field(False, description="Swap whatever the golden set says, or without one.")
    rollback: bool = Field(False, description="Go back to the generation that was live before this one.")
    drop_old: bool = Field(False, description="Remove every generation but the live one.")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if self.rollback and self.drop_old:
            raise ValueError("rollback and drop_old contradict each other")
        if self.golden is not None and (not self.golden.startswith("/") or "\0" in self.golden):
            raise ValueError("golden is not absolute: the service does not know where you are")
        return self


class ReindexBody(_Body):
    """`POST /v1/jobs` of type reindex."""

    type: Literal["reindex"] = Field(description="What is to be done.")
    options: ReindexOptions = Field(default_factory=ReindexOptions, description="How.")


class DocumentBody(_Body):
    """A document of `POST /v1/documents` as JSON: its text, as the file of that name would hold it."""

    id: str | None = Field(None, description="A document that was uploaded before and is replaced by this one.")
    filename: str = Field(min_length=1, max_length=1000, description="Its extension tells how it is read.")
    media_type: str | None = Field(None, max_length=127, description="Told by the extension where it is left out.")
    text: str = Field(description="What is in it.")
    url: WebAddress = Field(None, description="Where the original is.")
    metadata: Metadata = Field(default_factory=dict, description="What is known of it.")
    access: Labels = Field(
        default_factory=list, description="Labels of the groups that may read it, of those that the key holds."
    )


class DocumentsBody(_Body):
    """`POST /v1/documents` as JSON."""

    collection: CollectionName = Field("default", description="Where the documents go.")
    documents: list[DocumentBody] = Field(min_length=1, max_length=1000)


class UploadFields(_Body):
    """The fields beside the files of a multipart `POST /v1/documents`."""

    collection: CollectionName = "default"
    metadata: Metadata = Field(default_factory=dict)
    access: Labels = Field(default_factory=list)


class SearchBody(_Body):
    """`POST /v1/vector_stores/{collection}/search`. Unknown fields are ignored here, as OpenAI's clients expect."""

    model_config = ConfigDict(extra="ignore")

    query: str | list[str]
    max_num_results: int = Field(10, ge=1, le=50)
    filters: Filters = None
    explain: bool = False

    @field_validator("query")
    @classmethod
    def _printable(cls, value: str | list[str]) -> str | list[str]:
        _check_text(_joined(value))
        return without_invisible(value) if isinstance(value, str) else [without_invisible(one) for one in value]

    def text(self) -> str:
        """The question; several are joined."""
        return _joined(self.query)


def _joined(query: str | list[str]) -> str:
    return query if isinstance(query, str) else "\n".join(query)


def _check_text(value: str) -> None:
    if not without_invisible(value).strip():
        raise ValueError("is empty")
    if _CONTROL.search(value):
        raise ValueError("holds control characters")
