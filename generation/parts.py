"""Widened passages scored part by part, as their token vectors were made: nothing is embedded at question time, and no
part lies beyond the model's window."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from generation.ports import SentenceScorer
from retrieval.model import EmbeddedQuery, Part, Passage

Floats = NDArray[np.float32]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part as a passage of its own, and the spans of the whole that reach into it, counted from its beginning."""

    number: int  # of the whole passage
    passage: Passage
    rows: tuple[int, ...]
    spans: tuple[Span, ...]


class ByParts:
    """The sentence scorer port over another one. A span that reaches over two parts gets the better match of both."""

    def __init__(self, scorer: SentenceScorer) -> None:
        self._scorer = scorer

    async def matches(
        self, query: EmbeddedQuery, passages: Sequence[Passage], spans: Sequence[Sequence[Span]]
    ) -> list[Floats]:
        """As the port says."""
        if not any(passage.parts for passage in passages):
            return await self._scorer.matches(query, passages, spans)
        pieces = [piece for n, passage in enumerate(passages) for piece in _pieces(n, passage, spans[n])]
        found = await self._scorer.matches(query, [p.passage for p in pieces], [p.spans for p in pieces])
        out = [np.full((len(own), len(query.tokens)), -1.0, dtype=np.float32) for own in spans]
        for piece, matches in zip(pieces, found, strict=True):
            rows = list(piece.rows)
            out[piece.number][rows] = np.maximum(out[piece.number][rows], matches)
        return out


def _pieces(number: int, passage: Passage, spans: Sequence[Span]) -> list[_Piece]:
    whole = (Part(0, len(passage.text), passage.header, passage.bits),)
    return [_piece(number, passage, part, spans) for part in passage.parts or whole]


def _piece(number: int, passage: Passage, part: Part, spans: Sequence[Span]) -> _Piece:
    inside = [(row, span) for row, span in enumerate(spans) if span[0] < part.end and span[1] > part.start]
    own = tuple((max(a, part.start) - part.start, min(b, part.end) - part.start) for _, (a, b) in inside)
    text = passage.text[part.start : part.end]
    alone = replace(passage, text=text, header=part.header, bits=part.bits, parts=())
    return _Piece(number, alone, tuple(row for row, _ in inside), own)
