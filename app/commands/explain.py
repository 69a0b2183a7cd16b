"""`grounded explain` and `grounded search --explain`: why the passages that were found were found, as a table."""

import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.commands.ask import client, fetched, raised
from app.commands.checked import checked
from app.commands.output import console_for, emit_json
from app.settings import Settings

_ARMS = ("dense", "bm25", "named_dense", "named_bm25", "fused", "rerank", "cross")
OUTCOMES = {
    "kept": "kept",
    "near_duplicate": "says the same as one above",
    "superseded": "another is a newer version of it",
    "joined": "part of another passage",
    "source_cap": "its document has enough",
    "top_k": "enough were kept",
    "token_budget": "too long for what is left",
    "not_live": "replaced or deleted",
    "not_readable": "not for the asker",
    "not_read": "not among those read closely",
}
_GONE = "(deleted, replaced or not yours to read)"


async def explain(settings: Settings, answer_id: str, *, as_json: bool) -> int:
    """Print why an answer got its passages. Raises RemoteError with answer_not_found."""
    async with client(settings) as http:
        found = raised(*await fetched(http, "GET", f"/v1/answers/{quote(answer_id, safe='')}/explain"))
    if as_json:
        emit_json(found)
        return 0
    console = console_for(sys.stdout)
    console.print(
        escape(f"{found['finish_reason']} by {found['model']}, {found['created']}, {found['cost_usd']:g} USD")
    )
    if found["routing"]:
        console.print(escape(_routing(found["routing"])))
    if found["verification"]:
        console.print(escape(checked(found["verification"])))
    if found["cache"] in ("exact", "semantic"):
        console.print(f"From the cache ({found['cache']}): these are the sources of the answer that was made.")
    if found["rewritten"]:
        console.print("Searched with words of earlier turns.")
    print_explanation(found, console)
    return 0


def _routing(routing: Mapping[str, Any]) -> str:
    """`Tier medium by rules, score 2.1 (words 14, questions 2); tried: small: uncited, medium: ok`."""
    features = routing["features"] or {}
    told = ", ".join(f"{name} {value:g}" for name, value in features.items() if value)
    score = "" if routing["score"] is None else f", score {routing['score']:g} ({told})"
    tried = ", ".join(f"{one['tier']}: {one['outcome']}" for one in routing["attempts"])
    return f"Tier {routing['tier']} by {routing['reason']}{score}{f'; tried {tried}' if tried else ''}"


def print_explanation(found: Mapping[str, Any], console: Console) -> None:
    """One row per candidate, ranks and shares by arm; below it the times."""
    used = [arm for arm in _ARMS if any(arm in one["arms"] for one in found["candidates"])]
    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("passage", overflow="fold", min_width=16, max_width=48)
    for arm in used:
        table.add_column(arm, justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("outcome", overflow="fold")
    for one in found["candidates"]:
        cells = [_cell(one["arms"].get(arm)) for arm in used]
        table.add_row(str(one["rank"]), escape(_name(one["source"])), *cells, f"{one['score']:.4f}", _outcome(one))
    console.print(table)
    console.print(f"[dim]{'  '.join(f'{stage} {ms:.1f} ms' for stage, ms in found['timings_ms'].items())}[/]")
    for part in found["degraded"]:
        console.print(f"[yellow]degraded: {part}; run grounded doctor[/]")


def _cell(place: Mapping[str, Any] | None) -> str:
    """`2 (.016)`: the rank, and what it gave to the score."""
    if place is None:
        return ""
    share = place["share"]
    return f"{place['rank']}" if share is None else f"{place['rank']} ({f'{share:.3f}'.lstrip('0')})"


def _name(source: Mapping[str, Any] | None) -> str:
    if source is None:
        return _GONE
    page = f", page {source['page']}" if source["page"] else ""
    return f"{source['filename']}{page}  {' > '.join(source['heading_path'])}".strip()


def _outcome(candidate: Mapping[str, Any]) -> str:
    text = OUTCOMES.get(candidate["outcome"], candidate["outcome"])
    return f"[bold]{text}[/]" if candidate["outcome"] == "kept" else f"[dim]{text}[/]"
