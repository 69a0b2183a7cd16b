"""Whether, when and how often a failed call is made once more. Pure.

Waits are exponential with full jitter: a number drawn evenly between nothing and a limit that doubles (Marc Brooker,
"Exponential Backoff And Jitter", 2015). How often is bounded by a token bucket, so that retries stay a tenth of the calls
however long an outage lasts ("Addressing Cascading Failures", Site Reliability Engineering, 2016).
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from generation.errors import GenerationError, UpstreamTruncated, UpstreamUnavailable


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds: `first_s` is the longest wait before the second try; the limit doubles up to `longest_s`."""

    first_s: float = 0.25
    longest_s: float = 4.0

    def wait_s(self, failures: int, dice: Callable[[], float] = random.random) -> float:
        """How long to wait after this many failures, from 1. `dice` in [0, 1)."""
        return dice() * min(self.longest_s, self.first_s * 2.0 ** (failures - 1))


class RetryBudget:
    """A token bucket: each first call adds `share` of a token, each retry takes a whole one. Full at the start, so that a
    service with few questions may retry as well."""

    def __init__(self, share: float = 0.1, burst: float = 3.0) -> None:
        self._share = share
        self._burst = burst
        self._tokens = burst

    def called(self) -> None:
        """A first call is made."""
        self._tokens = min(self._burst, self._tokens + self._share)

    def take(self) -> bool:
        """Whether one retry may be made; it is then paid for."""
        if self._tokens < 1 - 1e-9:  # ten tenths are a hair less than one
            return False
        self._tokens -= 1
        return True


def is_worth_again(error: GenerationError, *, drafted: bool) -> bool:
    """Whether the same endpoint may do better at once. Not when it was too slow, for the time is gone; not when it refused
    the key, the model or the request; not when it had begun to write, for then the answer begins anew elsewhere."""
    if drafted or error.by_request:
        return False
    if isinstance(error, UpstreamUnavailable):
        return error.again
    return isinstance(error, UpstreamTruncated)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long an endpoint wants to be left alone, in seconds: `retry-after-ms`, or `retry-after` in seconds or as a date
    (RFC 9110, 10.2.3). None where it says nothing, or nothing that makes sense; a date gone by is no wait."""
    said = _number(headers.get("retry-after-ms"))
    if said is not None:
        return said / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    return seconds if seconds is not None or value is None else _until(value, now)


def _number(value: str | None) -> float | None:
    """Zero or more; "nan", "inf" and what is below zero are none."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _until(value: str, now: datetime) -> float | None:
    try:
        when = parsedate_to_datetime(value)
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
