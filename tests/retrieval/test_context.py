"""Packing: what comes in, what is left out, and that the reason is right."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from retrieval.context import Limits, in_reading_order
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


def test_neighbours_stand_in_reading_order_where_the_best_of_them_stood() -> None:
    texts = {n: words(20, 100 * n) for n in range(5)}
    ranked = [
        passage(texts[2], 2, document_id="a", ordinal=5),
        passage(texts[0], 1, document_id="b", ordinal=6),
        passage(texts[1], 3, document_id="a", ordinal=4),
        passage(texts[3], 4, document_id="a", ordinal=9),
    ]
    context = pack(found(*ranked), [20] * 4, WIDE)
    assert [(p.document_id, p.ordinal) for p in context.passages] == [("a", 4), ("a", 5), ("b", 6), ("a", 9)]


def merged_one_by_one(passages: Sequence[Passage]) -> list[Passage]:
    """The slow twin: runs are joined as long as one ends where another begins."""
    runs = [[p] for p in passages]
    while True:
        pair = next(
            (
                (i, j)
                for i, one in enumerate(runs)
                for j, other in enumerate(runs)
                if one[-1].document_id == other[0].document_id and one[-1].ordinal + 1 == other[0].ordinal
            ),
            None,
        )
        if pair is None:
            return [p for run in runs for p in run]
        i, j = pair
        joined = runs[i] + runs[j]
        runs[min(pair)] = joined
        del runs[max(pair)]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), unique=True, max_size=14))
def test_reading_order_is_that_of_the_slow_twin(places: list[tuple[str, int]]) -> None:
    ranked = [passage(f"text {n}", n, document_id=doc, ordinal=o) for n, (doc, o) in enumerate(places, 1)]
    assert list(in_reading_order(ranked)) == merged_one_by_one(ranked)


def test_the_newer_of_two_versions_takes_the_better_place() -> None:
    rule = "Refunds are issued within {} days of the order, to the card that was charged, and by e-mail."
    old = passage(rule.format(30), 1, title="Terms 2023", tokens=20)
    new = passage(rule.format(14), 3, title="Terms 2024", tokens=20, modified_at=old.modified_at + timedelta(days=300))
    other = passage(words(20, 500), 2, tokens=20)
    context = pack_found(found(old, other, new), WIDE, "When are refunds issued?")
    assert [p.id for p in context.passages] == [new.id, other.id]
    assert [(left.passage.id, left.reason) for left in context.left_out] == [(old.id, "superseded")]
    both = pack_found(found(old, other, new), WIDE, "When were refunds issued in 2023?")
    assert [p.id for p in both.passages] == [old.id, other.id, new.id]
    unordered = pack_found(found(old, other, new), replace(WIDE, prefer_latest=False), "When are refunds issued?")
    assert [p.id for p in unordered.passages] == [old.id, other.id, new.id]
