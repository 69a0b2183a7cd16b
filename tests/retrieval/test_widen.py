"""Passages made whole: what was cut, what joins, and that the text stays the document's own."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.model import Context, LeftOut, Passage
from retrieval.widen import REACH, Widen, is_cut, joined, key, stretches, with_joined
from tests.passages import passage


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Do this:", "1. Open it."),
        ("The formats are:\n- PDF\n- DOCX", "- HTML\n- text"),
        ("1. Open it.\n   It takes a while.", "2. Close it."),
        ("Then run\n```\nmake install", "make run\n```\nIt prints the address."),
        ("| a | b |\n| 1 | 2 |", "| 3 | 4 |"),
        ("Net sales | $ 82,959 | $ 81,434", "Cost of sales | $ 47,074 | $ 46,179"),
        ("**Note:**", "It is slow."),
    ],
)
def test_a_cut_through_a_block_is_seen(before: str, after: str) -> None:
    assert is_cut(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Refunds take two weeks.", "Shipping is free."),
        ("- PDF\n- DOCX\n\nThese are all.", "- Another list."),
        ("Run it:\n```\nmake run\n```\nIt prints the address.", "Open the address."),
        ("| a | b |\n| 1 | 2 |", "The table tells it."),
        ("- PDF\n- DOCX", "Other formats are skipped."),
    ],
)
def test_a_cut_between_blocks_is_none(before: str, after: str) -> None:
    assert not is_cut(before, after)


def cut(text: str, sizes: Sequence[int], **more: object) -> list[Passage]:
    """The text of one document in chunks of so many characters, white space around them left out."""
    found: list[Passage] = []
    at = 0
    for size in (*sizes, len(text)):
        body = text[at : at + size]
        if body.strip():
            start = at + len(body) - len(body.lstrip())
            n = len(found) + 1
            end = start + len(body.strip())
            place = {"document_id": "doc", "ordinal": n - 1, "start": start, "end": end, "heading_path": ("Guide",)}
            found.append(passage(body.strip(), n, **{**place, "tokens": len(body), **more}))
        at += size
    return found


def context_of(*passages: Passage, left_out: Sequence[LeftOut] = ()) -> Context:
    return Context(passages, tuple(left_out), sum(p.tokens for p in passages))


def assembled(context: Context, chunks: Sequence[Passage], text: str, budget: int, widen: Widen) -> Context:
    found = stretches(context, {key(chunk): chunk for chunk in chunks}, budget, widen)
    return with_joined(context, [(s, joined(s, text[s.start : s.end]) if s.is_wider else s.own) for s in found])


LIST = "The formats are:\n- PDF\n- DOCX\n- HTML\n- text"


def test_a_cut_list_is_whole() -> None:
    chunks = cut(LIST, [23, 7])
    whole = assembled(context_of(chunks[1]), chunks, LIST, 10_000, "blocks")
    assert [p.text for p in whole.passages] == [LIST]
    assert whole.passages[0].id == chunks[1].id
    assert [whole.passages[0].text[p.start : p.end] for p in whole.passages[0].parts] == [c.text for c in chunks]
    assert whole.tokens == sum(chunk.tokens for chunk in chunks)


def test_a_budget_that_is_spent_widens_nothing() -> None:
    chunks = cut(LIST, [23, 7])
    context = context_of(chunks[1])
    assert assembled(context, chunks, LIST, context.tokens, "blocks") == context


def test_both_halves_of_a_list_become_one_passage_at_no_cost() -> None:
    chunks = cut(LIST, [23])
    other = passage("Something else.", 9, tokens=3)
    context = context_of(chunks[1], other, chunks[0])
    whole = assembled(context, chunks, LIST, context.tokens, "blocks")
    assert [p.text for p in whole.passages] == [LIST, "Something else."]
    assert [(left.passage.id, left.reason) for left in whole.left_out] == [(chunks[0].id, "joined")]
    assert whole.tokens == context.tokens


def test_what_had_been_left_out_and_joined_is_told_as_joined() -> None:
    chunks = cut(LIST, [23])
    context = context_of(chunks[0], left_out=[LeftOut(chunks[1], "top_k")])
    whole = assembled(context, chunks, LIST, 10_000, "blocks")
    assert [(left.passage.id, left.reason) for left in whole.left_out] == [(chunks[1].id, "joined")]


def test_a_section_goes_on_only_with_section() -> None:
    text = "Refunds take two weeks.\nThey are paid by card."
    chunks = cut(text, [24])
    assert assembled(context_of(chunks[0]), chunks, text, 10_000, "blocks").passages == (chunks[0],)
    assert assembled(context_of(chunks[0]), chunks, text, 10_000, "section").passages[0].text == text


def test_a_function_that_was_cut_is_whole() -> None:
    text = "def f():\n    a = 1\n    return a"
    chunks = cut(text, [18], media_type="text/x-source", heading_path=("def f",))
    assert assembled(context_of(chunks[1]), chunks, text, 10_000, "blocks").passages[0].text.endswith("return a")
    loose = cut(text, [18], media_type="text/x-source", heading_path=())
    assert assembled(context_of(loose[1]), loose, text, 10_000, "blocks").passages == (loose[1],)


@pytest.mark.parametrize("other", [{"heading_path": ("Other",)}, {"page": 2}, {"version": 2}, {"cell": "3"}])
def test_another_section_page_or_version_never_joins(other: dict[str, object]) -> None:
    first, second = cut(LIST, [23])
    context = context_of(first)
    assert assembled(context, [first, replace(second, **other)], LIST, 10_000, "section") == context  # type: ignore[arg-type]


def test_a_text_that_is_not_the_chunks_own_is_not_quoted() -> None:
    chunks = cut(LIST, [23])
    (stretch,) = stretches(context_of(chunks[0]), {key(c): c for c in chunks}, 10_000, "blocks")
    assert joined(stretch, LIST) is not None
    assert joined(stretch, LIST.replace("PDF", "XML")) is None
    assert joined(stretch, LIST[:-1]) is None
    apart = replace(stretch, chunks=(chunks[0], replace(chunks[1], start=chunks[1].start + 1, end=chunks[1].end + 1)))
    assert joined(apart, LIST[:23] + "X" + LIST[23:]) is None
    context = context_of(chunks[0], chunks[1])
    (both,) = stretches(context, {}, 10_000, "blocks")
    assert with_joined(context, [(both, None)]).passages == context.passages


LINES = st.lists(
    st.sampled_from(["- item", "- other", "Text.", "Lead:", "| a | b |", "```", "code", "", "  more"]),
    min_size=1,
    max_size=30,
)


@given(
    LINES,
    st.lists(st.integers(3, 40), max_size=8),
    st.sets(st.integers(0, 8), max_size=5),
    st.integers(0, 400),
    st.sampled_from(["blocks", "section"]),
)
def test_whatever_joins_is_the_documents_own_text_within_the_budget(
    lines: list[str], sizes: list[int], kept: set[int], budget: int, widen: Widen
) -> None:
    text = "\n".join(lines)
    chunks = cut(text, sizes)
    context = context_of(*(chunks[i] for i in sorted(kept, reverse=True) if i < len(chunks)))
    whole = assembled(context, chunks, text, budget, widen)
    assert whole.tokens <= max(budget, context.tokens)
    assert whole.tokens == sum(p.tokens for p in whole.passages)
    seen: set[int] = set()
    for p in whole.passages:
        assert p.text == text[p.start : p.end]
        parts = p.parts or ()
        assert len(parts) <= 2 * REACH + 1
        for part in parts:
            assert any((c.start, c.end) == (p.start + part.start, p.start + part.end) for c in chunks)
        covered = {c.ordinal for c in chunks if p.start <= c.start and c.end <= p.end}
        assert covered.isdisjoint(seen), "no text stands twice"
        seen |= covered
    assert {p.ordinal for p in context.passages} <= seen, "nothing that was in is lost"
    inside = [left.passage.id for left in whole.left_out if left.reason == "joined"]
    assert len(whole.passages) + len(set(inside) & {p.id for p in context.passages}) == len(context.passages)
