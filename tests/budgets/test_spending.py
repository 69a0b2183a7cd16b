"""A small sample of each check; `python -m tests.budgets` has the whole."""

from tests.budgets.spending import parallel, processes


def test_calls_at_once_never_spend_more_than_there_is() -> None:
    assert parallel(40, 0)["wrong"] == []


def test_two_processes_agree_on_what_is_left() -> None:
    assert processes(40, 0)["wrong"] == []
