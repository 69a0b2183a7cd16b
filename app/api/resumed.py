"""Streams of answers that can be taken up again: each reads a recording, from whatever event its client has got to."""

from collections.abc import AsyncGenerator
from itertools import count

from fastapi import Request
from starlette.responses import Response

from app.api.encoders.native import NativeEncoder, frame
from app.api.stream import EventStream, last_events
from app.errors import InvalidRequest
from app.keys.model import Principal
from app.keys.ring import End
from app.recordings import Recording, Recordings
from app.settings import Settings
from generation.events import AnswerEvent, Started

_NOTHING_LEFT = 204  # where a browser's EventSource comes back for more, this ends it


def recorded(
    recordings: Recordings,
    owner: Principal,
    events: tuple[AnswerEvent, AsyncGenerator[AnswerEvent, None]],
    encoder: NativeEncoder,
    end: End | None,
) -> Recording:
    """The recording of an answer that has just started."""
    started, numbers = events[0], count()
    assert isinstance(started, Started), "the first event of an answer"

    def frames(event: AnswerEvent) -> list[bytes]:
        return [frame(payload, next(numbers)) for payload in encoder.encode(event)]

    return recordings.record(started.answer_id, owner, events, frames, lambda error: last_events(started, error), end)


def read(recording: Recording, settings: Settings, number: int = 0) -> Response:
    """The events of a recording from that number on. Whose key ends is the recording's matter, and so is its closing."""
    if recording.ended and number >= len(recording.frames):
        return Response(status_code=_NOTHING_LEFT)
    reader = recording.reader(number)
    return EventStream(
        None, reader.frames(), bytes, ping_s=settings.ping_s, stalled_s=settings.stalled_s, cut=reader.cut
    )


def next_number(request: Request, recording: Recording) -> int:
    """The number of the event behind the one that the client has got last. Raises InvalidRequest."""
    given = request.headers.get("last-event-id", "").strip()
    if not given:
        return 0
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given) < len(recording.frames)):
        raise InvalidRequest(
            "Last-Event-ID is the number of no event of this answer.", "Send the id of the last event that came whole."
        )
    return int(given) + 1
