"""What keys need: a place to be kept in, and somebody who checks tokens of an identity provider."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from app.keys.model import Key, Principal


class KeyStore(Protocol):
    """Where keys are kept. Every call is one transaction; rows are never removed."""

    async def add(self, key: Key) -> None:
        """Keep a new key."""
        ...

    async def revoke(self, key_id: str, now: datetime) -> bool:
        """It is refused from now on, if there is one of this id; whether there is. Twice does no harm."""
        ...

    async def all(self) -> list[Key]:
        """Every key there was, the oldest first."""
        ...

    async def since(self, seen: int) -> tuple[int, Sequence[Key]]:
        """Keys that are new or changed behind the change `seen`, and the number of the last change."""
        ...


class Tokens(Protocol):
    """Checks bearer tokens of an identity provider."""

    async def principal(self, token: str) -> Principal:
        """Whose token it is. Raises InvalidApiKey, IdentityUnavailable."""
        ...
