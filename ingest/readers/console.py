"""Recorded terminals in Markdown: output whose colours were kept as tags of HTML, as it was printed.

Pages that play such a recording hold `<font color="#4E9A06">tool</font> run` in a fence. A page that is read shows the tags
to nobody, so they are no part of the text: neither search nor a quote needs them. Lines stay lines.
"""

import re
from collections.abc import Iterator, Sequence

_FENCE = re.compile(r"[ \t]{0,40}(`{3,}|~{3,})[ \t]*([\w-]{0,40})")
_TERMINALS = {"", "console", "shell-session", "terminal", "text", "output", "bash", "sh", "shell"}
_COLOURED = re.compile(r"<(?:font|span)\s[^<>]{0,200}?(?:color|style)=")
_TAG = re.compile(r"</?(?:font|span|u|b|i|em|strong)(?:\s[^<>]{0,200})?>")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#39);")
_SIGNS = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"', "&apos;": "'", "&#39;": "'", "&nbsp;": " "}


def as_printed(text: str) -> str:
    """The text with the recordings in it as their terminal showed them; any other text as it is."""
    if not _COLOURED.search(text):
        return text
    lines = text.split("\n")
    for start, end in _recordings(lines):
        if any(_COLOURED.search(line) for line in lines[start:end]):
            lines[start:end] = [_plain(line) for line in lines[start:end]]
    return "\n".join(lines)


def _recordings(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The lines inside each fence that may hold output of a terminal."""
    mark, start, terminal = "", 0, False
    for number, line in enumerate(lines):
        found = _FENCE.match(line)
        if found is None:
            continue
        if not mark:
            mark, start, terminal = found[1], number + 1, found[2].lower() in _TERMINALS
        elif found[1].startswith(mark) and not line[found.end() :].strip() and not found[2]:
            if terminal:
                yield start, number
            mark = ""


def _plain(line: str) -> str:
    return _ENTITY.sub(lambda entity: _SIGNS[entity.group()], _TAG.sub("", line)).rstrip()
