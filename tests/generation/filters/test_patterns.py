"""Every pattern is linear: a megabyte of hostile text takes none of them long."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from generation import filters
from generation.filters import credentials, injection, markdown, numbers, pii
from generation.filters.credentials import finder_of
from generation.filters.pii import KINDS

SIZE = 1_000_000
HOSTILE = (
    "a",
    "1",
    "a@",
    "a.",
    "1 ",
    "-",
    "[",
    "`",
    "eyJa.",
    "secret=",
    "://a:",
    "0.",
    "ab12",
    "sk-",
    "ignore all ",
    "+(",
)
LONGEST_S = 5  # a pattern that backtracks would take hours; the rest is how busy this machine may be


def patterns() -> list[tuple[str, Any]]:
    found = [
        (f"{module.__name__}.{name}[{nth}]", one)
        for module in (credentials, injection, markdown, numbers, pii)
        for name, value in vars(module).items()
        for nth, one in enumerate(value if isinstance(value, tuple) else (value,))
        if hasattr(one, "finditer")
    ]
    return found + [(f"{kind}[{nth}]", f.pattern) for kind in KINDS for nth, f in enumerate(finder_of(kind))]


def test_there_are_patterns_to_test() -> None:
    assert len(patterns()) > 45
    assert all(type(pattern).__module__.startswith("re2") for _, pattern in patterns())


def test_nothing_else_meets_the_text() -> None:
    for path in Path(filters.__file__).parent.glob("*.py"):
        assert not re.search(r"^\s*(?:import re|from re)\b", path.read_text(), re.MULTILINE), path.name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pattern"), patterns(), ids=[name for name, _ in patterns()])
def test_a_megabyte_of_hostile_text(name: str, pattern: Any) -> None:
    for sign in HOSTILE:
        text = (sign * (SIZE // len(sign))).encode()
        start = time.perf_counter()
        pattern.search(text)
        assert time.perf_counter() - start < LONGEST_S, (name, sign)
