"""What each address asks of whoever calls it. An address that does not stand here is there for operators only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from app.errors import InsufficientScope, NotFound
from app.keys.model import SCOPES, Principal, ScopeName

Special = Literal["", "public", "operator", "here", "unknown"]


@dataclass(frozen=True, slots=True)
class Need:
    """One of these scopes; or: nothing (`public`), an operator, or a call from this machine or an admin's key (`here`)."""

    scopes: frozenset[ScopeName] = frozenset()
    special: Special = ""

    def check(self, who: Principal) -> None:
        """Raises InsufficientScope, NotFound."""
        if self.special == "unknown" and not who.operator:
            raise NotFound("There is nothing at this address.")
        if self.special == "operator" and not who.operator:
            raise InsufficientScope(
                "This concerns the whole installation and needs an operator's key.",
                "Use a key of the tenant default that was created with --scope admin --groups '*' and no --collection.",
            )
        if self.special == "here" and "admin" not in who.scopes:
            raise InsufficientScope("This needs a key with the scope admin.")
        if self.scopes and self.scopes.isdisjoint(who.scopes):
            wanted = " or ".join(scope for scope in SCOPES if scope in self.scopes)
            raise InsufficientScope(f"The key lacks the scope that this needs: {wanted}.")


_PUBLIC, _OPERATOR, _HERE = Need(special="public"), Need(special="operator"), Need(special="here")
_ASK, _INGEST = Need(frozenset({"ask"})), Need(frozenset({"ingest"}))
_READ, _ANY = Need(frozenset({"ask", "ingest"})), Need(frozenset(SCOPES))
_UNKNOWN = Need(special="unknown")

NEEDS: Mapping[tuple[str, str], Need] = {
    # the page's own files, which hold nothing of anybody, and whether the service is well
    ("GET", "/"): _PUBLIC,
    ("GET", "/sources/{source_id}"): _PUBLIC,
    ("GET", "/web/{name:path}"): _PUBLIC,
    ("GET", "/health/live"): _PUBLIC,
    ("GET", "/health/ready"): _PUBLIC,
    # questions
    ("POST", "/ask"): _ASK,
    ("POST", "/v1/ask"): _ASK,
    ("GET", "/ask"): _ASK,
    ("POST", "/v1/vector_stores/{collection}/search"): _ASK,
    ("GET", "/v1/answers/{answer_id}"): _ASK,
    ("GET", "/v1/answers/{answer_id}/explain"): _ASK,
    ("GET", "/v1/answers/{answer_id}/events"): _ASK,
    ("POST", "/v1/answers/{answer_id}/cancel"): _ASK,
    ("POST", "/v1/batch"): _ASK,
    ("GET", "/v1/jobs/{job_id}/results"): _ASK,
    # documents
    ("GET", "/v1/collections"): _ANY,
    ("GET", "/v1/documents"): _READ,
    ("GET", "/v1/documents/{document_id}"): _READ,
    ("GET", "/v1/documents/{document_id}/content"): _ASK,
    ("GET", "/v1/sources/{source_id}"): _ASK,
    ("POST", "/v1/documents"): _INGEST,
    ("DELETE", "/v1/documents/{document_id}"): _INGEST,
    ("GET", "/v1/documents/{document_id}/receipt"): _INGEST,
    # jobs and webhooks: whose they are is looked at with each
    ("GET", "/v1/jobs"): _ANY,
    ("GET", "/v1/jobs/{job_id}"): _ANY,
    ("GET", "/v1/jobs/{job_id}/events"): _ANY,
    ("POST", "/v1/jobs/{job_id}/cancel"): _ANY,
    ("GET", "/v1/webhooks/dead"): _ANY,
    ("POST", "/v1/webhooks/{webhook_id}/retry"): _ANY,
    # the whole installation
    ("POST", "/v1/jobs"): _OPERATOR,
    ("GET", "/v1/generations"): _OPERATOR,
    ("GET", "/openapi.json"): _HERE,
    ("GET", "/docs"): _HERE,
    ("GET", "/metrics"): _HERE,
}


def need_of(method: str, path: str) -> Need:
    """What an address asks for."""
    method = "GET" if method == "HEAD" else method
    return next((need for verb, pattern, need in _patterns() if verb == method and pattern.fullmatch(path)), _UNKNOWN)


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], Need], ...]:
    """Those without places first, as they are the narrower ones."""
    ordered = sorted(NEEDS.items(), key=lambda entry: "{" in entry[0][1])
    return tuple((verb, re.compile(_pattern(path)), need) for (verb, path), need in ordered)


def _pattern(path: str) -> str:
    parts = re.split(r"(\{[^}]+\})", path)
    return "".join(
        (".*" if part.endswith(":path}") else "[^/]+") if part.startswith("{") else re.escape(part) for part in parts
    )
