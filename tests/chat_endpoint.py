"""A chat endpoint that says one text after the other, whole and well-formed, whatever it is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.model_endpoint import Reply, Seen, endpoint
from tests.scripted_upstream import DONE, chunk, usage

STREAM = {"content-type": "text/event-stream"}


def streamed(text: str, finish: str = "stop") -> Reply:
    """The text as a stream of two pieces."""
    half = len(text) // 2
    body = b"".join([chunk(text[:half]), chunk(text[half:]), chunk(finish=finish), usage(), DONE])
    return Reply(body, headers=STREAM)


@contextmanager
def chat(*texts: str | Reply) -> Iterator[Seen]:
    """Each request gets the next of the texts, the later ones the last."""
    waiting = list(texts)

    def reply(body: Any) -> Reply:
        del body
        text = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return text if isinstance(text, Reply) else streamed(text)

    with endpoint(reply) as seen:
        yield seen


def generation(seen: Seen, **more: Any) -> dict[str, Any]:
    """Settings of one endpoint."""
    prices = {"price_input": 1, "price_output": 2}
    return {"backend": "openai_chat", "base_url": seen.url, "model": "m", **prices, **more}
