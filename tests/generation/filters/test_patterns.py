"""Every pattern is linear: a megabyte of hostile text takes none of them long."""

import re
from pathlib import Path
from typing import Any

import pytest

from generation import filters
from tests.security.patterns import ASKED_MS, HOSTILE, ms, patterns


def test_there_are_patterns_to_test() -> None:
    assert len(patterns()) > 45
    assert all(type(pattern).__module__.startswith("re2") for _, pattern in patterns())


def test_nothing_else_meets_the_text() -> None:
    """But for two classes of single characters, which cannot go back and forth, and hold surrogates, which RE2 does not."""
    for path in Path(filters.__file__).parent.glob("*.py"):
        if path.name == "invisible.py":
            assert re.findall(r"\bre\.\w+\(.{2}", path.read_text()) == ['re.compile("['] * 2
            continue
        assert not re.search(r"^\s*(?:import re|from re)\b", path.read_text(), re.MULTILINE), path.name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pattern"), patterns(), ids=[name for name, _ in patterns()])
def test_a_megabyte_of_hostile_text(name: str, pattern: Any) -> None:
    for sign in HOSTILE:
        assert ms(pattern, sign) <= ASKED_MS, (name, sign)
