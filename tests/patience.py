"""What tests do about time: a machine may be busy, so they wait long for what comes about, and the product may too.

How soon something happens is measured by commands of the manual, on a machine that has nothing else to do. What a test can
hold whatever the machine is that it happens, and, of two ways to it, by which one.
"""

from collections.abc import Callable, Mapping
from typing import Any

PATIENCE_S = 120.0  # for what must come about
UNHURRIED: Mapping[str, Mapping[str, float]] = {  # deadlines behind which an answer goes on without a part of its
    "retrieval": dict.fromkeys([f"{stage}timeout_s" for stage in ("", "embed_", "dense_", "bm25_", "rerank_")], 60.0),
    "query": {"rewrite_timeout_s": 60.0},
    "reranker": {"timeout_s": 60.0},
    "cache": {"timeout_s": 60.0},
    "moderation": {"timeout_s": 60.0},
    "routing": {"classify_timeout_s": 60.0, "verify_timeout_s": 60.0},
}
UNHURRIED_ENVIRONMENT: Mapping[str, str] = {
    f"GROUNDED_{section}__{name}".upper(): str(value)
    for section, values in UNHURRIED.items()
    for name, value in values.items()
}


def unhurried(settings: Mapping[str, Any]) -> dict[str, Any]:
    """These settings, and long deadlines where they say nothing of them."""
    found: dict[str, Any] = {**UNHURRIED, **settings}
    for section in UNHURRIED.keys() & settings.keys():
        if isinstance(settings[section], Mapping):
            found[section] = {**UNHURRIED[section], **settings[section]}
    return found


def least(measured: Callable[[], float], below: float, tries: int = 5) -> float:
    """The smallest of up to so many measurements; none is taken behind one that is below what is hoped for. What a machine
    adds that has else to do is not there every time, and what the code does is."""
    found = measured()
    while found >= below and (tries := tries - 1):
        found = min(found, measured())
    return found
