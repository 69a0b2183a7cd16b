"""What an extractive answer may quote of a passage: sentences, list items, table rows and whole pieces of code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

from ingest.sentences import sentence_spans
from retrieval.model import Passage

_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n.*?(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}|\t)[^\n]*(?:\n(?:(?: {4}|\t)[^\n]*|[ \t]*(?=\n)))*")
_PROMPT = ("$ ", "% ", "PS> ")
_ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.MULTILINE)
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t][^\n]*$|^[^\n]+\n[ \t]*([=\-~^\"*+#])\1{2,}[ \t]*$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^[ \t]*(?:///+|:::+|!!!)[^\n]*$", re.MULTILINE)  # opens or closes a box, or includes a page
_MARKER = re.compile(r"(?:[-*+•>]|\d{1,3}[.)])[ \t]+")
_CODE_PIECE = re.compile(r"\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
_WORD = re.compile(r"[^\W\d_]\w*")
_TICKS = re.compile(r"`+")
_MARKUP = re.compile(r"<[^<>\n]{0,400}>|\{[%{*][^\n]{0,400}?[%}*]\}|\]\([^()\n]{0,400}\)")
_LEAST_WORDS = 3  # what has fewer is a label or a heading, not a statement

UnitKind = Literal["sentence", "item", "list", "row", "code"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A quotable span `passage.text[start:end]` of the context's passage number `n`."""

    n: int
    start: int
    end: int
    text: str
    kind: UnitKind

    @property
    def is_prose(self) -> bool:
        return self.kind in ("sentence", "item")


def quotable(n: int, passage: Passage) -> list[Unit]:
    """The units of a passage, in order, none overlapping. Headings and scraps are left out, unless there is nothing else."""
    spans = list(_code_pieces(passage.text) if is_source(passage) else _spans(passage.text))
    units = [_unit(n, passage.text, start, end, kind) for start, end, kind in spans]
    names = {passage.title, *passage.heading_path}
    return [unit for unit in units if _says_something(unit, names)] or [unit for unit in units if unit.text]


def _unit(n: int, text: str, start: int, end: int, kind: UnitKind) -> Unit:
    """Without white space around it, which an answer would not keep."""
    quoted = text[start:end].strip()
    begin = start + len(text[start:end]) - len(text[start:end].lstrip())
    return Unit(n, begin, begin + len(quoted), quoted, kind)


def is_source(passage: Passage) -> bool:
    """Whether the passage is program text as a whole, not prose with examples in it."""
    return passage.media_type.startswith("text/x-") and passage.media_type != "text/x-rst"


def typed(unit: Unit) -> Unit:
    """Of a terminal's recording the commands that it begins with: what they print tells what they are good for, and is no
    answer itself. Any other unit is whole."""
    first, _, body = unit.text.partition("\n")
    if unit.kind != "code" or not _TICKS.match(first) or not body.startswith(_PROMPT):
        return unit
    lines = list(takewhile(lambda line: line.startswith(_PROMPT), body.splitlines()))
    if lines[-1].endswith("\\"):
        return unit  # a command goes on
    text = body[: len("\n".join(lines))]
    start = unit.start + len(first) + 1
    return replace(unit, start=start, end=start + len(text), text=text)


def as_markdown(unit: Unit, passage: Passage) -> str:
    """The unit as an answer shows it: program text in a fence, or its lines and signs would be read as Markdown."""
    bare = unit.kind == "code" and unit.text.startswith(_PROMPT)
    if not bare and (unit.kind != "code" or not is_source(passage)):
        return unit.text
    language = "console" if bare else passage.media_type.removeprefix("text/x-").removesuffix("source")
    fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(unit.text)), default=0))
    return f"{fence}{language}\n{unit.text}\n{fence}"


def _code_pieces(text: str) -> Iterator[tuple[int, int, UnitKind]]:
    for match in _CODE_PIECE.finditer(text):
        yield match.start(), match.end(), "code"


def _spans(text: str) -> Iterator[tuple[int, int, UnitKind]]:
    """Fences, indented code, table rows and headings are found by their marks; what lies between is prose."""
    at = 0
    for start, end, kind in _marked(text):
        yield from _prose(text, at, start)
        if kind == "row":
            start, end = _inside_row(text, start, end)  # noqa: PLW2901
        if kind is not None and start < end:
            yield start, end, kind
        at = end
    yield from _prose(text, at, len(text))


def _marked(text: str) -> list[tuple[int, int, UnitKind | None]]:
    """Spans that are no prose, in order; of overlapping ones the first counts. Headings are None: nobody quotes them."""
    kinds: tuple[tuple[re.Pattern[str], UnitKind | None], ...] = (
        (_FENCE, "code"),
        (_INDENTED, "code"),
        (_ROW, "row"),
        (_HEADING, None),
        (_DIRECTIVE, None),
    )
    found = sorted(((m.start(), m.end(), kind) for pattern, kind in kinds for m in pattern.finditer(text)), key=_begin)
    kept: list[tuple[int, int, UnitKind | None]] = []
    for span in found:
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return kept


def _begin(span: tuple[int, int, UnitKind | None]) -> tuple[int, int]:
    return span[0], -span[1]


def _prose(text: str, start: int, end: int) -> Iterator[tuple[int, int, UnitKind]]:
    for a, b in sentence_spans(text[start:end]):
        marker = _MARKER.match(text, start + a, start + b)
        yield (marker.end() if marker else start + a), start + b, "item" if marker else "sentence"


def _inside_row(text: str, start: int, end: int) -> tuple[int, int]:
    row = text[start:end]
    return start + len(row) - len(row.lstrip(" \t|")), start + len(row.rstrip(" \t|"))


def _says_something(unit: Unit, names: set[str]) -> bool:
    if unit.kind in ("code", "row"):
        return bool(_WORD.search(unit.text))
    return unit.text.strip() not in names and len(_WORD.findall(_MARKUP.sub(" ", unit.text))) >= _LEAST_WORDS
