"""Tokens of an identity provider, which stand beside API keys."""

from typing import Literal, Self

from pydantic import Field, model_validator

from app.addresses import target_of
from app.settings_section import Section

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class OidcSettings(Section):
    """Whose tokens are accepted, and what is read in them."""

    issuer: str = Field(
        "",
        description="The identity provider whose tokens are accepted, as their claim iss names it. Empty: none are.",
    )
    audience: str = Field("", description="What the claim aud of a token must hold: this service's name there.")
    jwks_url: str = Field(
        "",
        description="Where the provider's public keys are, https to a public address. Fetched when the first token comes, "
        "then every five minutes.",
    )
    jwks_file: str = Field("", description="A file with these keys instead of jwks_url; read again when it changes.")
    private: bool = Field(
        False, description="Let jwks_url lead into a private network or to this machine, there also with http."
    )
    algorithms: tuple[Algorithm, ...] = Field(
        ("RS256", "PS256", "ES256", "EdDSA"),
        min_length=1,
        description="Signatures that are accepted. Those with a shared secret (HS...) and none never are.",
    )
    clock_skew_s: int = Field(60, ge=0, le=300, description="By how much the provider's clock may differ from ours.")
    tenant_claim: str = Field(
        "", description="The claim that names the tenant; a token without it is refused. Empty: the tenant default."
    )
    groups_claim: str = Field("groups", description="The claim that lists the groups: the labels that may be read.")
    scope_claim: str = Field(
        "scope",
        description="The claim that lists scopes, as words or as a list; others than ask, ingest, admin are left.",
    )
    scope_prefix: str = Field(
        "", description="What stands in front of our scopes there: grounded: for grounded:ask; without it none count."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.issuer:
            return self
        if not self.audience:
            raise ValueError("oidc.issuer needs oidc.audience, or tokens made for other services would be accepted")
        if bool(self.jwks_url) == bool(self.jwks_file):
            raise ValueError("oidc.issuer needs either oidc.jwks_url or oidc.jwks_file")
        target = target_of(self.jwks_url) if self.jwks_url else None
        if self.jwks_url and (target is None or (target.scheme != "https" and not self.private)):
            raise ValueError("oidc.jwks_url is no https address that every program reads alike")
        return self
