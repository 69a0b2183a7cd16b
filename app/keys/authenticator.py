"""The one place where a request becomes somebody: an API key, a token of an identity provider, or, where there never was a
key and only this machine can call, whoever calls."""

import re
from collections.abc import Sequence

from app.errors import InvalidApiKey, MissingApiKey
from app.keys.model import LOCAL, PREFIX, Principal
from app.keys.ports import Tokens
from app.keys.ring import KeyRing

_LONGEST = 8192
_BEARER = re.compile(rb"bearer +([\x21-\x7e]+) *", re.IGNORECASE)


class Authenticator:
    """Tells who asks."""

    def __init__(self, ring: KeyRing, tokens: Tokens | None, *, only_here: bool) -> None:
        """`only_here`: nobody but programs on this machine reaches the service."""
        self.ring = ring
        self._tokens = tokens
        self._only_here = only_here

    @property
    def open(self) -> bool:
        """Whether nobody needs a key. A key that was revoked is still one: what was closed stays closed."""
        return self._only_here and self._tokens is None and self.ring.empty

    async def authenticate(self, headers: Sequence[bytes]) -> Principal:
        """Who sent these Authorization headers. Raises MissingApiKey, InvalidApiKey, KeyRevoked, IdentityUnavailable,
        CatalogUnavailable."""
        await self.ring.fresh()
        if self.open:
            return LOCAL
        if not headers:
            raise MissingApiKey("The request has no Authorization header.")
        credential = _credential(headers)
        if credential.startswith(PREFIX) or self._tokens is None:
            return self.ring.principal(credential)
        found = await self._tokens.principal(credential)
        if (error := self.ring.ended(found)) is not None:
            raise error
        return found


def _credential(headers: Sequence[bytes]) -> str:
    """Raises InvalidApiKey."""
    found = _BEARER.fullmatch(headers[0]) if len(headers) == 1 and len(headers[0]) <= _LONGEST else None
    if found is None:
        raise InvalidApiKey("The Authorization header is not one of the form: Bearer KEY.")
    return found[1].decode("ascii")
