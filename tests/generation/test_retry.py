"""Which failed calls are made again, when, and how often."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import (
    ContextTooLong,
    GenerationError,
    UpstreamMisconfigured,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from generation.retry import Backoff, RetryBudget, is_worth_again, retry_after_s

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def not_again() -> UpstreamUnavailable:
    error = UpstreamUnavailable("Go away.")
    error.again = False
    return error


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (UpstreamUnavailable("429"), True, False),
        (UpstreamTruncated("It broke off."), True, False),
        (UpstreamTruncated("Filtered.").caused_by_request(), False, False),
        (UpstreamTimeout("It was silent."), False, False),
        (UpstreamMisconfigured("401"), False, False),
        (ContextTooLong("Too long."), False, False),
        (not_again(), False, False),
    ],
)
def test_what_is_tried_again_before_and_after_the_first_word(error: GenerationError, before: bool, after: bool) -> None:
    assert is_worth_again(error, drafted=False) == before
    assert is_worth_again(error, drafted=True) == after


def test_waits_double_up_to_a_longest_and_are_drawn_from_all_of_it() -> None:
    backoff = Backoff(0.25, 4.0)
    assert [backoff.wait_s(n, lambda: 1.0) for n in range(1, 8)] == [0.25, 0.5, 1, 2, 4, 4, 4]
    assert backoff.wait_s(3, lambda: 0.0) == 0
    assert 0 <= backoff.wait_s(3) <= 1


@given(st.integers(1, 3000))
def test_of_many_calls_a_tenth_is_made_again(calls: int) -> None:
    budget = RetryBudget()
    again = 0
    for _ in range(calls):
        budget.called()
        again += budget.take() + budget.take()
    assert again <= 0.1 * calls + 3
    assert again >= min(2 * calls, 0.1 * calls - 1)


def test_idle_hours_save_up_no_more_than_a_few() -> None:
    budget = RetryBudget()
    for _ in range(10_000):
        budget.called()
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]


def at(delta: float) -> str:
    return format_datetime(NOW + timedelta(seconds=delta), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": at(30)}, 30),
        ({"retry-after": at(-30)}, 0),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:05 -0000"}, 5),
        ({"retry-after": "86400"}, 86_400),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Sun, 01 Mar 99999 12:00:05 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], wanted: float | None) -> None:
    assert retry_after_s(headers, NOW) == wanted


@given(st.text())
def test_whatever_it_says(value: str) -> None:
    found = retry_after_s({"retry-after": value, "retry-after-ms": value}, NOW)
    assert found is None or 0 <= found < float("inf")
