"""HTTP/1.1 as uvicorn speaks it, but what is no HTTP is answered as all else is: in our envelope, with our headers."""

from secrets import token_hex

import h11
import orjson
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api.middleware import REQUEST_ID, SECURITY_HEADERS
from app.error_table import envelope
from app.errors import InvalidRequest

_ABLE = (h11.IDLE, h11.SEND_RESPONSE)  # no reply has begun


class Protocol(H11Protocol):
    """One connection."""

    def send_400_response(self, msg: str) -> None:
        """Say that it is no HTTP, unless a reply is on its way already, and end the connection."""
        del msg
        if self.conn.our_state in _ABLE:
            self.transport.write(self._refusal())
        self.transport.close()

    def _refusal(self) -> bytes:
        request_id = f"req_{token_hex(12)}"
        body = orjson.dumps(
            envelope(InvalidRequest("What was sent is not HTTP, or its head is too large."), request_id)
        )
        headers = {**SECURITY_HEADERS, REQUEST_ID: request_id, "cache-control": "no-store", "connection": "close"}
        headers |= {"content-type": "application/json", "content-length": str(len(body))}
        head = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
        parts = (head, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self.conn.send(part) or b"" for part in parts)
