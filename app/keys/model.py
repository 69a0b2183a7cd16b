"""The nouns: a Key, and the Principal that it stands for. Pure.

A principal is made of a credential and of nothing that a request says: tenant, scopes and groups come from here alone.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex, token_urlsafe
from typing import Literal, get_args

from ingest.model import DEFAULT_TENANT

ScopeName = Literal["ask", "ingest", "admin"]
SCOPES: tuple[ScopeName, ...] = get_args(ScopeName)
PREFIX = "grd_"
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks. `groups` None reads all that the tenant has, `collections` None all of its collections; `until` is
    when the credential ends. Without a `key_id` it is somebody on this machine, where there are no keys."""

    tenant: str
    key_id: str | None
    scopes: frozenset[ScopeName]
    groups: frozenset[str] | None
    collections: frozenset[str] | None
    until: datetime | None = None

    @property
    def unrestricted(self) -> bool:
        """Whether it reads all that its tenant has."""
        return self.groups is None and self.collections is None

    @property
    def operator(self) -> bool:
        """Whether it may do what concerns the whole installation: folders of this machine, and the index of all tenants."""
        return "admin" in self.scopes and self.tenant == DEFAULT_TENANT and self.unrestricted

    def may_use(self, collection: str) -> bool:
        """Whether it may look into the tenant's collection of that name."""
        return self.collections is None or collection in self.collections

    def may_label(self, labels: Collection[str]) -> bool:
        """Whether it holds all of these labels: nobody gives a document away, or puts it out of their own reach."""
        return self.groups is None or self.groups.issuperset(labels)

    @property
    def sees_all(self) -> bool:
        """Whether it sees what others of its tenant asked for."""
        return "admin" in self.scopes and self.unrestricted

    def may_see(self, owner: "Principal") -> bool:
        """Whether it may see what the owner asked for: jobs, answers, webhooks."""
        return self.tenant == owner.tenant and (self.sees_all or self.key_id == owner.key_id)


LOCAL = Principal(DEFAULT_TENANT, None, frozenset(SCOPES), None, None)  # who owns the state folder needs no key


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without itself: `digest` is all that is kept of it. None: a mark that the tokens of whoever has this id
    are refused. `budget_nano_usd` counts 1e-9 USD."""

    id: str
    name: str
    digest: str | None
    tenant: str
    scopes: frozenset[ScopeName]
    groups: frozenset[str] | None
    collections: frozenset[str] | None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    budget_nano_usd: int | None = None

    @property
    def principal(self) -> Principal:
        return Principal(self.tenant, self.id, self.scopes, self.groups, self.collections, self.expires_at)


def new_key(
    name: str,
    tenant: str,
    scopes: Collection[ScopeName],
    groups: frozenset[str] | None,
    collections: frozenset[str] | None,
    expires_at: datetime | None,
) -> tuple[Key, str]:
    """A key, and what it is shown as once: 256 random bits, from which neither its id nor any other key follows."""
    secret = PREFIX + token_urlsafe(_SECRET_BYTES)
    now = datetime.now(UTC)
    id_ = f"key_{token_hex(12)}"
    return Key(id_, name, digest(secret), tenant, frozenset(scopes), groups, collections, now, expires_at), secret


def digest(secret: str) -> str:
    """SHA-256 in hex. What is drawn from 256 random bits cannot be guessed, so no slower hash would protect it better."""
    return hashlib.sha256(secret.encode()).hexdigest()
