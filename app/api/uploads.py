"""`POST /v1/documents`: files and texts on their way in. 202 is said when their bytes are on disk; a job reads them then."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from io import BytesIO
from typing import Any, BinaryIO

import orjson
from fastapi import APIRouter, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.api.ask import grounded
from app.api.idempotency import once
from app.api.jobs import accepted
from app.api.replies import parsed, validated
from app.api.schemas import DocumentBody, DocumentsBody, UploadFields
from app.api.stream import GONE
from app.errors import DocumentNotFound, InvalidRequest, UnsupportedMediaType, ValidationFailed
from app.jobs import Key, new_job
from app.uploads import Upload, safe_name
from app.wiring import Grounded
from ingest.readers.registry import FORMATS

router = APIRouter(prefix="/v1")
_MOST_FILES = 1000
_MOST_FIELDS = 20
_LONGEST_FIELD = 64 * 1024
_TAIL = 256  # bytes; a boundary has 70 at most
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "collection": {"type": "string", "default": "default"},
        "metadata": {"type": "string", "description": "A JSON object."},
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
            collection, uploads = await _received(request, closing)
        except ClientDisconnect:
            return Response(status_code=GONE)
        return await _kept(request, collection, uploads)


async def _kept(request: Request, collection: str, uploads: Sequence[Upload]) -> Response:
    _refuse_twins(uploads)
    product = grounded(request)

    async def keep(key: Key | None) -> Response:
        collection_id = await product.catalog.collection(collection, create=True)
        assert collection_id is not None
        kept = await product.uploads.keep(collection_id, uploads)
        spec = {"collection": collection, "uploads": list(kept.document_ids), "force": kept.metadata_changed}
        return accepted(await product.jobs.submit(new_job("ingest", spec), key))

    return await once(request, await asyncio.to_thread(_content, collection, uploads), keep, accepted)


async def _received(request: Request, closing: AsyncExitStack) -> tuple[str, list[Upload]]:
    """Collection and files, which are open until `closing` is. Raises what is wrong with the request."""
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
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")

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


def _files(form: FormData) -> tuple[str, list[Upload]]:
    fields = validated(_fields(form), UploadFields)
    files = [found for found in form.getlist("file") if isinstance(found, UploadFile)]
    if not files or len(files) != len(form.getlist("file")):
        raise ValidationFailed("file: is missing, or has no file name.", param="file")
    also = {"metadata": fields.metadata} if fields.metadata else {}
    uploads = [Upload(safe_name(file.filename or "", file.content_type, "file"), file.file, also) for file in files]
    return fields.collection, uploads


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


async def _texts(request: Request) -> tuple[str, list[Upload]]:
    body = await parsed(request, DocumentsBody)
    product = grounded(request)
    uploads = []
    for number, document in enumerate(body.documents):
        param = f"documents.{number}.filename"
        name = safe_name(document.filename, document.media_type, param)
        if document.id is not None:
            name = await _known_name(product, body.collection, document.id, name, param)
        uploads.append(Upload(name, BytesIO(document.text.encode()), _also(document)))
    return body.collection, uploads


async def _known_name(product: Grounded, collection: str, document_id: str, name: str, param: str) -> str:
    """The name of the uploaded document that is to be replaced. Raises DocumentNotFound, ValidationFailed."""
    row = await product.catalog.document(document_id)
    collection_id = await product.catalog.collection(collection)
    if row is None or collection_id is None or row.root != product.uploads.folder(collection_id).as_posix():
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


def _content(collection: str, uploads: Sequence[Upload]) -> bytes:
    """What the request asks for, in one spelling; the boundary between parts is another each time."""
    files = [[upload.name, _digest(upload.content), upload.also] for upload in uploads]
    return orjson.dumps([collection, files], option=orjson.OPT_SORT_KEYS)


def _digest(content: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := content.read(2**20):
        digest.update(piece)
    content.seek(0)
    return digest.hexdigest()
