"""`grounded budgets`: set and shown in the catalog, also while the service runs, which follows within a second."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.console import Console
from rich.table import Table

from app.budgets.model import KEY, NANO, PERIODS, TENANT, UNITS, Period, Standing, Unit
from app.commands.output import emit_json, say
from app.errors import ValidationFailed
from app.settings import Settings
from app.wiring_limits import budget_store
from ingest.model import TENANT_NAME

Limits = Mapping[tuple[Unit, Period], int | None]
_KEY_ID = re.compile(r"key_[0-9a-f]{24}|oidc_[0-9a-f]{24}")
_NONE = "none"
_MOST = 9_000_000_000  # USD: what a database counts in 1e-9 of them
_MOST_TOKENS = 10**15


def limits_of(given: Mapping[tuple[Unit, Period], str | None]) -> Limits:
    """What was typed: an amount, or `none`. What was not given is left out. Raises ValidationFailed."""
    return {place: _amount(place[0], text) for place, text in given.items() if text is not None}


async def set_budget(settings: Settings, subject: str, limits: Limits, *, as_json: bool) -> int:
    """Set limits of a key or a tenant. Raises ValidationFailed."""
    if not limits:
        raise ValidationFailed("There is no limit to set.", "Name one, such as --usd-day 5, or take it away with none.")
    subject = subject_of(subject)
    async with budget_store(settings) as store:
        await store.put(subject, limits)
        found = await store.standings((subject,), datetime.now(UTC))
    _show(found, as_json=as_json)
    return 0


async def list_budgets(settings: Settings, *, as_json: bool) -> int:
    """Every budget, and how much of it is gone in its present day or month."""
    async with budget_store(settings) as store:
        found = await store.standings(None, datetime.now(UTC))
    _show(found, as_json=as_json)
    if not found:
        say("There is no budget: grounded budgets set KEY_ID --usd-day 5, or tenant:NAME for all keys of a tenant.")
    return 0


def subject_of(text: str) -> str:
    """Whose budget: the id of a key or a bearer, or `tenant:NAME`. Raises ValidationFailed."""
    if _KEY_ID.fullmatch(text):
        return KEY + text
    if text.startswith(TENANT) and re.fullmatch(TENANT_NAME, text.removeprefix(TENANT)):
        return text
    raise ValidationFailed("whose: is neither the id of a key nor tenant:NAME.", "See grounded keys list for ids.")


def budget_object(standing: Standing) -> dict[str, Any]:
    """A budget as it is listed. Money in USD."""
    told = standing.told()
    return {"object": "budget", "subject": standing.subject, "window": standing.window, **told, "share": standing.share}


def shown(standings: Sequence[Standing]) -> str:
    """For the list of keys: how much of the budget that is nearest to its end is spent."""
    return f"{max(one.share for one in standings):.0%}" if standings else "none"


def _show(standings: Sequence[Standing], *, as_json: bool) -> None:
    if as_json:
        emit_json({"budgets": [budget_object(one) for one in standings]})
        return
    table = Table("whose", "for", "limit", "used", "reserved", "left", "share")
    for one in standings:
        numbers = (_words(one, value) for value in (one.most, one.spent, one.reserved, one.left))
        table.add_row(one.subject, f"{one.period} {one.window}", *numbers, f"{one.share:.0%}")
    Console().print(table)


def _words(one: Standing, value: int) -> str:
    if one.unit == "tokens":
        return f"{value:,} tokens"
    return f"{Decimal(value) / NANO:.6f}".rstrip("0").rstrip(".") + " USD"


def _amount(unit: Unit, text: str) -> int | None:
    """Raises ValidationFailed."""
    if text == _NONE:
        return None
    most, one = (_MOST, NANO) if unit == "usd" else (_MOST_TOKENS, 1)
    try:
        value = Decimal(text)
        whole = value * one == int(value * one)
    except (InvalidOperation, ValueError, OverflowError):
        raise ValidationFailed(f"{text!r} is neither an amount nor none.") from None
    if not 0 <= value <= most or not whole:
        raise ValidationFailed(f"{text!r} is no amount from 0 to {most:,}, or has too many digits behind the point.")
    return int(value * one)


PLACES: tuple[tuple[Unit, Period], ...] = tuple((unit, period) for unit in UNITS for period in PERIODS)
