"""From the body of a request to a question in the product's own terms: the same for one question and for each of a batch."""

from datetime import UTC, datetime

from app.api.encoders.native import CitationStyle
from app.api.schemas import AskBody, ResponseFormatBody
from app.errors import InvalidRequest, ValidationFailed
from app.keys.model import Principal
from app.pipeline import Question
from app.settings import Settings
from generation.model import ResponseFormat
from generation.schema_limits import BadSchemaError
from generation.structured import format_of
from retrieval import filters


def question_of(body: AskBody, settings: Settings, request_id: str, who: Principal) -> tuple[Question, CitationStyle]:
    """The question of somebody, and how its citations are marked. Raises ValidationFailed, InvalidRequest, InvalidFilter."""
    release = body.release or settings.release
    style = body.citation_style or settings.citation_style
    check_length("question", body.question, settings)
    if release == "token" and style != "none":
        raise InvalidRequest(
            "Citation marks need whole sentences.", "Ask with release=sentence or citation_style=none."
        )
    if body.response_format is not None:
        if body.citation_style not in (None, "none"):
            raise InvalidRequest(
                "Citation marks would break the JSON of a response_format.", "Ask with citation_style=none."
            )
        style = "none"
    question = Question(
        text=body.question,
        collection=body.collection,
        filters=filters.parsed(body.filters, datetime.now(UTC)),
        top_k=body.top_k,
        history=tuple((turn.role, turn.content) for turn in body.history),
        max_tokens=body.max_tokens,
        release=release,
        request_id=request_id,
        tier=body.tier,
        response_format=_format(body.response_format),
        cache=body.cache,
        principal=who,
    )
    return question, style


def _format(wanted: ResponseFormatBody | None) -> ResponseFormat | None:
    """Raises ValidationFailed for a schema that is not accepted."""
    if wanted is None:
        return None
    try:
        named = wanted.json_schema
        return format_of(None) if named is None else format_of(named.schema_, named.name, strict=named.strict)
    except BadSchemaError as error:
        place = "response_format.json_schema"
        raise ValidationFailed(
            f"{place}: the schema {error}.",
            "Correct the schema; the chapter Structured answers says what is accepted.",
            param=place,
        ) from None


def check_length(field: str, text: str, settings: Settings) -> None:
    """Raises ValidationFailed for a question that is too long."""
    if len(text) > settings.max_question_chars:
        raise ValidationFailed(f"{field}: is longer than {settings.max_question_chars} characters.", param=field)
