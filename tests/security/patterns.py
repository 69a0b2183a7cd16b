"""Each pattern of the filters on a megabyte of hostile text, in CPU time: how busy the machine is makes no difference."""

import time
from typing import Any

from generation import filters
from generation.filters import credentials, injection, markdown, numbers, pii, placeholders
from generation.filters.credentials import finder_of
from generation.filters.pii import KINDS

SIZE = 1_000_000
ASKED_MS = 100.0
HOSTILE = (
    "a", "1", "a@", "a.", "1 ", "-", "[", "`", "eyJa.", "secret=", "://a:", "0.", "ab12", "sk-", "ignore all ", "+(",
    "EMAIL_", "[`a`", "call me ", "00 1 ", "(0", "&a", "\n \t",
)  # fmt: skip
_TRIES = 2


def patterns() -> list[tuple[str, Any]]:
    """All of them, with their names."""
    found = [
        (f"{module.__name__.removeprefix(filters.__name__ + '.')}.{name}[{nth}]", one)
        for module in (credentials, injection, markdown, numbers, pii, placeholders)
        for name, value in vars(module).items()
        for nth, one in enumerate(value if isinstance(value, tuple) else (value,))
        if hasattr(one, "finditer")
    ]
    return found + [(f"{kind}[{nth}]", f.pattern) for kind in KINDS for nth, f in enumerate(finder_of(kind))]


def ms(pattern: Any, sign: str) -> float:
    """The shorter of two searches through text that does not match for as long as can be."""
    text = (sign * (SIZE // len(sign))).encode()
    found = []
    for _ in range(_TRIES):
        start = time.thread_time()
        pattern.search(text)
        found.append((time.thread_time() - start) * 1e3)
    return min(found)


def sweep(n: int, seed: int) -> dict[str, Any]:
    """Numbers, and what was wrong. `n` is how many patterns; 0 for all."""
    del seed
    tried = patterns()[: n or None]
    slowest = {name: max((round(ms(pattern, sign), 1), sign) for sign in HOSTILE) for name, pattern in tried}
    worst = max(slowest, key=lambda name: slowest[name])
    return {
        "patterns": len(tried),
        "texts": len(HOSTILE),
        "slowest_ms": slowest[worst][0],
        "slowest": f"{worst} on {slowest[worst][1]!r}",
        "wrong": [f"{name}: {took} ms on {sign!r}" for name, (took, sign) in slowest.items() if took > ASKED_MS],
    }
