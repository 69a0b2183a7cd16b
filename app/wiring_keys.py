"""Keys, put together: who is asked who a request is from, and where keys are kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from app.addresses import is_loopback, target_of
from app.key_settings import OidcSettings
from app.keys.authenticator import Authenticator
from app.keys.claims import ClaimNames
from app.keys.ports import KeyStore, Tokens
from app.keys.ring import KeyRing
from app.settings import ConfigurationError, Settings
from app.state import StateFolder, catalog_url
from ingest.errors import StateLocked

if TYPE_CHECKING:
    from ingest.adapters.sql_catalog import SqlCatalog

_IN_STATE = SecretStr("")


async def authenticator_of(settings: Settings, catalog: "SqlCatalog", closing: AsyncExitStack) -> Authenticator:
    """Knows the keys that there are now. Raises CatalogUnavailable, ConfigurationError."""
    ring = KeyRing(_store(catalog))
    closing.push_async_callback(ring.close)
    await ring.fresh()
    return Authenticator(ring, _tokens(settings.oidc), only_here=listens_here_only(settings.host))


def listens_here_only(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there."""
    return host == "localhost" or is_loopback(host)


@asynccontextmanager
async def key_store(state: StateFolder, database_url: SecretStr = _IN_STATE) -> AsyncIterator[KeyStore]:
    """The keys of a state folder or of a database, also while somebody else works on it. Raises StateNotWritable,
    CatalogUnavailable."""
    from ingest.adapters.sql_catalog import SqlCatalog

    async with AsyncExitStack() as closing:
        if not database_url.get_secret_value():
            with suppress(StateLocked):  # then whoever holds it has made the catalog, and lets others in
                closing.enter_context(state.owned())
        catalog = await asyncio.to_thread(SqlCatalog, catalog_url(state, database_url))
        closing.push_async_callback(catalog.close)
        yield _store(catalog)


def _store(catalog: "SqlCatalog") -> KeyStore:
    from app.adapters.sql_keys import SqlKeys
    from ingest.adapters.key_tables import api_keys

    return SqlKeys(catalog, api_keys)


def _tokens(oidc: OidcSettings) -> Tokens | None:
    if not oidc.issuer:
        return None
    try:
        from app.adapters.jwks import Jwks, from_file, from_url
        from app.adapters.jwt_tokens import JwtTokens
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"oidc.issuer needs the package {error.name}.",
            "Install it with the extra: pip install 'grounded-qa[oidc]'.",
        ) from error
    target = target_of(oidc.jwks_url) if oidc.jwks_url else None
    read = from_url(target, private=oidc.private) if target is not None else from_file(Path(oidc.jwks_file))
    names = ClaimNames(oidc.tenant_claim, oidc.groups_claim, oidc.scope_claim, oidc.scope_prefix)
    return JwtTokens(Jwks(read), oidc.issuer, oidc.audience, oidc.algorithms, names, skew_s=oidc.clock_skew_s)
