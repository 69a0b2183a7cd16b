"""Whole documents as replies: JSON in one spelling, errors in one envelope."""

from collections.abc import Iterable
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from app.error_table import envelope, headers, row
from app.errors import InvalidRequest, UnsupportedMediaType, ValidationFailed
from app.settings import Settings, nearest

B = TypeVar("B", bound=BaseModel)
_LONGEST_NAME, _LONGEST_PATH = 100, 300  # characters of a name that was sent and is told again


def json_response(content: Any, status: int = 200, extra: dict[str, str] | None = None) -> Response:
    """One JSON document."""
    return Response(orjson.dumps(content), status, extra, media_type="application/json")


def error_response(error: BaseException, request_id: str) -> Response:
    """The envelope with the status and headers of the one table. What was not planned says nothing of what it is."""
    return json_response(envelope(error, request_id), row(error).status, headers(error))


async def parsed(request: Request, kind: type[B]) -> B:
    """The request's JSON body. Raises UnsupportedMediaType, BodyTooLarge, InvalidRequest, ValidationFailed (with the
    nearest known field). Another content type is refused since a foreign page can send that without being asked for leave.
    """
    kind_sent = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind_sent != "application/json":
        raise UnsupportedMediaType("The request body is not sent as JSON.")
    data = await request.body()
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("The request body is not JSON.") from error
    settings: Settings = request.app.state.grounded.settings
    _check_depth(content, settings.limits.json_depth)
    return validated(content, kind)


def _check_depth(content: Any, most: int) -> None:
    """Raises InvalidRequest where lists and objects stand in each other deeper than that."""
    level = [content]
    for _ in range(most + 1):
        if not (level := [inner for one in level if isinstance(one, dict | list) for inner in _inside(one)]):
            return
    raise InvalidRequest(f"The request body is nested deeper than {most} levels.")


def _inside(one: dict[str, Any] | list[Any]) -> Iterable[Any]:
    """What stands in it and may hold something itself."""
    values = one.values() if isinstance(one, dict) else one
    return (value for value in values if isinstance(value, dict | list))


def validated(content: Any, kind: type[B]) -> B:
    """Content as a body of that kind. The message names the field and never repeats what was sent."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(part)[:_LONGEST_NAME] for part in first["loc"])[:_LONGEST_PATH] or "body"
        if first["type"] == "extra_forbidden":
            near = nearest(str(first["loc"][-1])[:_LONGEST_NAME], kind.model_fields)
            hint = f" Did you mean {near!r}?" if near else ""
            raise ValidationFailed(f"There is no field {param!r}.{hint}", param=param) from error
        raise ValidationFailed(f"{param}: {first['msg'].removeprefix('Value error, ')}.", param=param) from error
