"""`grounded webhooks`: those that were given up, and sending one again; by the running service, or here where none runs."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from app.commands.ask import RemoteError, client, fetched
from app.commands.output import emit_json, say
from app.settings import Settings


async def dead(settings: Settings, limit: int, after: str | None, *, as_json: bool) -> int:
    """Print the dead letters of whoever asks, the newest first."""
    query = f"?limit={limit}" + (f"&after={quote(after)}" if after is not None else "")
    async with client(settings) as http:
        page = _said(*await fetched(http, "GET", f"/v1/webhooks/dead{query}"))
    if as_json:
        emit_json(page)
        return 0
    table = Table("id", "job", "receiver", "attempts", "status", "why")
    for row in page["data"]:
        why = row["error"]["message"] if row["error"] else ""
        table.add_row(row["id"], row["job_id"], row["url"], str(row["attempts"]), str(row["status"] or ""), why)
    if page["data"]:
        Console().print(table)
    else:
        say("There is no dead letter.")
    if page["has_more"]:
        say(f"There are more: grounded webhooks dead --after {page['next']}")
    return 0


async def retry(settings: Settings, webhook_id: str, *, as_json: bool) -> int:
    """Have a dead letter sent again, with all its attempts. Raises RemoteError."""
    async with client(settings) as http:
        told = _said(*await fetched(http, "POST", f"/v1/webhooks/{quote(webhook_id, safe='')}/retry"))
    if as_json:
        emit_json(told)
    else:
        say(f"{webhook_id} is sent again while the service runs; GET /v1/jobs/{told['job_id']} tells how that went.")
    return 0


def _said(status: int, found: dict[str, Any]) -> dict[str, Any]:
    """What the service says. A webhook has an `error` of its own, that of its last attempt. Raises RemoteError."""
    if status >= HTTPStatus.BAD_REQUEST:
        raise RemoteError(found["error"], status)
    return found
