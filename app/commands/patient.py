"""Connections that wait for the head of a request only so long: else whoever sends a byte a minute keeps one for ever."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """One connection. `head_s` is for the head of one request, from its connection or its first byte on."""

    head_s = 10.0
    _late: asyncio.TimerHandle | None = None
    _asked = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come, and is expected to say what for."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """More of it."""
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        super().connection_lost(exc)
        self._stop()

    def _look(self) -> None:
        """A head is on its way while no request is, but for connections that are kept between two."""
        idle = self.conn.their_state is h11.IDLE
        self._asked = self._asked or not idle
        if not idle or (self._asked and not self.conn.trailing_data[0]):
            self._stop()
        elif self._late is None:
            self._late = self.loop.call_later(self.head_s, self.transport.close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def patient(protocol: type[H11Protocol], head_s: float) -> Any:
    """The same protocol with that patience."""
    return type(f"Patient{protocol.__name__}", (PatientProtocol, protocol), {"head_s": head_s})
