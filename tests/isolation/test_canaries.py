"""A few tenants, and calls of all routes with each other's ids."""

from tests.isolation.canaries import sweep


def test_no_reply_and_no_line_of_the_log_holds_a_word_of_another_tenant() -> None:
    found = sweep(calls=600, tenants=3, seed=7)
    assert found["wrong"] == []
    assert found["words_seen"] > 100  # the words are there for those who may see them
    assert found["routes"] >= 28
    assert found["from_cache"] > 0
    assert found["counts_seen"] > 0
