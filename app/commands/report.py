"""`grounded ingest --report`: the files that are known and not answered from, each with the reason and the next step."""

from typing import Any

import httpx2
from rich.console import Console
from rich.markup import escape

from app.commands.ask import client, fetched, raised
from app.commands.output import emit_json, say
from app.settings import Settings

_PAGE = 200


async def report(settings: Settings, collection: str, *, as_json: bool) -> int:
    """Exit code 1 when a file failed or is quarantined; one without text is not missed."""
    async with client(settings) as http:
        rows = [row for row in await _documents(http, collection) if row["error"] is not None]
    harmful = [row for row in rows if row["status"] != "empty_text"]
    if as_json:
        keys = ("id", "filename", "status", "error", "updated_at")
        emit_json({"collection": collection, "files": [{key: row[key] for key in keys} for row in rows]})
    else:
        _print(rows)
    return 1 if harmful else 0


async def _documents(http: httpx2.AsyncClient, collection: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        after = f"&after={page['next']}" if page["next"] else ""
        page = raised(*await fetched(http, "GET", f"/v1/documents?collection={collection}&limit={_PAGE}{after}"))
        rows += page["data"]
    return rows


def _print(rows: list[dict[str, Any]]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for row in sorted(rows, key=lambda row: (row["status"], row["filename"])):
        error = row["error"]
        console.print(f"[bold]{escape(row['status'])}[/]  {escape(row['filename'])}")
        console.print(f"  {escape(error['code'])}: {escape(error['message'])}")
        console.print(f"  next: {escape(error['next_step'])}")
    many = "1 file is" if len(rows) == 1 else f"{len(rows)} files are"
    say(f"{many} not in the index." if rows else "Every known file is in the index.")
