"""Follow-ups, from turn two on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.query import Turn, names, phrases, points_back, standalone

ASKED: tuple[Turn, ...] = (("user", "How are refunds paid?"),)


def carried(question: str, *history: Turn) -> str:
    """What was put in front of the question."""
    found = standalone(question, history)
    assert found.endswith(question)
    return found.removesuffix(question).removesuffix(": ")


@pytest.mark.parametrize(
    "question",
    [
        "How long do they take?",
        "And for gift cards?",
        "why",
        "What about this case?",
        "Does that work on Windows?",
        "Can I change it?",
        "For PDF files too?",
        "What else can it read?",
        "Which is the default?",
        "Is it the same for uploads?",
        "How many?",
        "With Docker?",
        "What happens to those that fail?",
        "Where is her office?",
        "What runs there?",
        "Which one is faster?",
        "Why is that?",
        "How do I stop that job?",
        "What happens with one that fails?",
        "Which event always ends it?",
    ],
)
def test_what_leaves_something_out_carries_terms(question: str) -> None:
    assert points_back(question)
    assert carried(question, *ASKED) == "refunds paid"


@pytest.mark.parametrize(
    "question",
    [
        "Which cities have a warehouse?",
        "How do I change my password on the page?",
        "Is there a limit on the size of uploads?",
        "Are there API keys?",
        "How long does it take to embed a book?",
        "Is it possible to filter by date?",
        "What happens to files that are deleted?",
        "Can two documents have the same name?",
        "What is BM25?",
        "generation_mismatch",
        "In which file do the settings stand?",
        "Does the IT department need keys?",
        "Which users of the service lost their keys?",
        "Can one question search two collections?",
    ],
)
def test_a_question_that_stands_alone_is_left_alone(question: str) -> None:
    assert not points_back(question)
    assert standalone(question, ASKED) == question


def test_a_first_question_is_never_touched() -> None:
    assert standalone("why it", ()) == "why it"


def test_a_topic_lasts_while_questions_point_back_to_it() -> None:
    history: tuple[Turn, ...] = (
        ("user", "How do I back up the index?"),
        ("assistant", "It is one command."),
        ("user", "Can it run while the service answers?"),
        ("assistant", "Yes."),
    )
    assert carried("And how is it restored?", *history) == "back up, index, run"


def test_a_new_topic_ends_the_old_one() -> None:
    history: tuple[Turn, ...] = (("user", "How are refunds paid?"), ("user", "Which cities have a warehouse?"))
    assert carried("How large are they?", *history) == "cities, warehouse"


def test_names_of_the_last_answer_come_along() -> None:
    history: tuple[Turn, ...] = (
        ("user", "Which engine holds the vectors?"),
        ("assistant", "The search engine is Qdrant Edge. It is made by Others."),
    )
    assert carried("Does it need a server?", *history) == "engine holds, vectors, Qdrant Edge"


def test_what_the_question_says_itself_is_not_carried() -> None:
    assert carried("Are they paid in cash?", *ASKED) == "refunds paid"
    assert carried("Are paid refunds told to them?", *ASKED) == ""


def test_phrases_are_runs_of_content_words() -> None:
    assert phrases("What does the setting rrf_k do, and when?") == ["setting rrf_k"]
    assert phrases("Does `--max-num-seqs` limit the number of running questions?") == [
        "--max-num-seqs",
        "limit",
        "number",
        "running questions",
    ]


def test_names_are_told_by_their_form() -> None:
    assert names("Refunds are handled by Ada Lovelace with rrf_k in 2024.") == ["Ada Lovelace", "rrf_k"]
    assert names("I cannot answer that from these documents.") == []
    assert names("") == []


TURNS = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=80)),
    max_size=10,
)


@given(st.text(max_size=120), TURNS)
def test_the_question_itself_always_stays(question: str, history: list[Turn]) -> None:
    found = standalone(question, history)
    assert found.endswith(question)
    if not points_back(question):
        assert found == question


@given(st.text(max_size=60), TURNS, TURNS)
def test_turns_long_gone_do_not_count(question: str, old: list[Turn], late: list[Turn]) -> None:
    recent = [*late, *([("user", "x")] * 8)][-8:]
    assert standalone(question, [*old, *recent]) == standalone(question, recent)


@given(st.text(max_size=300))
def test_carried_words_are_bounded_and_of_the_turn_before(before: str) -> None:
    front = standalone("it", [("user", before)]).removesuffix("it").removesuffix(": ")
    pieces = front.split(", ") if front else []
    assert all(piece in before for phrase in pieces for piece in phrase.split())
    assert len(pieces) <= 3
