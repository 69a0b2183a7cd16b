"""reStructuredText by its sections and indentation: the stored text is the source itself.

A parser of our own and not docutils: docutils has no exact offsets, and it can include files, run roles and read
configuration. Here nothing is executed and nothing but the given bytes is read; directives stay as they are written.
"""

import re
from collections.abc import Iterator

from ingest.model import Block, BlockKind, Parsed
from ingest.readers.metadata import key_of, named
from ingest.readers.text import Lines, Outline, decode, one_line

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*[ \t]*$")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|#\.|\(?(?:\d{1,4}|[A-Za-z])[.)])[ \t]")
_TABLE = re.compile(r"[ \t]*(?:\+[-=+]{3,}|={2,}(?:[ \t]+={2,})+[ \t]*$)")
_VERBATIM = re.compile(r"\.\. (?:code|code-block|sourcecode|parsed-literal|literalinclude|math|highlight)::|\.\. \[")
_ROLE = re.compile(r":[A-Za-z][\w:+.-]{0,60}:`([^`<>]{0,300})(?:<[^`<>]{0,300}>)?`")
_FIELD = re.compile(r"[ \t]{0,8}:([A-Za-z][\w .-]{0,40}?):(?:[ \t]+(.*))?$")
_FIELDS_WITHIN = 60  # lines
_LONGEST_FIELD = 1000  # characters
_LINK = re.compile(r"`([^`<>]{0,300}?)[ \t]*<[^`<>]{0,500}>`_{0,2}")


def read(name: str, data: bytes) -> Parsed:
    """Sections, paragraphs, lists, tables, directives and literal blocks. Raises NotText and EmptyText."""
    text = decode(name, data)
    lines = Lines(text)
    blocks = tuple(_blocks(lines))
    title = next((block.heading_path[-1] for block in blocks if block.kind == "heading"), "")
    return Parsed(title, text, blocks, "text/x-rst", metadata=named(_fields(lines)))


def _fields(lines: Lines) -> dict[str, str]:
    """The field list at the beginning, and those of `meta` directives: a field may go on in indented lines."""
    found: dict[str, str] = {}
    key = ""
    for number in range(min(len(lines), _FIELDS_WITHIN)):
        line = lines[number][:_LONGEST_FIELD]
        if field := _FIELD.match(line):
            key = field[1]
            found.setdefault(key, (field[2] or "").strip())
        elif key and line[:1] in (" ", "\t") and line.strip():
            found[key] = f"{found[key]} {line.strip()}"[:_LONGEST_FIELD]
        else:
            key = ""
    return {key: value for key, value in found.items() if key_of(key) is not None}


def _blocks(lines: Lines) -> Iterator[Block]:
    outline, styles, line = Outline(), list[str](), 0
    literal = False
    while line < len(lines):
        if not lines[line].strip():
            line += 1
            continue
        if (found := _heading(lines, line)) and not literal:
            style, heading, length = found
            if style not in styles:
                styles.append(style)
            path = outline.enter(styles.index(style) + 1, heading)
            kind: BlockKind = "heading"
        else:
            length, path = _extent(lines, line), outline.path
            kind = _kind(lines, line, literal=literal)
        block = lines.block(kind, line, line + length, path)
        if block is not None:
            yield block
            literal = kind == "paragraph" and lines.text.endswith("::", block.start, block.end)
        line += length


def _heading(lines: Lines, line: int) -> tuple[str, str, int] | None:
    """Style, text and number of lines of a section title that begins here; one that is all marks says nothing."""
    first, second, third = (lines[at] if at < len(lines) else "" for at in (line, line + 1, line + 2))
    if not first.strip() or not second.strip():
        return None
    if not _readable(second if _ADORNMENT.match(first) else first):
        return None
    over = _ADORNMENT.match(first)
    if over and second.strip() and third.rstrip() == first.rstrip() and len(first.rstrip()) >= len(second.strip()):
        return over.group(1) * 2, _readable(second), 3
    under = _ADORNMENT.match(second)
    if under and not over and first[0] not in " \t" and len(second.rstrip()) >= min(4, len(first.rstrip())):
        return under.group(1), _readable(first), 2
    return None


def _readable(heading: str) -> str:
    return one_line(_LINK.sub(r"\1", _ROLE.sub(r"\1", heading)).replace("`", ""))


def _kind(lines: Lines, line: int, *, literal: bool) -> BlockKind:
    text = lines[line]
    if _VERBATIM.match(text) or (literal and text[:1] in (" ", "\t")):
        return "code"
    if _TABLE.match(text):
        return "table"
    return "list" if _ITEM.match(text) else "paragraph"


def _extent(lines: Lines, line: int) -> int:
    """Lines up to the next blank line; a directive, a literal block and a list go on while what follows is indented."""
    marked = lines[line].startswith(".. ") or bool(_ITEM.match(lines[line])) or lines[line][:1] in (" ", "\t")
    if _TABLE.match(lines[line]) and lines[line].lstrip().startswith("="):
        return _simple_table(lines, line)
    end = line + 1
    while end < len(lines):
        text = lines[end]
        if not text.strip():
            if not marked or not _goes_on(lines, end, line):
                return end - line + 1
        elif _heading(lines, end) and text[:1] not in (" ", "\t") and end > line:
            return end - line
        end += 1
    return end - line


def _goes_on(lines: Lines, blank: int, first: int) -> bool:
    """Whether the text behind a blank line still belongs to the indented or listed block that began at `first`."""
    following = next((lines[at] for at in range(blank, min(blank + 50, len(lines))) if lines[at].strip()), "")
    if following[:1] in (" ", "\t"):
        return True
    return bool(_ITEM.match(lines[first]) and _ITEM.match(following))


def _simple_table(lines: Lines, line: int) -> int:
    """A simple table ends at a border that a blank line follows; one that never ends is taken as far as we look."""
    last = min(line + 2000, len(lines))
    for end in range(line + 1, last):
        if _TABLE.match(lines[end]) and (end + 1 >= len(lines) or not lines[end + 1].strip()):
            return end - line + 1
    return last - line
