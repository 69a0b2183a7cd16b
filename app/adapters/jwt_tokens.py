"""Bearer tokens of an identity provider, checked with PyJWT and the provider's public keys.

A token is checked with the one key that it names, by the algorithm that this key is for, and only if the operator allows it:
so no token can choose how it is checked.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jwt

from app.errors import InvalidApiKey
from app.keys.claims import ClaimNames, principal_of_claims
from app.keys.model import Principal

_REQUIRED = ["exp", "iss", "aud", "sub"]


class PublicKeys(Protocol):
    """The provider's keys, as JWKs."""

    async def named(self, kid: str) -> Mapping[str, Any] | None:
        """The key of this name, looked for anew if it is not known. Raises IdentityUnavailable."""
        ...


class JwtTokens:
    """Tokens that are JWTs."""

    def __init__(
        self,
        keys: PublicKeys,
        issuer: str,
        audience: str,
        algorithms: Sequence[str],
        names: ClaimNames,
        *,
        skew_s: int = 60,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._algorithms = frozenset(algorithms)
        self._names = names
        self._skew_s = skew_s

    async def principal(self, token: str) -> Principal:
        """See app.keys.ports.Tokens."""
        algorithm, kid = self._header(token)
        found = await self._keys.named(kid)
        if found is None:
            raise InvalidApiKey("The token was signed by nobody who is known here.")
        return principal_of_claims(self._claims(token, found, algorithm), self._names)

    def _header(self, token: str) -> tuple[str, str]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError):  # JSON may be nested deeper than Python reads
            raise InvalidApiKey("What was sent is neither a key nor a token.") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or not isinstance(kid, str):
            raise InvalidApiKey("The token does not say how it is signed.")
        if algorithm not in self._algorithms or "crit" in header:
            raise InvalidApiKey("The token is signed in a way that is not accepted here.")
        return algorithm, kid

    def _claims(self, token: str, key: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
        if key.get("kty") == "oct" or key.get("alg", algorithm) != algorithm or key.get("use", "sig") != "sig":
            raise InvalidApiKey("The token is signed in a way that its key is not for.")
        try:
            public = jwt.PyJWK(dict(key), algorithm=algorithm)
            return jwt.decode(
                token,
                public,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._skew_s,
                options={"require": _REQUIRED},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidApiKey("The token has expired.", "Get a new token from the identity provider.") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            raise InvalidApiKey("The token is not one that is accepted here.") from None
