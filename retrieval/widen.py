"""Passages made whole: where a section continues in the chunk before or behind, that chunk joins. Pure.

With `blocks` a chunk joins only where the cut goes through a list, a table, a piece of code, or parts what announces from
what it announces; with `section` wherever the same section goes on. The text of a joined passage is the document's own, from
its first chunk to its last.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ingest.ports import LiveChunk
from retrieval.model import Context, LeftOut, Part, Passage

Widen = Literal["off", "blocks", "section"]
Key = tuple[str, int]  # a document and the number of a chunk in it

REACH = 2  # chunks on each side; a block of five chunks is no passage any more

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]|[a-z][.)])[ \t]+\S")
_ROW = re.compile(r"[ \t]*\|.*\||[^|\n]+ \| [^|\n]+")
_SOURCE = "text/x-source"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A passage of the context and the chunks that become one with it, in the document's order, itself among them."""

    own: Passage
    chunks: tuple[Passage, ...]

    @property
    def start(self) -> int:
        return self.chunks[0].start

    @property
    def end(self) -> int:
        return max(chunk.end for chunk in self.chunks)

    @property
    def is_wider(self) -> bool:
        return len(self.chunks) > 1


def key(passage: Passage) -> Key:
    """Which chunk of which document it is; versions cannot mix, since all were read live."""
    return passage.document_id, passage.ordinal


def stretches(context: Context, around: Mapping[Key, Passage], budget: int, widen: Widen) -> list[Stretch]:
    """A stretch for each passage, in order, as far as the budget goes; a passage that another one took in has none.

    Passages of the context cost nothing more when they join. `around` holds the chunks that may join besides.
    """
    kept = {key(passage): passage for passage in context.passages}
    spent, taken = context.tokens, set[Key]()
    found: list[Stretch] = []
    for passage in context.passages:
        if key(passage) in taken:
            continue
        free = {k: chunk for k, chunk in {**around, **kept}.items() if k not in taken}
        chunks = _grown(passage, free, lambda chunk: chunk.tokens * (key(chunk) not in kept), budget - spent, widen)
        spent += sum(chunk.tokens for chunk in chunks if key(chunk) not in kept)
        taken |= {key(chunk) for chunk in chunks}
        found.append(Stretch(passage, tuple(chunks)))
    return found


def _grown(
    own: Passage, free: Mapping[Key, Passage], cost: Callable[[Passage], int], room: int, widen: Widen
) -> list[Passage]:
    """The passage and its neighbours that continue it, those behind it first: a list is read from its beginning on."""
    chunks = [own]
    for step in (1, -1):
        for _ in range(REACH):
            end = chunks[-1] if step > 0 else chunks[0]
            chunk = free.get((end.document_id, end.ordinal + step))
            if chunk is None or cost(chunk) > room:
                break
            pair = (chunks, [chunk]) if step > 0 else ([chunk], chunks)
            if not _continues(*pair, widen):
                break
            chunks = [*pair[0], *pair[1]]
            room -= cost(chunk)
    return chunks


def _continues(before: Sequence[Passage], after: Sequence[Passage], widen: Widen) -> bool:
    """Whether one section goes on from the last of these to the first of those, and whether that cut is to be mended."""
    last, first = before[-1], after[0]
    if section(last) != section(first):
        return False
    if widen == "section" or last.media_type == _SOURCE:
        return bool(last.heading_path) or widen == "section"
    return is_cut("\n".join(chunk.text for chunk in before), first.text)


def section(passage: Passage) -> tuple[object, ...]:
    """What chunks have in common that may become one: a section of one page of one version."""
    return passage.document_id, passage.version, passage.heading_path, passage.page, passage.cell


def section_of(live: LiveChunk) -> tuple[object, ...]:
    """The same of a chunk that no passage was made of yet."""
    chunk = live.chunk
    return chunk.document_id, live.version, chunk.heading_path, chunk.page, chunk.cell


def is_cut(before: str, after: str) -> bool:
    """Whether a list, a table or a piece of code goes on from one text to the next, or what one announces begins there."""
    last, first = before.rstrip().rsplit("\n", 1)[-1], after.split("\n", 1)[0]
    if len(_FENCE.findall(before)) % 2:
        return True
    if last.rstrip("*_ ").endswith(":"):
        return True
    if _ROW.match(last) and _ROW.match(first):
        return True
    return bool(_ITEM.match(first)) and _ends_in_list(before)


def _ends_in_list(text: str) -> bool:
    """Whether the last paragraph begins an item, or is an indented part of one."""
    for line in reversed(text.rstrip().split("\n")):
        if _ITEM.match(line):
            return True
        if not line.strip():
            continue
        if not line[0].isspace():
            return False
    return False


def joined(stretch: Stretch, text: str) -> Passage | None:
    """The stretch as one passage of this text. None where the text is not that of the chunks with white space between:
    a document that has changed meanwhile, or a damaged one, is not quoted."""
    parts = tuple(_parts(stretch))
    told = zip(parts, stretch.chunks, strict=True)
    if len(text) != stretch.end - stretch.start or any(text[p.start : p.end] != c.text for p, c in told):
        return None
    end = 0
    for part in parts:
        if part.start > end and not text[end : part.start].isspace():
            return None
        end = max(end, part.end)
    tokens, line = sum(chunk.tokens for chunk in stretch.chunks), stretch.chunks[0].line
    return replace(
        stretch.own,
        start=stretch.start,
        end=stretch.end,
        text=text,
        line=line,
        tokens=tokens,
        bits=None,
        parts=parts,
    )


def _parts(stretch: Stretch) -> Iterator[Part]:
    for chunk in stretch.chunks:
        yield Part(chunk.start - stretch.start, chunk.end - stretch.start, chunk.header, chunk.bits)


def with_joined(context: Context, found: Sequence[tuple[Stretch, Passage | None]]) -> Context:
    """The context with its passages made whole. What joined is told as such, whether it had been in or left out; where
    joining failed (None) the passages stay what they were."""
    passages: list[Passage] = []
    inside: set[str] = set()
    mine = {passage.id for passage in context.passages}
    for stretch, whole in found:
        if whole is None:
            passages += (chunk for chunk in stretch.chunks if chunk.id in mine)
        else:
            passages.append(whole)
            inside |= {chunk.id for chunk in stretch.chunks} - {stretch.own.id}
    left_out = tuple(replace(left, reason="joined") if left.passage.id in inside else left for left in context.left_out)
    told = {left.passage.id for left in left_out}
    took = (LeftOut(p, "joined") for p in context.passages if p.id in inside and p.id not in told)
    tokens = sum(passage.tokens for passage in passages)
    return replace(context, passages=tuple(passages), left_out=(*left_out, *took), tokens=tokens)
