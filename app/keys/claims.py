"""What a checked token says of its bearer. Pure; the signature, the issuer and the times are checked before."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.errors import InvalidApiKey
from app.keys.model import SCOPES, Principal
from ingest.metadata import labels
from ingest.model import DEFAULT_TENANT, TENANT_NAME

_MOST_GROUPS = 256


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where to look. `tenant` empty: everyone is of the default tenant."""

    tenant: str
    groups: str
    scope: str
    prefix: str = ""


def principal_of_claims(claims: Mapping[str, Any], names: ClaimNames) -> Principal:
    """Whose token it is. What is not a label or no scope of ours counts for nothing. Raises InvalidApiKey."""
    return Principal(
        tenant=_tenant(claims, names.tenant),
        key_id=bearer_id(str(claims["iss"]), str(claims["sub"])),
        scopes=frozenset(scope for scope in SCOPES if f"{names.prefix}{scope}" in _words(claims.get(names.scope))),
        groups=frozenset(filter(_is_label, _words(claims.get(names.groups)))),
        collections=None,
        until=_end(claims),
    )


def bearer_id(issuer: str, subject: str) -> str:
    """The id of a bearer, under which what they asked for is theirs, whichever token they come with."""
    digest = hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()
    return f"oidc_{digest[:24]}"


def _end(claims: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidApiKey("The token ends at no time that there is.") from error


def _tenant(claims: Mapping[str, Any], name: str) -> str:
    found = claims.get(name) if name else DEFAULT_TENANT
    if not isinstance(found, str) or not re.fullmatch(TENANT_NAME, found):
        raise InvalidApiKey("The token names no tenant, or one that cannot be a name.")
    return found


def _words(value: Any) -> frozenset[str]:
    """A list of texts, or a text of words."""
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list) or len(value) > _MOST_GROUPS:
        return frozenset()
    return frozenset(word for word in value if isinstance(word, str))


def _is_label(text: str) -> bool:
    try:
        labels((text,))
    except ValueError:
        return False
    return True
