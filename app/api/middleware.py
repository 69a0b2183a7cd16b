"""Around every request, as pure ASGI: a request id, the Host check, the body limit and the security headers. What two parsers
would read as two requests is refused.

Never `BaseHTTPMiddleware`: it keeps upstream calls running after the client has gone.
"""

import re
from collections import Counter
from secrets import token_hex
from typing import TYPE_CHECKING

from app.api.replies import error_response
from app.errors import BodyTooLarge, CrossSite, HostNotAllowed, InvalidRequest, NotFound
from ingest.errors import GroundedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "x-request-id"
_GIVEN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'; trusted-types dompurify grounded"
)
SECURITY_HEADERS = {
    "content-security-policy": _CSP,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Of two of these one parser takes the first and another the last, so that a proxy, or a check, would have seen another request.
_ONCE = (
    *(b"host", b"content-length", b"transfer-encoding", b"content-type"),
    *(b"origin", b"sec-fetch-site", b"idempotency-key"),
)
MAX_HEAD = 16_384  # bytes of a request line and its headers
_LONGEST_LENGTH = 15  # digits
_NOT_KEPT = (b"cache-control", b"no-store")

_UPLOADS = "/v1/documents"
_BATCH = "/v1/batch"
_MAX_TEXTS = 16 * 2**20
_WRITING = {"POST", "PUT", "PATCH", "DELETE"}


class Boundary:
    """The outermost layer of ours. What it refuses never reaches the application."""

    def __init__(
        self,
        app: "ASGIApp",
        allowed_hosts: tuple[str, ...],
        max_body: int,
        max_upload: int,
        public_url: str,
        max_batch: int = 0,
    ) -> None:
        """Sizes in bytes; of uploads only files may be as large as `max_upload`, texts are held in memory."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._max_body = max_body
        self._max_upload = max_upload
        self._max_batch = max(max_batch, max_body)
        self._public_origin = origin_of(public_url)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request on with its id, its body counted and its response headed."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(REQUEST_ID.encode(), b"").decode("latin-1")
        request_id = given if _GIVEN_ID.fullmatch(given) else f"req_{token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        most = self._most(scope, headers)
        unclear = _unclear(scope)
        refusal = unclear or self._refusal(scope, headers, most)
        app = error_response(refusal, request_id) if refusal else self._app
        await app(scope, _counted(receive, most), _headed(send, request_id, last=unclear is not None))

    def _most(self, scope: "Scope", headers: dict[bytes, bytes]) -> int:
        """Bytes of this request's body."""
        if (scope["method"], scope["path"]) == ("POST", _BATCH):
            return self._max_batch
        if (scope["method"], scope["path"]) != ("POST", _UPLOADS):
            return self._max_body
        as_files = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        return self._max_upload if as_files else min(self._max_upload, _MAX_TEXTS)

    def _refusal(self, scope: "Scope", headers: dict[bytes, bytes], most: int) -> GroundedError | None:
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if "*" not in self._hosts and host not in self._hosts:
            return HostNotAllowed("The Host header names a host that this service does not answer for.")
        if headers.get(b"sec-fetch-site") == b"cross-site" and not _is_page(scope["path"]):
            return CrossSite("A page of another site sent this request.")
        if scope["method"] in _WRITING and not self._own_origin(scope, headers):
            return CrossSite(
                "A page of another origin sent this request.",
                "Behind a proxy, set GROUNDED_PUBLIC_URL to the address of the page; else call from a program.",
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > _LONGEST_LENGTH or int(length) > most):
            return _too_large(most)
        return None

    def _own_origin(self, scope: "Scope", headers: dict[bytes, bytes]) -> bool:
        """Browsers name the page that writes; a form with files needs no leave of ours to be sent, so this is looked at.
        Programs name none."""
        origin = headers.get(b"origin")
        if origin is None:
            return True
        ours = f"{scope.get('scheme', 'http')}://{headers.get(b'host', b'').decode('latin-1').lower()}"
        return origin.decode("latin-1").lower() in {ours, self._public_origin} - {""}


def origin_of(url: str) -> str:
    """Scheme, host and port of an address; empty for none."""
    found = re.match(r"^(https?://[^/]+)", url.lower())
    return found.group(1) if found else ""


def _unclear(scope: "Scope") -> GroundedError | None:
    """What could be read in two ways, or is larger than any request that is meant. Nothing else is answered on such a
    connection: what follows may be of somebody else."""
    if "\0" in scope["path"]:
        return NotFound("There is nothing at this address.")
    names = Counter(name for name, _ in scope["headers"])
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    size += len(scope.get("raw_path") or b"") + len(scope["query_string"])
    wrong = {
        "its query holds a NUL character": b"%00" in scope["query_string"],
        "its length is told in two ways": names[b"content-length"] > 0 and names[b"transfer-encoding"] > 0,
        f"its head is larger than {MAX_HEAD // 1024} kB": size > MAX_HEAD,  # h11 lets pass what comes at once
        "it is of no version of HTTP that is spoken here": scope.get("http_version", "1.1") not in ("1.0", "1.1"),
        **{f"{name.decode()} stands there more than once": names[name] > 1 for name in _ONCE},
    }
    found = next((what for what, is_so in wrong.items() if is_so), None)
    return InvalidRequest(f"The request is refused: {found}.", "Mend its head, then send it again.") if found else None


def _counted(receive: "Receive", most: int) -> "Receive":
    seen = 0

    async def counted() -> "Message":
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {most // 1024} kB.")


def _is_page(path: str) -> bool:
    """What people may come to by a link from elsewhere; it answers no question by itself."""
    return path == "/" or path.startswith("/sources/")


def _host_name(host: str) -> str:
    """Without its port; an IPv6 address keeps its brackets."""
    return re.sub(r":\d+$", "", host.lower())


def _headed(send: "Send", request_id: str, *, last: bool) -> "Send":
    """With our headers; what does not say how long it may be kept is kept nowhere. `last`: the connection ends with it."""
    extra = [(name.encode(), value.encode()) for name, value in {**SECURITY_HEADERS, REQUEST_ID: request_id}.items()]
    extra += [(b"connection", b"close")] if last else []

    async def headed(message: "Message") -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers", [])
            kept = any(name.lower() == b"cache-control" for name, _ in given)
            message["headers"] = [*given, *extra, *([] if kept else [_NOT_KEPT])]
        await send(message)

    return headed
