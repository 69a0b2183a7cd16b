"""Markdown by its token maps: the stored text is the source itself, so lines and quotes are exact. Only recorded terminals
lose the tags of their colours.

Only the block half of the parser runs: inline markup changes no boundary, and leaving it alone is ten times quicker.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.model import Block, BlockKind, Parsed
from ingest.readers.console import as_printed
from ingest.readers.front_matter import front_matter
from ingest.readers.metadata import named
from ingest.readers.text import Lines, Outline, decode, one_line

_KINDS: dict[str, BlockKind] = {
    "paragraph_open": "paragraph",
    "html_block": "paragraph",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
    "blockquote_open": "quote",
}
_ANCHOR = re.compile(r"[ \t]*\{[^{}]{0,200}\}[ \t]*$")
_ID = re.compile(r"\{[^{}]{0,200}?#([\w.:-]{1,100})[^{}]{0,200}\}[ \t]*$")
_TAG = re.compile(r"<[^<>]{0,400}>")
_LINK = re.compile(r"!?\[([^\[\]]{0,400})\](?:\([^()]{0,800}\)|\[[^\[\]]{0,200}\])")
_PARSER = MarkdownIt("commonmark").enable("table")
_PARSER.core.ruler.enableOnly(["normalize", "block"])


def read(name: str, data: bytes) -> Parsed:
    """Markdown with front matter, tables and attribute lists. Raises NotText and EmptyText."""
    text = as_printed(decode(name, data))
    lines = Lines(text)
    matter = front_matter(lines)
    tokens = _PARSER.parse(text[lines.start(matter.lines) :])
    found = (lines.block("code", 0, matter.lines), *_blocks(lines, tokens, matter.lines))
    blocks = tuple(_with_gaps(lines, [block for block in found if block is not None]))
    title = _matter_title(matter.fields) or _first_title(tokens)
    return Parsed(title, text, blocks, "text/markdown", metadata=named(matter.fields))


def pieces(text: str) -> Iterator[tuple[BlockKind, str, int | None]]:
    """Kind and text of each block of clean Markdown without front matter; a heading as it reads, and its level."""
    lines, tokens = Lines(text), _PARSER.parse(text)
    headings = {
        token.map[0] + 1: (int(token.tag[1]), heading_text(inside.content))
        for token, inside in pairwise(tokens)
        if token.type == "heading_open" and token.map is not None and token.level == 0
    }
    for block in _with_gaps(lines, (block for block in _blocks(lines, tokens, 0) if block is not None)):
        level, heading = headings.get(block.line or 0, (None, "")) if block.kind == "heading" else (None, "")
        yield block.kind, heading if level is not None else text[block.start : block.end], level


def _matter_title(fields: Mapping[str, Any]) -> str:
    title = next((value for key, value in fields.items() if str(key).lower() == "title"), "")
    return one_line(str(title)) if isinstance(title, str | int | float) else ""


def _first_title(tokens: list[Token]) -> str:
    """The first heading of the first level, or else the lower one that opens the text; further down it names a part."""
    headings = [
        (token, inside) for token, inside in pairwise(tokens) if token.type == "heading_open" and token.level == 0
    ]
    first = next((inside for token, inside in headings if token.tag == "h1"), None)
    if first is None and headings and headings[0][0] is tokens[0]:
        first = headings[0][1]
    return "" if first is None else heading_text(first.content)


def heading_text(source: str) -> str:
    """A heading as it reads: without attribute list, link targets, tags and emphasis."""
    text = _LINK.sub(r"\1", _ANCHOR.sub("", source))
    return one_line(_TAG.sub("", text).replace("`", "").replace("**", "").replace("\\", ""))


def _blocks(lines: Lines, tokens: list[Token], offset: int) -> Iterator[Block | None]:
    outline = Outline()
    anchor: str | None = None  # that of the section, where its heading gives it one: `## Install { #install }`
    for number, token in enumerate(tokens):
        if token.map is None or token.level:
            continue
        first, last = token.map[0] + offset, token.map[1] + offset
        if token.type == "heading_open":
            source = tokens[number + 1].content
            path = outline.enter(int(token.tag[1]), heading_text(source))
            anchor = found[1] if (found := _ID.search(source)) else None
            yield _anchored(lines.block("heading", first, last, path), anchor)
        elif kind := _KINDS.get(token.type):
            yield _anchored(lines.block(kind, first, last, outline.path), anchor)


def _anchored(block: Block | None, anchor: str | None) -> Block | None:
    return replace(block, anchor=anchor) if block is not None and anchor else block


def _with_gaps(lines: Lines, blocks: Iterable[Block]) -> Iterator[Block]:
    """Link definitions and rules have no token of their own; they are text of the document all the same."""
    end = 0
    path: tuple[str, ...] = ()
    for block in blocks:
        if block.start < end:
            continue
        if gap := lines.span("paragraph", end, block.start, path):
            yield gap
        yield block
        end, path = block.end, block.heading_path
    if gap := lines.span("paragraph", end, len(lines.text), path):
        yield gap
