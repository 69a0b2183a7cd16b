"""E-mail: subject, who wrote to whom and when, and the text. Attachments are named and not read.

The plain part is preferred; the HTML part is read where there is no other.
"""

import re
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message

from ingest.errors import Broken, EmptyText, NotText
from ingest.model import Parsed
from ingest.readers import html
from ingest.readers.metadata import said
from ingest.readers.plain import paragraphs
from ingest.readers.text import Lines, TextBuilder, clean, decode, not_empty, one_line

MEDIA_TYPE = "message/rfc822"
_SHOWN = ("From", "To", "Cc", "Date")
_METADATA = {"author": "From", "created": "Date", "language": "Content-Language", "tags": "Keywords"}
_LONGEST_HEADER = 1000
_MOST_PARTS = 1000
_QUOTED = re.compile(r"(?:>[^\n]*(?:\n|$))+$")


def read(name: str, data: bytes) -> Parsed:
    """One message. Raises Broken, EmptyText, and NotText for a body in no encoding we know."""
    try:
        message = message_from_bytes(data)
        parts, attached = _parts(message)
    except (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise Broken(f"{name} is not a readable e-mail.") from error
    subject = _header(message, "Subject")
    lines = [f"{key}: {shown}" for key in _SHOWN if (shown := _header(message, key))]
    if not lines and not subject:
        raise Broken(f"{name} is not an e-mail: it has neither subject nor sender.")
    builder = TextBuilder()
    builder.add("heading", subject, level=1)
    builder.add("paragraph", "\n".join(lines))
    _add_body(builder, name, parts)
    if attached:
        builder.add("paragraph", f"Attachments: {', '.join(attached)}")
    metadata = said((key, _header(message, header)) for key, header in _METADATA.items())
    return Parsed(subject, not_empty(name, builder.text), tuple(builder.blocks), MEDIA_TYPE, metadata=metadata)


def _header(message: Message, key: str) -> str:
    """A header in plain text; one that is encoded wrongly is told as it stands."""
    raw = str(message.get(key, ""))[:_LONGEST_HEADER]
    try:
        said = str(make_header(decode_header(raw)))
    except (MessageError, ValueError, LookupError):
        said = raw
    return one_line(clean(said), _LONGEST_HEADER)


def _parts(message: Message) -> tuple[list[Message], list[str]]:
    """The parts that are text to be read, and the names of the others."""
    texts: list[Message] = []
    attached: list[str] = []
    waiting = [message]
    while waiting and len(texts) + len(attached) < _MOST_PARTS:
        part = waiting.pop()
        kind, called = part.get_content_type(), part.get_filename()
        inside = part.get_payload()
        if kind == "message/rfc822" and part is not message and isinstance(inside, list):
            attached.append(_header(inside[0], "Subject") if inside and isinstance(inside[0], Message) else "a message")
        elif isinstance(inside, list):
            waiting.extend(reversed([found for found in inside if isinstance(found, Message)]))
        elif called or part.get_content_disposition() == "attachment":
            attached.append(one_line(clean(called or kind)))
        elif kind in ("text/plain", "text/html"):
            texts.append(part)
    return texts, [found for found in attached if found]


def _add_body(builder: TextBuilder, name: str, parts: list[Message]) -> None:
    """All plain parts, or where they say nothing, all that are HTML."""
    plain = [text for part in parts if part.get_content_type() == "text/plain" and (text := _text(name, part))]
    for text in plain:
        lines = Lines(text)
        for block in paragraphs(lines):
            said = text[block.start : block.end]
            builder.add("quote" if _QUOTED.match(said) else "paragraph", said)
    if not plain:
        for part in (part for part in parts if part.get_content_type() == "text/html"):
            page = html.main_text(_text(name, part))
            for block in page.blocks:
                level = 1 + len(block.heading_path) if block.kind == "heading" else None
                builder.add(block.kind, page.text[block.start : block.end], level=level)


def _text(name: str, part: Message) -> str:
    """The text of a part in the encoding that it says or that it seems to have; empty where there is none."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes) or not data.strip():
        return ""
    try:
        return decode(name, data, part.get_content_charset())
    except (EmptyText, NotText):
        return ""
