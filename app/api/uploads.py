"""`POST /v1/documents`: files and texts on their way in. 202 is said when their bytes are on disk; a job reads them then."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from fastapi import APIRouter, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.api.ask import grounded, library
from app.api.authentication import principal_of
from app.api.idempotency import once
from app.api.jobs import accepted
from app.api.replies import parsed, validated
from app.api.schemas import DocumentBody, DocumentsBody, UploadFields
from app.api.stream import GONE
from app.errors import (
    DocumentNotFound,
    InsufficientScope,
    InvalidRequest,
    UnsupportedMediaType,
    ValidationFailed,
)
from app.jobs import Key, new_job
from app.keys.model import Principal
from app.uploads import Upload, safe_name, shelf_of
from app.wiring import Grounded
from ingest.readers.registry import FORMATS
from ingest.rules import Rules

router = APIRouter(prefix="/v1")
_MOST_FILES = 1000
_MOST_FIELDS = 20
_LONGEST_FIELD = 64 * 1024
_CHARSETS = (b"utf-8", b"utf8", b"us-ascii")
_TAIL = 256  # bytes; a boundary has 70 at most
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "collection": {"type": "string", "default": "default"},
        "metadata": {"type": "string", "description": "A JSON object."},
        "access": {"type": "string", "description": "A JSON list of labels."},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {"schema": DocumentsBody.model_json_schema()},
        },
    }
}


@router.post("/documents", openapi_extra=_BODY, status_code=202)
async def upload(request: Request) -> Response:
    """Add documents, or replace those of the same name: files as multipart/form-data, or texts as JSON."""
    async with AsyncExitStack() as closing:
        try:
            received = await _received(request, closing)
        except ClientDisconnect:
            return Response(status_code=GONE)
        return await _kept(request, received)


@dataclass(frozen=True, slots=True)
class _Received:
    """What came: the collection, the files, and the labels of all of them."""

    collection: str
    uploads: Sequence[Upload]
    access: tuple[str, ...] = ()


async def _kept(request: Request, received: _Received) -> Response:
    _refuse_twins(received.uploads)
    product, who, shelf = grounded(request), principal_of(request), shelf_of(received.access)
    _check_rights(who, received)

    async def keep(key: Key | None) -> Response:
        collection_id = await library(request).made(received.collection)
        _check_names(product, who, product.uploads.folder(collection_id, shelf), received.uploads)
        kept = await product.uploads.keep(collection_id, received.uploads, received.access)
        spec = {"collection": received.collection, "uploads": list(kept.document_ids), "force": kept.metadata_changed}
        job = new_job("ingest", {**spec, **({"shelf": shelf} if shelf else {})}, who)
        return accepted(await product.jobs.submit(job, key))

    return await once(request, await asyncio.to_thread(_content, received), keep, accepted)


def _check_rights(who: Principal, received: _Received) -> None:
    """Raises ValidationFailed."""
    if received.access and who.key_id is None:
        raise ValidationFailed("access: there are no keys here, so a label would keep nobody out.", param="access")
    if not who.may_label(received.access):
        raise ValidationFailed("access: holds a label that the key does not hold.", param="access")


def _check_names(product: Grounded, who: Principal, folder: Path, uploads: Sequence[Upload]) -> None:
    """Nobody replaces what they may not read: a rule may keep a name for others, whether there is such a document or not.

    Raises InsufficientScope."""
    if who.groups is None:
        return
    rules = Rules(tuple(rule.rule() for rule in product.settings.ingest.metadata))
    for upload in uploads:
        said = next((r.access for r in rules.applying(folder, upload.name) if r.access is not None), ())
        if said and who.groups.isdisjoint(said):
            raise InsufficientScope(
                "A rule of this service keeps a name of these for groups that the key is not in.",
                "Send the file under another name, or with another key.",
            )


async def _received(request: Request, closing: AsyncExitStack) -> _Received:
    """Files are open until `closing` is. Raises what is wrong with the request."""
    match request.headers.get("content-type", "").split(";")[0].strip().lower():
        case "application/json":
            return await _texts(request)
        case "multipart/form-data":
            form = await _form(request)
            closing.push_async_callback(form.close)
            return _files(form)
        case _:
            raise UnsupportedMediaType(
                "Documents are sent as multipart/form-data or as application/json.",
                "Send files in fields named file, or JSON with documents.",
            )


async def _form(request: Request) -> FormData:
    """The form, whole: the parser says nothing of one that is cut off, and leaves out its last file."""
    options = parse_options_header(request.headers["content-type"])[1]
    boundary = options.get(b"boundary", b"")
    if options.get(b"charset", b"utf-8").lower() not in _CHARSETS:  # some that Python knows break in the parser's hands
        raise InvalidRequest("The form is not sent as UTF-8.", "Leave charset out of the content type.")

    async def watched() -> AsyncGenerator[bytes, None]:
        tail = b""
        async for piece in request.stream():
            tail = (tail + piece)[-_TAIL:]
            yield piece
        if b"--" + boundary + b"--" not in tail:
            raise MultiPartException("its last boundary is missing.")

    limits = {"max_files": _MOST_FILES, "max_fields": _MOST_FIELDS, "max_part_size": _LONGEST_FIELD}
    try:
        return await MultiPartParser(request.headers, watched(), **limits).parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}") from error


def _files(form: FormData) -> _Received:
    fields = validated(_fields(form), UploadFields)
    files = [found for found in form.getlist("file") if isinstance(found, UploadFile)]
    if not files or len(files) != len(form.getlist("file")):
        raise ValidationFailed("file: is missing, or has no file name.", param="file")
    also = {"metadata": fields.metadata} if fields.metadata else {}
    uploads = [Upload(safe_name(file.filename or "", file.content_type, "file"), file.file, also) for file in files]
    return _Received(fields.collection, uploads, _labels(fields.access))


def _labels(access: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(access))


def _fields(form: FormData) -> dict[str, Any]:
    """The fields that are no files; metadata and access are JSON."""
    fields: dict[str, Any] = {name: value for name, value in form.multi_items() if name != "file"}
    for name in ("metadata", "access"):
        if isinstance(fields.get(name), str):
            try:
                fields[name] = orjson.loads(fields[name])
            except orjson.JSONDecodeError as error:
                raise ValidationFailed(f"{name}: is not JSON.", param=name) from error
    return fields


async def _texts(request: Request) -> _Received:
    body = await parsed(request, DocumentsBody)
    uploads = []
    access = _labels(body.documents[0].access)
    for number, document in enumerate(body.documents):
        param = f"documents.{number}.filename"
        name = safe_name(document.filename, document.media_type, param)
        if document.id is not None:
            name = await _known_name(request, body.collection, document, name, param)
        if _labels(document.access) != access:
            raise ValidationFailed(
                "documents: those of one request have the same labels.",
                "Send documents with other labels in a request of their own.",
                param=f"documents.{number}.access",
            )
        uploads.append(Upload(name, BytesIO(document.text.encode()), _also(document)))
    return _Received(body.collection, uploads, access)


async def _known_name(request: Request, collection: str, document: DocumentBody, name: str, param: str) -> str:
    """The name of the uploaded document that is to be replaced. Raises DocumentNotFound, ValidationFailed."""
    try:
        row, found = await library(request).document(document.id or "")
    except DocumentNotFound:
        row, found = None, ""
    shelf = shelf_of(_labels(document.access))
    folder = grounded(request).uploads.folder(row.collection_id, shelf) if row is not None else None
    if row is None or folder is None or found != collection or row.root != folder.as_posix():
        raise DocumentNotFound("There is no uploaded document with this id in this collection.")
    if _media_type(name) != _media_type(row.name):
        raise ValidationFailed(f"{param}: is of another type than the document that it replaces.", param=param)
    return row.name


def _media_type(name: str) -> str:
    return FORMATS[f".{name.rpartition('.')[2].lower()}"].media_type


def _also(document: DocumentBody) -> Mapping[str, Any]:
    sent = {"metadata": document.metadata, "url": document.url}
    return {name: value for name, value in sent.items() if value}


def _refuse_twins(uploads: Sequence[Upload]) -> None:
    names = [upload.name for upload in uploads]
    if len(set(names)) != len(names):
        raise ValidationFailed("file: two files of one request have the same name.", param="file")


def _content(received: _Received) -> bytes:
    """What the request asks for, in one spelling; the boundary between parts is another each time."""
    files = [[upload.name, _digest(upload.content), upload.also] for upload in received.uploads]
    labels = [received.access] if received.access else []
    return orjson.dumps([received.collection, files, *labels], option=orjson.OPT_SORT_KEYS)


def _digest(content: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := content.read(2**20):
        digest.update(piece)
    content.seek(0)
    return digest.hexdigest()
