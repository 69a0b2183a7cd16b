"""Widened passages are scored as their chunks are, each by its own token vectors."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from generation.parts import ByParts, Floats, Span
from ingest.model import embedded_text
from retrieval.adapters.late_interaction import LateInteractionScorer
from retrieval.model import EmbeddedQuery, Part, Passage
from tests.fakes import FakeEmbedder
from tests.passages import passage

TEXTS = ("The formats are PDF and DOCX.", "Also HTML and text are read.", "Nothing else is.")


def whole(texts: Sequence[str], between: str = "\n") -> tuple[Passage, FakeEmbedder]:
    """These texts as the chunks of one passage, with the vectors that ingest would have stored."""
    embedder = FakeEmbedder()
    stored = asyncio.run(embedder.embed_passages([embedded_text("Guide", text) for text in texts]))
    parts, at = [], 0
    for text, vectors in zip(texts, stored, strict=True):
        parts.append(Part(at, at + len(text), "Guide", vectors.bits))
        at += len(text) + len(between)
    embedder.embedded.clear()
    return passage(between.join(texts), header="Guide", parts=tuple(parts)), embedder


def scored(
    scorer: object, query: EmbeddedQuery, passages: Sequence[Passage], spans: Sequence[Sequence[Span]]
) -> list[Floats]:
    return asyncio.run(scorer.matches(query, passages, spans))  # type: ignore[attr-defined, no-any-return]


def test_a_part_scores_as_the_chunk_it_was_and_nothing_is_embedded() -> None:
    made, embedder = whole(TEXTS)
    query = asyncio.run(embedder.embed_query("Is HTML read?"))
    spans = [(part.start, part.end) for part in made.parts]
    together = scored(ByParts(LateInteractionScorer(embedder)), query, [made], [spans])[0]
    assert embedder.embedded == []
    for row, (text, part) in enumerate(zip(TEXTS, made.parts, strict=True)):
        alone = replace(made, text=text, parts=(), bits=part.bits)
        expected = scored(LateInteractionScorer(embedder), query, [alone], [[(0, len(text))]])[0]
        np.testing.assert_array_equal(together[row], expected[0])


@given(st.lists(st.tuples(st.integers(0, 75), st.integers(1, 40)), max_size=6))
def test_a_span_over_parts_gets_the_better_match_of_each(drawn: list[tuple[int, int]]) -> None:
    made, embedder = whole(TEXTS)
    spans = [(start, min(start + length, len(made.text))) for start, length in drawn if start < len(made.text)]
    query = asyncio.run(embedder.embed_query("Is HTML read, or PDF?"))
    plain = LateInteractionScorer(embedder)
    found = scored(ByParts(plain), query, [made], [spans])[0]
    for row, (start, end) in enumerate(spans):
        slow = np.full(len(query.tokens), -1.0, dtype=np.float32)
        for part in made.parts:
            a, b = max(start, part.start), min(end, part.end)
            if a < b:
                chunk = replace(made, text=made.text[part.start : part.end], parts=(), bits=part.bits)
                own = scored(plain, query, [chunk], [[(a - part.start, b - part.start)]])[0][0]
                slow = np.maximum(slow, own)
        np.testing.assert_array_equal(found[row], slow)


def test_passages_of_one_chunk_go_through_unchanged() -> None:
    made, embedder = whole(TEXTS[:1])
    single = replace(made, parts=(), bits=made.parts[0].bits)
    query = asyncio.run(embedder.embed_query("Is PDF read?"))
    plain = LateInteractionScorer(embedder)
    alone = scored(ByParts(plain), query, [single], [[(0, 10)]])
    mixed = scored(ByParts(plain), query, [single, whole(TEXTS)[0]], [[(0, 10)], []])
    np.testing.assert_array_equal(alone[0], scored(plain, query, [single], [[(0, 10)]])[0])
    np.testing.assert_array_equal(mixed[0], alone[0])
    assert mixed[1].shape == (0, len(query.tokens))
