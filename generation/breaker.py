"""A circuit breaker: an endpoint that fails is left alone for a while, then asked by one request whether it is back.

Closed, every call is let through. Open, none is, until a cool-down is over; it grows while the endpoint stays away. Then
half open: one call, the probe, decides. Pure: the clock and the dice are given. Written by hand because the known libraries
share no clock with the rest of a chain, which therefore could not be simulated.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Policy:
    """When a breaker opens: after `in_a_row` failures, or when `share` of the last `window` calls have failed, `least` of
    them at least and none older than `window_s`. How long it stays so: `cooldown_s`, growing by `growth` up to
    `longest_s`, each lengthened by up to `jitter` of itself, so that many services do not come back in step.

    The defaults have traffic back within 5 s of a heal: 3.5 s and a quarter is the longest cool-down.
    """

    in_a_row: int = 5
    share: float = 0.5
    window: int = 20
    least: int = 10
    window_s: float = 60.0
    cooldown_s: float = 1.0
    growth: float = 2.0
    longest_s: float = 3.5
    jitter: float = 0.25


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call. Given back once: as a success, as a failure, or unused."""

    era: int
    probe: bool = False


class Breaker:
    """One endpoint's breaker. Of calls that were let through before it last opened nothing is learnt any more."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        policy: Policy | None = None,
        *,
        dice: Callable[[], float] = random.random,
        on_change: Callable[[State], None] | None = None,
    ) -> None:
        """`clock` in seconds, never backwards; `dice` in [0, 1); `on_change` is told each new state."""
        self._clock = clock
        self._policy = policy or Policy()
        self._dice = dice
        self._on_change = on_change
        self._state: State = "closed"
        self._era = 0
        self._failed_in_a_row = 0
        self._calls: deque[tuple[float, bool]] = deque(maxlen=self._policy.window)
        self._cooldown_s = self._policy.cooldown_s
        self._probed_at = 0.0
        self._until = 0.0  # no call before, unless closed

    @property
    def state(self) -> State:
        return self._state

    def admit(self) -> Permit | None:
        """Leave for one call, or None while the endpoint is left alone. Give every permit back."""
        if self._state == "closed":
            return Permit(self._era)
        if self._clock() < self._until:
            return None
        # A probe that takes longer than a cool-down is given company: it may hang on what has healed meanwhile.
        if self._state == "half_open":
            self._grow()
        self._era += 1
        self._probed_at = self._clock()
        self._until = self._probed_at + self._spell()
        self._become("half_open")
        return Permit(self._era, probe=True)

    def succeeded(self, permit: Permit) -> None:
        """The endpoint did what it was asked."""
        if permit.probe and self._state != "closed":
            self._close()
        elif self._counts(permit):
            self._note(failed=False)

    def failed(self, permit: Permit) -> None:
        """The endpoint is to blame for a failure."""
        if self._is_latest_probe(permit):  # what an earlier one hung on may be over
            self._grow()
            self._open(self._probed_at)
        elif self._counts(permit):
            self._note(failed=True)
            if self._has_enough():
                self._open(self._clock())

    def unused(self, permit: Permit) -> None:
        """Nothing was learnt: the caller went away, or the request was at fault. The next call may be the probe."""
        if self._is_latest_probe(permit):
            self._until = self._clock()
            self._become("open")

    def _is_latest_probe(self, permit: Permit) -> bool:
        return permit.probe and self._state == "half_open" and permit.era == self._era

    def _counts(self, permit: Permit) -> bool:
        return self._state == "closed" and not permit.probe and permit.era == self._era

    def _note(self, *, failed: bool) -> None:
        self._failed_in_a_row = self._failed_in_a_row + 1 if failed else 0
        self._calls.append((self._clock(), failed))

    def _has_enough(self) -> bool:
        p = self._policy
        if self._failed_in_a_row >= p.in_a_row:
            return True
        recent = [failed for at, failed in self._calls if at > self._clock() - p.window_s]
        return len(recent) >= p.least and sum(recent) >= p.share * len(recent)

    def _spell(self) -> float:
        return self._cooldown_s * (1 + self._policy.jitter * self._dice())

    def _grow(self) -> None:
        self._cooldown_s = min(self._cooldown_s * self._policy.growth, self._policy.longest_s)

    def _open(self, since: float) -> None:
        """A cool-down is counted from the last probe, so that one that fails slowly does not put off the next."""
        self._until = since + self._spell()
        self._become("open")

    def _close(self) -> None:
        self._era += 1
        self._failed_in_a_row = 0
        self._calls.clear()
        self._cooldown_s = self._policy.cooldown_s
        self._become("closed")

    def _become(self, state: State) -> None:
        changed, self._state = state != self._state, state
        if changed and self._on_change is not None:
            self._on_change(state)
