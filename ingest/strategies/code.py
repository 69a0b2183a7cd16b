"""By function and class: what fits is never cut, and each part of what does not is told the signature.

A long function is cut between its statements, the outer ones first; how deep a line is indented tells, in any language.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from ingest.model import Block, Document
from ingest.strategies.atoms import BY_LINE, Cutter, Span, lines
from ingest.strategies.leads import fitted, signature
from ingest.strategies.plans import Lead
from ingest.strategies.structure import StructureSplitter

_NAMED_ONLY = ("def ", "class ")  # headings that tell a name; those of other languages are the signature itself
_DEPTH = 6  # levels of nesting at which is looked for a place to cut
_BRACKETS = (")", "]", "}")
_CLOSING = frozenset(("else", "elif", "except", "finally", "catch", "end"))
_LEADING = ("@", "#", "//", "/*", "*", "--", ";;")  # belongs to what stands below: comments, decorators, attributes


class CodeSplitter(StructureSplitter):
    """For source files; other files and the code in them are cut as `structure` does, but between statements."""

    version = "code-2"

    def _cutters(self, block: Block) -> Iterable[Cutter]:
        return (*[statements] * _DEPTH, *BY_LINE) if block.kind == "code" else super()._cutters(block)

    def _lead(self, document: Document, block: Block) -> Lead | None:
        if block.kind != "code" or not block.heading_path or not block.heading_path[-1].startswith(_NAMED_ONLY):
            return super()._lead(document, block)
        said = signature(document.text[block.start : block.end])
        return fitted(said, block, self._window, self._counter) if said is not None else None


def statements(code: str) -> Iterator[Span]:
    """The outermost statements below the head, each with the comments above it and all that is indented below it."""
    spans = list(lines(code))
    marks = [(_indentation(code[start:end]), code[start:end].lstrip()) for start, end in spans]
    head = next((number for number, (_, line) in enumerate(marks) if not line.startswith(_LEADING)), 0)
    outer = min((depth for depth, line in marks[head + 1 :] if not _closes(line)), default=0)
    begins = [0]
    for number in range(head + 1, len(marks)):
        depth, line = marks[number]
        above, comment = marks[number - 1]
        led = number > head + 1 and above <= outer and comment.startswith(_LEADING)
        if depth <= outer and not _closes(line) and not led:
            begins.append(number)
    return ((spans[first][0], spans[last - 1][1]) for first, last in pairwise([*begins, len(spans)]))


def _closes(line: str) -> bool:
    """Whether it belongs to what stands above it."""
    return line.startswith(_BRACKETS) or line.split(maxsplit=1)[0].rstrip(":;{") in _CLOSING


def _indentation(line: str) -> int:
    """Columns of white space in front; a tab is four."""
    body = line.lstrip(" \t")
    return len(line[: len(line) - len(body)].expandtabs(4))
