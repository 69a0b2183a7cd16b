"""Packing: what comes in, what is left out, and that the reason is right."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from retrieval.context import Limits
from retrieval.context import pack as pack_found
from retrieval.model import Context, Found, Passage
from tests.passages import passage

WIDE = Limits(top_k=8, token_budget=10_000, per_source=8, near_duplicate=0.9)


def found(*passages: Passage) -> Found:
    return Found(passages, tuple(p.hit for p in passages), None)


def pack(found: Found, sizes: list[int], limits: Limits) -> Context:
    sized = tuple(replace(p, tokens=size) for p, size in zip(found.passages, sizes, strict=True))
    return pack_found(replace(found, passages=sized), limits)


def words(n: int, start: int = 0) -> str:
    return " ".join(f"word{start + i}" for i in range(n))


def test_keeps_the_order_and_numbers_from_the_best() -> None:
    passages = [passage(words(20, 100 * n), n) for n in range(1, 5)]
    context = pack(found(*passages), [20] * 4, WIDE)
    assert [p.id for p in context.passages] == [p.id for p in passages]
    assert context.tokens == 80


def test_near_duplicates_collapse_to_the_better_one() -> None:
    first, second = passage(words(30), 1), passage(words(30) + " more", 2)
    context = pack(found(first, second), [30, 31], WIDE)
    assert [p.id for p in context.passages] == [first.id]
    assert [(left.passage.id, left.reason) for left in context.left_out] == [(second.id, "near_duplicate")]


def test_one_document_cannot_crowd_out_the_rest() -> None:
    same = [passage(words(20, 100 * n), n, document_id="doc") for n in range(1, 5)]
    other = passage(words(20, 900), 9)
    context = pack(found(*same, other), [20] * 5, replace(WIDE, per_source=2))
    assert [p.id for p in context.passages] == [same[0].id, same[1].id, other.id]
    assert [left.reason for left in context.left_out] == ["source_cap", "source_cap"]


def test_a_passage_too_many_tokens_is_left_out_and_a_smaller_one_comes_in() -> None:
    passages = [passage(words(20, 100 * n), n) for n in range(1, 4)]
    context = pack(found(*passages), [60, 50, 30], replace(WIDE, token_budget=100))
    assert [p.id for p in context.passages] == [passages[0].id, passages[2].id]
    assert [left.reason for left in context.left_out] == ["token_budget"]


def test_the_best_passage_comes_in_whatever_the_budget() -> None:
    context = pack(found(passage(words(20), 1)), [500], replace(WIDE, token_budget=64))
    assert len(context.passages) == 1


def test_nothing_found_gives_an_empty_context() -> None:
    context = pack(found(), [], WIDE)
    assert (context.passages, context.left_out, context.tokens) == ((), (), 0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.integers(0, 5)), max_size=17),
    st.integers(1, 6),
    st.integers(64, 200),
    st.integers(1, 3),
)
def test_holds_its_limits_whatever_comes(
    shapes: list[tuple[int, int, int]], top_k: int, budget: int, per_source: int
) -> None:
    passages = [
        passage(words(6, 50 * text), n, document_id=f"doc{source}") for n, (source, _, text) in enumerate(shapes, 1)
    ]
    sizes = [size for _, size, _ in shapes]
    context = pack(found(*passages), sizes, Limits(top_k, budget, per_source, 0.9))
    assert len(context.passages) <= top_k
    assert context.tokens <= max(budget, sizes[0] if sizes else 0)
    for source in range(4):
        assert sum(p.document_id == f"doc{source}" for p in context.passages) <= per_source
    assert len({p.text for p in context.passages}) == len(context.passages)
    assert len(context.passages) + len(context.left_out) == len(passages)
