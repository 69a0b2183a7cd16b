"""`grounded config show`, the generated tables of the manual, and the OpenAPI document."""

import re
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from rich.table import Table

from app.commands.output import console_for, emit_json, say
from app.error_table import TABLE
from app.errors import CommandError
from app.settings import ConfigurationError, Settings, fields, origin, variable
from app.telemetry import MASK
from app.tier_settings import TierSettings
from ingest.errors import GroundedError

_PASSWORD = re.compile(r"(://[^/@\s:]*:)[^@\s/]*@")  # of an address that has one


async def show(settings: Settings, *, as_json: bool) -> int:
    """Every value and where it comes from; secrets as stars."""
    rows = [{"name": name, "value": _shown(settings, name), "source": origin(name)} for name, _ in fields()]
    if as_json:
        emit_json({"settings": rows})
        return 0
    table = Table("setting", "value", "from")
    for row in rows:
        table.add_row(row["name"], str(row["value"]), row["source"])
    console_for(sys.stdout).print(table)
    return 0


async def openapi(settings: Settings) -> int:
    """The document that `/openapi.json` serves."""
    from app.api.service import create_app

    emit_json(create_app(settings).openapi())
    return 0


async def write_docs(folder: Path) -> int:
    """Write the generated tables between their markers. Raises ConfigurationError when a marker is missing."""
    for page, marker, lines in (
        ("configuration.md", "settings", settings_table()),
        ("errors.md", "errors", errors_table()),
        ("routing.md", "tiers", tiers_table()),
    ):
        replace_between(folder / page, marker, lines)
        say(f"{page}: {len(lines)} lines")
    return 0


def settings_table() -> list[str]:
    """A section per setting: prose that can be quoted, not a cell that cannot."""
    lines = []
    for name, info in fields():
        default = _default(info.get_default(call_default_factory=True))
        lines += [f"### {name}", "", f"`{name}`: {info.description}", ""]
        lines += [f"The setting `{name}` is `{variable(name)}` in the environment; its default is {default}.", ""]
    return lines


def tiers_table() -> list[str]:
    """A line per key of a `[[tiers]]` table."""
    lines = []
    for name, info in TierSettings.model_fields.items():
        needed = "" if not info.is_required() else " It is required."
        default = _default(info.get_default()) if not info.is_required() else "not set"
        told = "" if default == "not set" or "TierTokens" in default else f" Its default is {default}."
        lines.append(f"- The key `{name}` of a tier: {info.description}{needed}{told}")
    return lines


def errors_table() -> list[str]:
    """A section per error code, with its status, causes and next steps: several kinds may share one."""
    from app.evals import rows as _  # noqa: F401  its errors count too, loaded or not

    found: dict[str, list[type[GroundedError]]] = {}
    for kind in sorted(leaves(), key=lambda kind: (kind.code, kind.__module__)):  # else as they are defined
        found.setdefault(kind.code, []).append(kind)
    lines = []
    for code, kinds in found.items():
        causes = " Or: ".join(dict.fromkeys(" ".join((kind.__doc__ or "").split()) for kind in kinds))
        steps = " Or: ".join(dict.fromkeys(kind.next_step for kind in kinds))
        lines += [f"### {code}", "", f"The code `{code}` ({_told_where(kinds[0])}): {causes}", ""]
        lines += [f"Next step for `{code}`: {steps}", ""]
    return lines


def _told_where(kind: type[GroundedError]) -> str:
    if issubclass(kind, CommandError):
        return "of commands"
    return f"status {next(TABLE[base] for base in kind.__mro__ if base in TABLE).status}"


def leaves(kind: type[GroundedError] = GroundedError) -> list[type[GroundedError]]:
    """Every error class that has a row in the table."""
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    has_row = any(base in TABLE for base in kind.__mro__)
    return ([kind] if has_row else []) + below


def replace_between(page: Path, marker: str, lines: list[str]) -> None:
    """Put lines between `<!-- marker:begin -->` and `<!-- marker:end -->`."""
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    text = page.read_text()
    if begin not in text or end not in text:
        raise ConfigurationError(f"{page.name} has no {marker} markers.")
    head, rest = text.split(begin, 1)
    page.write_text(f"{head}{begin}\n" + "\n".join(lines).rstrip() + f"\n{end}{rest.split(end, 1)[1]}")


def _shown(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, int | float | bool | None):
        return value
    return _PASSWORD.sub(rf"\1{MASK}@", str(value))


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    if isinstance(value, float):
        value = f"{value:g}"
    return "not set" if value in (None, "", PydanticUndefined) else f"`{value}`"
