"""When a question asks for a date, and which texts tell one."""

import pytest

from generation.dates import asks_for_date, tells_date


@pytest.mark.parametrize(
    "question",
    [
        "When did the Normans take Sicily?",
        "In what year was the treaty signed?",
        "In which early medieval century did that happen?",
        "Since when has the setting been there?",
        "The key was rotated when was the last release?",
    ],
)
def test_questions_for_a_date(question: str) -> None:
    assert asks_for_date(question)


@pytest.mark.parametrize(
    "question",
    [
        "What happens when I press save?",
        "When should I reindex?",
        "When is a passage dropped?",
        "When do the ducks march?",
        "How many years did it last?",
        "What did the mayor say of the daylight?",
        "",
    ],
)
def test_questions_for_something_else(question: str) -> None:
    assert not asks_for_date(question)


@pytest.mark.parametrize(
    "text",
    [
        "It was released on November 9, 1988.",
        "It happened in the 1840s.",
        "This was built around 300 BC.",
        "They met on 5 June.",
        "They met in May.",
        "Sept. 3 is the day.",
        "Their identity emerged in the 10th century.",
    ],
)
def test_texts_that_tell_a_date(text: str) -> None:
    assert tells_date(text, "When did it happen?")


@pytest.mark.parametrize(
    "text", ["It may march on.", "Port 8000 and 443 are open.", "May I help?", "He took version 3.11.", ""]
)
def test_texts_that_tell_none(text: str) -> None:
    assert not tells_date(text, "When did it happen?")


def test_a_date_that_the_question_says_itself_answers_nothing() -> None:
    question = "When did the fleet that left in April 1191 arrive?"
    assert not tells_date("The fleet left in April 1191.", question)
    assert tells_date("It left in April 1191 and arrived in 1192.", question)


@pytest.mark.parametrize("text", ["what " * 50_000, "what " + "a" * 250_000, "1999 " * 50_000, "in " * 100_000])
def test_long_texts_take_no_long_time(text: str) -> None:
    """Each would take hours, were the time quadratic or worse."""
    asks_for_date(text)
    tells_date(text, "When was it?")
