"""`grounded prompts`: which prompts there are, and which the service uses."""

import sys
from typing import Any

from app.commands.output import console_for, emit_json
from app.prompts import library_of
from app.settings import Settings
from generation.prompt_library import Listed


async def prompts(settings: Settings, *, as_json: bool) -> int:
    """Print a line for each; 1 where a file cannot be used. Raises ConfigurationError where a setting names such a one."""
    listed = library_of(settings).listed()
    if as_json:
        emit_json({"prompts": [_row(one) for one in listed]})
    else:
        _print(listed)
    return int(any(one.problem for one in listed))


def _row(one: Listed) -> dict[str, Any]:
    prompt = one.prompt
    return {
        "file": one.path.name,
        "own": one.own,
        "used": one.used,
        "version": prompt.version if prompt else None,
        "models": prompt.models if prompt else None,
        "max_tokens": prompt.max_tokens if prompt else None,
        "problem": one.problem,
    }


def _print(listed: list[Listed]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("used", "prompt", "from", "written for", box=None)
    for one in listed:
        said = one.prompt.version if one.prompt else f"{one.path.name}: {one.problem}"
        place = "your folder" if one.own else "shipped"
        table.add_row("*" if one.used else "", escape(said), place, escape(one.prompt.models if one.prompt else ""))
    console_for(sys.stdout).print(table)
