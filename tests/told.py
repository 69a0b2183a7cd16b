"""What an answer's events tell whoever reads them."""

from collections.abc import Iterable

from generation.events import TextAdded, TextRetracted


def text_of(events: Iterable[object]) -> str:
    """The text that stands at the end, with what was taken back taken out."""
    text = ""
    for event in events:
        if isinstance(event, TextAdded):
            text += event.text
        elif isinstance(event, TextRetracted):
            text = text[: event.start] + event.replacement + text[event.end :]
    return text
