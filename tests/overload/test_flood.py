"""A short flood: what is refused is refused well, and behind it all is as before. `python -m tests.overload` measures."""

import pytest

from tests.overload.flood import sample

pytestmark = pytest.mark.slow


def test_what_is_too_much_is_refused_and_nothing_breaks() -> None:
    flooded, behind = sample(2.0)
    assert set(flooded.statuses) <= {200, 503}
    assert flooded.statuses[200] >= 8
    assert flooded.statuses[503] > 0
    assert flooded.without_time == 0
    assert set(behind.statuses) == {200}
