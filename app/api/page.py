"""The page and its files, from the wheel. Nothing that a user uploaded is ever served under its own type."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from app.errors import SourceNotFound

router = APIRouter(include_in_schema=False)
WEB = Path(__file__).resolve().parents[1] / "web"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


@router.get("/")
@router.get("/sources/{source_id}")
async def page(source_id: str = "") -> Response:
    """The page; at `/sources/<id>` it opens that source."""
    del source_id
    return FileResponse(WEB / "index.html", media_type="text/html", headers={"cache-control": "no-cache"})


@router.get("/web/{name:path}")
async def file(request: Request, name: str) -> Response:
    """One of the page's own files."""
    del request
    path = (WEB / name.replace("\0", "")).resolve()  # a null byte is in no file's name, and an error to the system
    if not path.is_relative_to(WEB) or path.suffix not in _TYPES or not path.is_file():
        raise SourceNotFound("There is no such file.")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"cache-control": "no-cache"})
