import pytest

from generation.verification import dates, quantities


def carried(claim: str, text: str) -> list[bool]:
    said = quantities.quantities(text)
    return [quantities.carried(one, said) for one in quantities.quantities(claim)]


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("5 %", "five percent"),
        ("1,000 rows", "1k rows"),
        ("2 hours", "120 minutes"),
        ("5km", "5000 m"),
        ("$5", "5 dollars"),
        ("two million people", "2,000,000 people"),
        ("twenty-four months", "24 months"),
        ("about 78,000 cases", "77,984 cases"),
        ("port 80", "on port 80."),
        ("the limit is 14", "the limit is 14 days"),
    ],
)
def test_the_same_number_however_it_is_written(claim: str, text: str) -> None:
    assert carried(claim, text) == [True]


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("14 days", "14 hours"),
        ("5 %", "5 ms and 6 %"),
        ("78,000 cases", "77,984 cases"),
        ("port 80", "port 8080"),
        ("1.5 GB", "1.5 MB"),
        ("three files", "two files"),
    ],
)
def test_another_number_or_unit_is_not_the_same(claim: str, text: str) -> None:
    assert carried(claim, text) == [False]


def test_one_alone_and_versions_are_no_numbers() -> None:
    assert quantities.quantities("one of them runs v2.13.0") == []


@pytest.mark.parametrize("text", ["May 2, 2004", "2 May 2004", "2004-05-02", "the 2nd of May, 2004"])
def test_a_date_however_it_is_written(text: str) -> None:
    [date] = dates.dates(text)
    assert (date.year, date.month, date.day) == (2004, 5, 2)


def test_what_a_date_leaves_open_is_not_asked_for() -> None:
    said = dates.dates("It opened on 3 March 1999.")
    for claim, held in (("in 1999", True), ("in March 1999", True), ("March 4", False), ("in 1998", False)):
        assert all(dates.carried(date, said) for date in dates.dates(claim)) == held


def test_year_and_day_may_stand_apart() -> None:
    said = dates.dates("Published in 2004. It hit the stores on November 2.")
    assert all(dates.carried(date, said) for date in dates.parted(dates.dates("on November 2, 2004")))


def test_a_verb_is_no_month() -> None:
    assert dates.dates("it may 5 times fail") == []
