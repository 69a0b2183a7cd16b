"""Names and numbers of a question that its passages lack, and the many ways in which a passage may have them."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.telling import Lost, lost

DOCS = [
    "FastAPI needs Python 3.8 or above.",
    "Pydantic 2.7 is supported.",
    "Use Redis as a cache, or run on Windows.",
    "Möngke Khan died in 1259, in the tenth year of his reign; the Normans had come in 1,066 ships.",
    "World War II ended in 1945. The 1980s were quieter.",
    "The process was killed because it ran out of memory.",
]


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("How do I configure Terraform?", ("Terraform",)),
        ("Does it run on Kubernetes with Helm?", ("Kubernetes", "Helm")),
        ("Is GROUNDED_PORT or max_conns read?", ("GROUNDED_PORT", "max_conns")),
        ("What does ERR-4711 mean?", ("ERR-4711",)),
        ("Does it speak HTTP/3?", ("HTTP/3",)),
        ("Who was Ada Lovelace?", ("Ada Lovelace",)),
        ("What is Dropbox's limit?", ("Dropbox",)),
    ],
)
def test_names_that_are_nowhere(question, names):
    assert lost(question, DOCS) == Lost(names=names)


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("Does it work with Python 2.7?", ("Python 2.7",)),
        ("Does it work with Python v2.7?", ("Python 2.7",)),
        ("Does it run on Windows 95?", ("Windows 95",)),
        ("What happened in 1666?", ("1666",)),
        ("What happened between 1666 and 1777?", ("1666", "1777")),
        ("Will version 4.0 come?", ("4.0",)),
    ],
)
def test_numbers_that_are_nowhere(question, numbers):
    assert lost(question, DOCS) == Lost(numbers=numbers)


@pytest.mark.parametrize(
    "question",
    [
        "Does it need Python 3.8?",
        "Where did Mongke Khan die?",  # no accent
        "When did Mongke Temur die?",  # one part of the name is enough
        "What did Norman ships carry?",  # a relative
        "Is Rediss supported?",  # a typing error
        "Is Redsi supported?",
        "What about the OOM?",  # out of memory
        "Who won World War 2?",
        "What happened in the 1980's?",
        "How many of the 1066 ships came?",
        "What happened between 1945 and 1990?",  # a range is told by its beginning
        "Which 3 caches are there?",  # small numbers are written out
        "Kubernetes or not?",  # a capital that opens a sentence tells nothing
        "It fails. Why? Terraform says so.",
        "How Do I Configure Terraform Here?",  # nor does one in a headline
        "HOW DO I CONFIGURE TERRAFORM?",
        "how do i configure terraform?",
        "Can I do it?",
        "Is 8GB enough?",
        "?",
        "",
    ],
)
def test_what_is_told_or_tells_nothing(question):
    assert lost(question, DOCS) == Lost()


def test_a_number_behind_a_name_stands_in_one_text_with_it():
    assert lost("Is it Pydantic 2.7?", DOCS) == Lost()
    assert lost("Is it Pydantic 3.8?", DOCS) == Lost(numbers=("Pydantic 3.8",))


def test_the_first_word_belongs_to_a_name_where_the_texts_write_it_with_a_capital():
    texts = ["Prime minister Harold Wilson refused."]
    assert lost("Harold Macmillan refused what?", texts) == Lost()
    assert lost("Did Macmillan refuse?", texts) == Lost(names=("Macmillan",))


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=80))
def test_what_a_text_quotes_of_the_question_is_never_lost(texts, question):
    assert lost(question, [*texts, question]) == Lost()


@given(st.text(string.ascii_letters + string.digits + " .,'-_/?", max_size=120))
def test_any_question_is_read(question):
    found = lost(question, DOCS)
    assert all(name and name[0] != " " for name in (*found.names, *found.numbers))


@pytest.mark.parametrize("word", ["Aa", "A1", "9.", "1,111", "A_", "A'"])
def test_hostile_questions_take_no_time(word):
    texts = [" ".join(f"Word{i}x{j}" for i in range(40)) for j in range(50)]
    started = time.process_time()
    lost(" ".join([word * 50] * 2_000), texts)
    lost(word * 20_000, [*texts, word * 20_000])
    assert time.process_time() - started < 30  # quadratic time would be minutes
