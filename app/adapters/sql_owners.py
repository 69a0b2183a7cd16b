"""Whose a row is: columns `tenant`, `key_id` and `rights`, of which every table of what somebody asked for has its own."""

from typing import Any

from sqlalchemy import ColumnElement, Row, Table, and_, true

from app.keys.model import LOCAL, SCOPES, Principal


def owner_values(owner: Principal) -> dict[str, Any]:
    """The columns of a row. The rights are those that the owner had when it was made."""
    rights = {
        "scopes": sorted(owner.scopes),
        "groups": None if owner.groups is None else sorted(owner.groups),
        "collections": None if owner.collections is None else sorted(owner.collections),
    }
    return {"tenant": owner.tenant, "key_id": owner.key_id, "rights": None if owner == LOCAL else rights}


def owner_of(row: Row[Any]) -> Principal:
    """Whose it is. Rows from before there were keys are this machine's; a key without rights has none."""
    if row.rights is None:
        mine = row.key_id is None
        nothing: frozenset[str] | None = None if mine else frozenset()
        return Principal(row.tenant, row.key_id, frozenset(SCOPES if mine else ()), nothing, nothing)
    groups, collections = row.rights["groups"], row.rights["collections"]
    return Principal(
        row.tenant,
        row.key_id,
        frozenset(row.rights["scopes"]),
        None if groups is None else frozenset(groups),
        None if collections is None else frozenset(collections),
    )


def seen_by(table: Table, who: Principal | None) -> ColumnElement[bool]:
    """The rows that somebody may see, as `Principal.may_see` has it; all of them for the service itself, which is None."""
    if who is None:
        return true()
    mine = table.c.tenant == who.tenant
    return mine if who.sees_all else and_(mine, table.c.key_id.is_not_distinct_from(who.key_id))
