"""The page and its files, from the wheel. Nothing that a user uploaded is ever served under its own type."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter
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
async def file(name: str) -> Response:
    """One of the page's own files."""
    path = _files().get(name)
    if path is None:
        raise SourceNotFound("There is no such file.")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"cache-control": "no-cache"})


@cache
def _files() -> dict[str, Path]:
    """By name. What a client sends is looked up here and never becomes a path."""
    return {path.relative_to(WEB).as_posix(): path for path in WEB.rglob("*") if path.suffix in _TYPES}
