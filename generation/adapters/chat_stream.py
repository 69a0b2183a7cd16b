"""What a chat completion stream says, read without trust. Pure: bytes in, text and facts out.

We read the events ourselves because the client library swallows the end marker, and without it a stream that was cut
cannot be told from one that ended.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from generation.errors import ContextTooLong, GenerationError, UpstreamTruncated, UpstreamUnavailable
from generation.model import Usage

LONGEST_LINE = 1_000_000  # bytes; real chunks have a few hundred
LONGEST_ANSWER = 200_000  # characters; no model writes that much, a broken endpoint may
_LARGEST_USAGE = 1_000_000_000
_END = b"[DONE]"
_FULL = (429, 503)  # as a status, in an error object
_BOM = b"\xef\xbb\xbf"
_TOO_LONG = ("context_length", "context length", "context window", "maximum context", "prompt is too long")


class EventData:
    """Splits bytes, however they were cut, into the `data` of server-sent events."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._names_error = False
        self._at_start = True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that ended; read all of it. Raises UpstreamTruncated when one grows beyond all measure, and
        for one that is called an error: some endpoints name the event or the field so instead of what is in it."""
        head, *tails = piece.split(b"\n")
        self._line += head
        for tail in tails:
            yield from self._end_line()
            self._line += tail
        if len(self._line) + sum(map(len, self._data)) > LONGEST_LINE:
            raise UpstreamTruncated("The model endpoint sent a line that is too long to be an answer.")

    def close(self) -> list[bytes]:
        """The end marker, where the stream ended without the empty line behind it. Other unfinished data is lost."""
        found = [*self._end_line(), *self._end_event()]
        return [data for data in found if data == _END]

    def _end_line(self) -> list[bytes]:
        line = bytes(self._line).removesuffix(b"\r")
        self._line.clear()
        if self._at_start:
            self._at_start, line = False, line.removeprefix(_BOM)
        if not line:
            return self._end_event()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"error":
            raise error_in_stream(_text_of(value))
        elif name == b"event":
            self._names_error = value == b"error"
        return []

    def _end_event(self) -> list[bytes]:
        data, self._data = self._data, []
        if data and self._names_error:
            raise error_in_stream(_text_of(b"\n".join(data)))
        self._names_error = False
        return [b"\n".join(data)] if data else []


class Reply:
    """What has been learnt from the chunks so far. `ended` is the end marker, `finish` the model's own reason."""

    def __init__(self) -> None:
        self.text_length = 0
        self.finish: str | None = None
        self.usage: Usage | None = None
        self.ended = False

    def read(self, data: bytes) -> tuple[str, bool]:
        """The answer text of one chunk, and whether the model gave a sign of life (it may be thinking aloud elsewhere).

        Raises UpstreamTruncated for what is no chunk, and for an error in place of one.
        """
        if self.ended or data.strip() == _END:
            self.ended = True  # what comes behind the end is none of ours
            return "", False
        chunk = _parse(data)
        if chunk.get("error") or chunk.get("object") == "error":
            raise error_in_stream(chunk, said_nothing=not self.text_length)
        self.usage = read_usage(chunk.get("usage")) or self.usage
        choice = _first(chunk.get("choices"))
        delta = _mapping(choice.get("delta"))
        text = self._text(delta.get("content"))
        self.finish = self._finish(choice.get("finish_reason"))
        return text, any(isinstance(value, str) and value for key, value in delta.items() if key != "role")

    def is_over(self) -> bool:
        """Whether the end marker came; what follows it is none of ours."""
        return self.ended

    def check_complete(self) -> None:
        """Raises UpstreamTruncated unless the model finished its answer, the endpoint said so, and there is one."""
        if not self.ended or self.finish is None:
            missing = "end marker" if self.finish else "finish reason"
            raise UpstreamTruncated(f"The model endpoint's answer broke off: no {missing} came.")
        if self.finish == "content_filter":
            raise UpstreamTruncated(
                "The model endpoint's content filter withheld the rest of the answer.", "Ask in other words."
            ).caused_by_request()
        if self.finish not in ("stop", "length"):
            raise UpstreamTruncated("The model ended its answer for a reason that an answer cannot end with.")

    def _text(self, content: object) -> str:
        if content is None or content == "":
            return ""
        if not isinstance(content, str) or self.finish is not None:
            raise UpstreamTruncated("The model endpoint sent text where none can be.")
        self.text_length += len(content)
        if self.text_length > LONGEST_ANSWER:
            raise UpstreamTruncated("The model endpoint did not stop sending text.")
        return content

    def _finish(self, reason: object) -> str | None:
        return reason if isinstance(reason, str) and reason else self.finish


def error_in_stream(error: object, *, said_nothing: bool = False) -> GenerationError:
    """The error for an error object in place of a chunk. Its text is not passed on: it may hold the question. vLLM refuses
    a stream that its queue has no place for with status 200 and such an object, in place of the first chunk."""
    if speaks_of_length(error):
        return ContextTooLong("Question and passages do not fit the model's window.")
    inner = _mapping(_mapping(error).get("error")) or _mapping(error)
    if said_nothing and inner.get("code") in _FULL:
        return UpstreamUnavailable("The model endpoint takes no more requests at present.")
    return UpstreamTruncated("The model endpoint broke off its answer with an error.")


def _text_of(data: bytes) -> str:
    return data.decode(errors="replace")


def speaks_of_length(body: object) -> bool:
    """Whether an endpoint's error says that the request is too long; endpoints differ in how they say so."""
    said = str(body).lower()
    return any(words in said for words in _TOO_LONG)


def read_usage(said: object) -> Usage | None:
    """Token counts as the endpoint gives them, or None where they are missing or absurd."""
    usage = _mapping(said)
    given, made = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if given is None or made is None:
        return None
    cached = _count(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens")) or 0
    return Usage(given, made, min(cached, given))


def _count(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < _LARGEST_USAGE else None


def _parse(data: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        chunk = None
    if not isinstance(chunk, dict):
        raise UpstreamTruncated("The model endpoint sent something that is not a part of an answer.")
    return chunk


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(value: object) -> dict[str, Any]:
    return _mapping(value[0]) if isinstance(value, list) and value else {}
