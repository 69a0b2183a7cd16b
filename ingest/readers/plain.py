"""Plain text: paragraphs are what blank lines set apart. The stored text is the decoded file itself."""

import re
from itertools import pairwise

from ingest.model import Block, Parsed
from ingest.readers.text import Lines, decode

_BLANK = re.compile(r"\n[ \t]*(?=\n)")


def read(name: str, data: bytes) -> Parsed:
    """Text of any common encoding. Raises NotText and EmptyText."""
    text = decode(name, data)
    return Parsed("", text, paragraphs(Lines(text)), "text/plain")


def paragraphs(lines: Lines) -> tuple[Block, ...]:
    """Blocks between blank lines."""
    cuts = [0, *(match.end() for match in _BLANK.finditer(lines.text)), len(lines.text)]
    spans = (lines.span("paragraph", start, end) for start, end in pairwise(cuts))
    return tuple(block for block in spans if block is not None)
