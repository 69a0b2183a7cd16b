"""Tokens of an identity provider: real signatures, and everything that a token may try."""

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import ValidationError

from app.adapters.jwks import Jwks, from_file, from_url
from app.adapters.jwt_tokens import JwtTokens
from app.addresses import target_of
from app.errors import IdentityUnavailable, InvalidApiKey
from app.key_settings import OidcSettings
from app.keys.claims import ClaimNames, bearer_id
from app.keys.model import Principal
from tests.app.keyed import Caller, keyed, look
from tests.app.serving import assert_refused

ISSUER, AUDIENCE = "https://login.example", "grounded"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
NAMES = ClaimNames("tenant", "groups", "scope")
ALLOWED = ("RS256", "ES256")


def jwk(algorithm: Any, key: Any, kid: str, **more: Any) -> dict[str, Any]:
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, **more}


SET = {
    "keys": [
        jwk(RSAAlgorithm, RSA, "rsa"),
        jwk(ECAlgorithm, EC, "ec", alg="ES256", use="sig"),
        jwk(RSAAlgorithm, RSA, "enc", use="enc"),
        jwk(RSAAlgorithm, RSA, "other", alg="RS512"),
        {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")},
    ]
}


def claims(**more: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + timedelta(minutes=5), "tenant": "acme"}
    found = {**said, "groups": ["hr", "two words", 7, "*"], "scope": "ask openid", **more}
    return {name: value for name, value in found.items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", kid: Any = "rsa", headers: Any = None, **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, headers={"kid": kid, **(headers or {})})


async def known() -> bytes:
    return json.dumps(SET).encode()


def principal(text: str, names: ClaimNames = NAMES, read: Any = known) -> Principal:
    return asyncio.run(JwtTokens(Jwks(read), ISSUER, AUDIENCE, ALLOWED, names).principal(text))


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec")])
def test_a_token_says_who_asks(key: Any, algorithm: str, kid: str) -> None:
    who = principal(token(key, algorithm, kid))
    assert (who.tenant, who.scopes, who.groups, who.collections) == ("acme", {"ask"}, {"hr"}, None)
    assert who.key_id == bearer_id(ISSUER, "ada")
    assert who.until is not None
    assert not who.operator


def test_what_it_does_not_say_is_not_granted() -> None:
    who = principal(token(groups=None, scope=None))
    assert (who.scopes, who.groups) == (frozenset(), frozenset())
    assert principal(
        token(scope=["grounded:ask", "ingest"]), ClaimNames("tenant", "groups", "scope", "grounded:")
    ).scopes == {"ask"}
    assert principal(token(tenant=None), ClaimNames("", "groups", "scope")).tenant == "default"


def pem() -> bytes:
    return RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_with(key: bytes, kid: str = "rsa") -> str:
    """A token signed with a shared secret, as an attacker makes it: PyJWT itself refuses to sign with a public key."""
    import hashlib
    import hmac

    def part(content: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")

    said = {**claims(), "exp": int(time.time()) + 300}
    signed = part({"alg": "HS256", "kid": kid}) + b"." + part(said)
    mark = base64.urlsafe_b64encode(hmac.new(key, signed, hashlib.sha256).digest()).rstrip(b"=")
    return (signed + b"." + mark).decode()


def forged(header: bytes) -> str:
    """A token whose header is these very bytes."""
    parts = (header, json.dumps(claims(), default=str).encode(), b"mark")
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode()


PAST = datetime.now(UTC) - timedelta(minutes=5)
BAD: dict[str, Callable[[], str]] = {
    "expired": lambda: token(exp=PAST),
    "without an end": lambda: token(exp=None),
    "not yet": lambda: token(nbf=datetime.now(UTC) + timedelta(minutes=5)),
    "of another issuer": lambda: token(iss="https://evil.example"),
    "without an issuer": lambda: token(iss=None),
    "for another audience": lambda: token(aud="another"),
    "without an audience": lambda: token(aud=None),
    "without a subject": lambda: token(sub=None),
    "without a tenant": lambda: token(tenant=None),
    "with a tenant that is none": lambda: token(tenant="../acme"),
    "with several tenants": lambda: token(tenant=["acme"]),
    "unsigned": lambda: jwt.encode(claims(), None, "none", headers={"kid": "rsa"}),
    "signed with the public key as a secret": lambda: hmac_with(pem()),
    "signed with the set's own secret": lambda: hmac_with(b"x" * 32, "oct"),
    "with an algorithm that is not allowed": lambda: token(algorithm="RS384"),
    "with an algorithm that its key is not for": lambda: token(kid="other"),
    "with a key that is for something else": lambda: token(kid="enc"),
    "with a key of another kind": lambda: token(kid="ec"),
    "of nobody who is known": lambda: token(kid="nobody"),
    "without a name of its key": lambda: jwt.encode(claims(), RSA, "RS256"),
    "with what must be understood": lambda: token(headers={"crit": ["b64"], "b64": True}),
    "signed by somebody else": lambda: token(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "changed": lambda: token()[:-4] + "AAAA",
    "cut": lambda: token().rpartition(".")[0],
    "no token": lambda: "a.b.c",
    "with a list of algorithms": lambda: forged(b'{"alg":["RS256"],"kid":"rsa"}'),
    "with an algorithm that is an object": lambda: forged(b'{"alg":{},"kid":"rsa"}'),
    "with a header nested deep": lambda: forged(b'{"alg":' + b"[" * 5000 + b"]" * 900 + b"}"),
    "with a header that is a list": lambda: forged(b'["RS256"]'),
    "with a header that is no JSON": lambda: forged(b"\xff\xfe"),
    "with a header of numbers without end": lambda: forged(b'{"alg":' + b"9" * 5000 + b"}"),
    "with an end that is no time": lambda: token(exp=10**30),
    "empty": lambda: "",
}


@pytest.mark.parametrize("what", BAD)
def test_a_token_that_is_not_accepted(what: str) -> None:
    with pytest.raises(InvalidApiKey) as caught:
        principal(BAD[what]())
    assert "ada" not in caught.value.message


def test_keys_that_cannot_be_had_let_nobody_in() -> None:
    async def away() -> bytes:
        raise OSError("away")

    with pytest.raises(IdentityUnavailable):
        principal(token(), read=away)
    for content in (b"[]", b"{}", b"no json", b'{"keys": 7}'):

        async def wrong(content: bytes = content) -> bytes:
            return content

        with pytest.raises(IdentityUnavailable):
            principal(token(), read=wrong)


def test_keys_are_read_now_and_then_and_kept_for_an_hour() -> None:
    time_, reads, here = [0.0], 0, True

    async def read() -> bytes:
        nonlocal reads
        reads += 1
        if not here:
            raise OSError("away")
        return await known()

    async def main() -> None:
        nonlocal here
        keys = Jwks(read, lambda: time_[0])
        for _ in range(9):
            assert await keys.named("rsa")
        assert reads == 1
        assert await keys.named("new") is None
        assert reads == 1  # not at every token of somebody who makes names up
        time_[0] = 20.0
        assert await keys.named("new") is None
        assert reads == 2
        here, time_[0] = False, 1000.0
        assert await keys.named("rsa")
        time_[0] = 20.0 + 3700.0
        with pytest.raises(IdentityUnavailable):
            await keys.named("rsa")

    asyncio.run(main())


class Provider(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("location", "/keys")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * 300_000 if self.path == "/much" else json.dumps(SET).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(url: str, **more: Any) -> bytes:
    target = target_of(url)
    assert target is not None
    return asyncio.run(from_url(target, **more)())  # type: ignore[arg-type]


def test_keys_are_fetched_where_the_operator_allows_it(provider: str) -> None:
    assert json.loads(fetched(f"{provider}/keys", private=True)) == SET
    for path in ("keys", "away", "much"):
        with pytest.raises(OSError):
            fetched(f"{provider}/{path}", private=path != "keys")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
)
def test_a_name_that_leads_inside_is_not_connected_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["93.184.216.34", address]

    def refuse(*_: Any) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(OSError, match="public internet"):
        fetched("https://login.example/keys", private=False, resolve=resolve)


def test_a_file_of_keys(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(SET))
    assert principal(token(), read=from_file(tmp_path / "keys.json")).tenant == "acme"


@pytest.mark.parametrize(
    "wrong",
    [
        {"audience": ""},
        {"jwks_file": ""},
        {"jwks_url": "https://login.example/keys"},
        {"jwks_file": "", "jwks_url": "http://login.example/keys"},
        {"jwks_file": "", "jwks_url": "https://u@login.example/keys"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
    ],
)
def test_settings_that_would_let_strangers_in(wrong: dict[str, Any]) -> None:
    good = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": "/keys.json"}
    OidcSettings(**good)
    with pytest.raises(ValidationError):
        OidcSettings(**{**good, **wrong})


@pytest.mark.usefixtures("silent")
def test_a_service_with_a_provider_is_closed_and_a_bearer_can_be_refused(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(SET))
    oidc = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(tmp_path / "keys.json"), "tenant_claim": "tenant"}
    with keyed(tmp_path, oidc=oidc) as service:
        assert_refused(Caller("nobody", service).get("/v1/collections"), 401, "missing_api_key")
        ada, bob = (Caller(n, service, token(sub=n, scope="ask ingest")) for n in ("ada", "bob"))
        job = ada.upload("otters.md", "# Otters\n\nOtters swim all day long.\n", ("hr",))
        assert job["status"] == "succeeded"
        assert ada.ask("What do otters do?").status_code == 200
        assert Caller("ada", service, token(sub="ada")).get(f"/v1/jobs/{job['id']}").status_code == 200  # of the bearer
        assert_refused(bob.get(f"/v1/jobs/{job['id']}"), 404, "job_not_found")
        from app.commands.keys import _refused

        store = service.grounded.authenticator.ring.store
        service.run(store.add(_refused(bearer_id(ISSUER, "ada"), datetime.now(UTC))))
        look(service)
        assert_refused(ada.ask(), 401, "key_revoked")
        assert bob.ask("What do otters do?").status_code == 200
