"""Where a question file says that answers stand, and how citations are held against it."""

from typing import Any

import pytest

from app.evals.answers import Outcome
from app.evals.corpus import BadEvalData
from app.evals.gold import Gold, gold_of, shares
from generation.model import Citation, Claim
from tests.passages import passage

NAMES = ("a.pdf", "reports/b.pdf", "reports/c.pdf", "old/c.pdf")


def told(**fields: Any) -> Gold:
    return gold_of({"question": "Why?", **fields}, NAMES)


@pytest.mark.parametrize(
    ("row", "files", "pages"),
    [
        ({}, set(), set()),
        ({"file": "a.pdf"}, {"a.pdf"}, set()),
        ({"file": "a.pdf", "page": 3}, {"a.pdf"}, {("a.pdf", 3)}),
        ({"file": "a.pdf", "page": [3, 4]}, {"a.pdf"}, {("a.pdf", 3), ("a.pdf", 4)}),
        (
            {"file": ["a.pdf", "b.pdf"], "page": [3, 4]},
            {"a.pdf", "reports/b.pdf"},
            {("a.pdf", 3), ("reports/b.pdf", 4)},
        ),
        (
            {"file": ["a.pdf", "b.pdf"], "page": 3},
            {"a.pdf", "reports/b.pdf"},
            {("a.pdf", 3), ("reports/b.pdf", 3)},
        ),
        ({"file": "b.pdf"}, {"reports/b.pdf"}, set()),
        ({"file": "docs/reports/c.pdf"}, {"reports/c.pdf"}, set()),
        ({"doc_ids": ["a.pdf", "17", "c.pdf"]}, {"a.pdf"}, set()),
        ({"file": "a.pdf", "doc_ids": ["b.pdf"]}, {"a.pdf"}, set()),
        ({"file": None, "page": None, "doc_ids": None}, set(), set()),
    ],
)
def test_what_a_row_may_name(row: dict[str, Any], files: set[str], pages: set[tuple[str, int]]) -> None:
    assert told(**row) == Gold(frozenset(files), frozenset(pages))


@pytest.mark.parametrize(
    "row",
    [
        {"file": "nowhere.pdf"},
        {"file": "c.pdf"},  # there are two
        {"file": "pdf"},
        {"file": 3},
        {"file": "a.pdf", "page": "3"},
        {"file": "a.pdf", "page": True},
        {"page": 3},
        {"doc_ids": ["a.pdf"], "page": 3},
    ],
)
def test_a_row_that_would_be_counted_wrong_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(BadEvalData):
        told(**row)


def outcome(*cited: tuple[str, int], found: tuple[tuple[str, int], ...] = ()) -> Outcome:
    """An answer that cites these files and pages in this order; the context held them and `found`."""
    sources = {f"{name}/{page}": passage("x", document_id=name, page=page) for name, page in (*found, *cited)}
    claims = [
        Claim(n, 0, 1, "x", "supported", 1.0, (Citation(f"{name}/{page}", 0, 1, "x", page),), check_required=True)
        for n, (name, page) in enumerate(cited)
    ]
    return Outcome("x", claims, sources)


def shared(*pairs: tuple[Gold, Outcome]) -> dict[str, dict[str, Any]]:
    golds, outcomes = zip(*pairs, strict=True)
    return shares(golds, outcomes, {name: name for name in NAMES})


def test_the_first_citation_counts_apart() -> None:
    gold = told(file="a.pdf", page=3)
    right = shared((gold, outcome(("a.pdf", 3), ("old/c.pdf", 1))))["citation"]
    late = shared((gold, outcome(("old/c.pdf", 1), ("a.pdf", 3))))["citation"]
    assert (right["gold_page"], right["gold_page_first"]) == (1, 1)
    assert (late["gold_page"], late["gold_page_first"]) == (1, 0)
    assert (late["gold_file"], late["gold_file_first"]) == (1, 0)


def test_the_page_of_another_file_is_not_the_page() -> None:
    found = shared((told(file="a.pdf", page=3), outcome(("old/c.pdf", 3), ("a.pdf", 4))))
    assert (found["citation"]["gold_page"], found["citation"]["gold_file"]) == (0, 1)
    assert found["context"] == {"gold_file": 1, "gold_page": 0}


def test_what_was_found_and_not_quoted() -> None:
    found = shared((told(file="a.pdf", page=3), outcome(("old/c.pdf", 3), found=(("a.pdf", 3),))))
    assert found["citation"]["gold_page"] == 0
    assert found["context"] == {"gold_file": 1, "gold_page": 1}


def test_only_questions_whose_place_is_known_are_counted() -> None:
    wrong = outcome(("old/c.pdf", 1))
    found = shared((told(), wrong), (told(file="a.pdf"), wrong), (told(file="a.pdf", page=1), outcome(("a.pdf", 1))))
    assert (found["citation"]["with_file"], found["citation"]["gold_file"]) == (2, 0.5)
    assert (found["citation"]["with_page"], found["citation"]["gold_page"]) == (1, 1)


def test_a_question_that_was_declined_is_a_miss() -> None:
    found = shared((told(file="a.pdf", page=1), outcome(found=(("a.pdf", 1),))))
    assert (found["citation"]["gold_page"], found["citation"]["gold_page_first"]) == (0, 0)
    assert found["context"]["gold_page"] == 1


def test_no_known_place_is_no_share() -> None:
    found = shared((told(), outcome(("a.pdf", 1))))
    assert found["citation"]["gold_page"] is None
    assert found["context"]["gold_file"] is None
