"""`grounded keys`: made, listed and revoked in the catalog, also while the service runs, which follows within a second."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from app.budgets.model import KEY, Standing
from app.commands.budgets import Limits, budget_object, shown
from app.commands.output import emit, emit_json, say
from app.errors import KeyNotFound, ValidationFailed
from app.keys.model import SCOPES, Key, ScopeName, new_key
from app.settings import Settings
from app.state import StateFolder
from app.wiring_keys import key_store
from app.wiring_limits import budget_store
from ingest.metadata import labels, line, moment
from ingest.model import COLLECTION_NAME, TENANT_NAME

_IN = re.compile(r"(\d{1,6})([hdwy])")
_HOURS = {"h": 1, "d": 24, "w": 168, "y": 8760}
_ALL = "*"
_LONGEST_NAME = 200
_BEARER = re.compile(r"oidc_[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a key is to be good for, as it was typed."""

    name: str
    scopes: Sequence[str] = ("ask",)
    tenant: str = "default"
    groups: Sequence[str] = ()
    collections: Sequence[str] = ()
    expires: str | None = None
    budgets: Limits = field(default_factory=dict)


async def create(settings: Settings, wanted: Wanted, *, as_json: bool) -> int:
    """Make a key and show it, once. Raises ValidationFailed."""
    key, secret = _made(wanted)
    if wanted.budgets:  # before there is the key: at no moment is it without them
        async with budget_store(settings) as budgets:
            await budgets.put(KEY + key.id, wanted.budgets)
    async with key_store(StateFolder(settings.state), settings.database_url) as store:
        await store.add(key)
    if as_json:
        emit_json({**key_object(key), "key": secret})
        return 0
    emit(secret)
    say(f"This is the key {key.id}; it is not shown again. Clients send: Authorization: Bearer KEY")
    return 0


async def list_keys(settings: Settings, *, as_json: bool) -> int:
    """Every key there was, without itself."""
    async with key_store(StateFolder(settings.state), settings.database_url) as store:
        keys = await store.all()
    of = await _budgets(settings) if keys else {}
    if as_json:
        emit_json(
            {"keys": [key_object(key) | {"budgets": [budget_object(b) for b in of.get(key.id, ())]} for key in keys]}
        )
        return 0
    table = Table("id", "name", "tenant", "scopes", "groups", "collections", "budget", "state")
    for key in keys:
        groups, collections = (_shown(names) for names in (key.groups, key.collections))
        budgets = shown(of.get(key.id, ()))
        table.add_row(key.id, key.name, key.tenant, _shown(key.scopes), groups, collections, budgets, _state(key))
    Console().print(table)
    if not keys:
        say(
            "There is no key, so the service answers whoever reaches it on this machine: grounded keys create --name NAME"
        )
    return 0


async def _budgets(settings: Settings) -> dict[str, list[Standing]]:
    """By the id of the key."""
    found: dict[str, list[Standing]] = {}
    async with budget_store(settings) as store:
        for one in await store.standings(None, datetime.now(UTC)):
            found.setdefault(one.subject.removeprefix(KEY), []).append(one)
    return found


async def revoke(settings: Settings, key_id: str, *, as_json: bool) -> int:
    """Refuse a key, or the tokens of a bearer, from now on. Raises KeyNotFound."""
    now = datetime.now(UTC)
    async with key_store(StateFolder(settings.state), settings.database_url) as store:
        known = await store.revoke(key_id, now)
        if not known and _BEARER.fullmatch(key_id):
            await store.add(_refused(key_id, now))
            known = True
    if not known:
        raise KeyNotFound("There is no key with this id.")
    if as_json:
        emit_json({"id": key_id, "revoked": True})
    else:
        say(f"{key_id} is refused from now on; a running service follows within a second.")
    return 0


def key_object(key: Key) -> dict[str, Any]:
    """A key as it is listed. `groups` and `collections` null: all of the tenant."""
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "tenant": key.tenant,
        "scopes": [scope for scope in SCOPES if scope in key.scopes],
        "groups": None if key.groups is None else sorted(key.groups),
        "collections": None if key.collections is None else sorted(key.collections),
        "state": _state(key),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _made(wanted: Wanted) -> tuple[Key, str]:
    scopes = _scopes(_words(wanted.scopes))
    groups, collections = _words(wanted.groups), _words(wanted.collections)
    if not re.fullmatch(TENANT_NAME, wanted.tenant):
        raise ValidationFailed("tenant: is not 1 to 63 of a-z, 0-9, - and _.", param="tenant")
    if not all(re.fullmatch(COLLECTION_NAME, name) for name in collections):
        raise ValidationFailed("collection: is not 1 to 63 of a-z, 0-9, - and _.", param="collection")
    try:
        name = line(wanted.name, _LONGEST_NAME)
        held = None if _ALL in groups else frozenset(labels(groups))
    except ValueError as error:
        raise ValidationFailed(f"name or groups: {error}.") from error
    mine = frozenset(collections) if collections else None
    return new_key(name, wanted.tenant, scopes, held, mine, _moment(wanted.expires))


def _words(given: Sequence[str]) -> list[str]:
    """Options may be repeated, and may list with commas."""
    return [word for text in given for word in (part.strip() for part in text.split(",")) if word]


def _scopes(words: Sequence[str]) -> list[ScopeName]:
    found = [scope for scope in SCOPES if scope in words]
    if not found or len(found) != len(set(words)):
        raise ValidationFailed(f"scope: is not made of {', '.join(SCOPES)}.", param="scope")
    return found


def _moment(text: str | None) -> datetime | None:
    """`90d`, `12h`, `1y`, or a date, UTC. Raises ValidationFailed."""
    if text is None:
        return None
    now = datetime.now(UTC)
    try:
        span = _IN.fullmatch(text)
        found = now + timedelta(hours=int(span[1]) * _HOURS[span[2]]) if span else moment(text)
    except (ValueError, OverflowError):
        found = now
    if found <= now:
        raise ValidationFailed("expires: is neither a time to come, such as 2027-01-31, nor a span, such as 90d.")
    return found


def _refused(bearer: str, now: datetime) -> Key:
    """The mark that the tokens of a bearer are refused."""
    nothing: frozenset[Any] = frozenset()
    return Key(
        bearer, "tokens of an identity provider", None, "default", nothing, nothing, nothing, now, revoked_at=now
    )


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "active"


def _shown(names: frozenset[Any] | None) -> str:
    return "all" if names is None else ", ".join(sorted(names)) or "none"
