"""The circuit breaker with a clock and dice of the test's own."""

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from generation.breaker import Breaker, Permit, Policy, State


@dataclass
class Bench:
    """A breaker, its clock, and what it told."""

    policy: Policy = field(default_factory=Policy)
    now: float = 100.0
    dice: float = 0.0
    told: list[State] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breaker = Breaker(lambda: self.now, self.policy, dice=lambda: self.dice, on_change=self.told.append)

    def state(self) -> State:
        return self.breaker.state

    def permit(self) -> Permit:
        permit = self.breaker.admit()
        assert permit is not None
        return permit

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed(self.permit())

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.succeeded(self.permit())


def opened(**policy: float) -> Bench:
    bench = Bench(Policy(**policy))  # type: ignore[arg-type]
    bench.fail(5)
    assert bench.state() == "open"
    return bench


def test_five_failures_in_a_row_open_it() -> None:
    bench = Bench()
    bench.fail(4)
    assert bench.state() == "closed"
    bench.fail()
    assert bench.state() == "open"
    assert bench.breaker.admit() is None
    assert bench.told == ["open"]


def test_a_success_between_begins_the_row_anew() -> None:
    bench = Bench()
    bench.succeed(20)
    for _ in range(2):
        bench.fail(4)
        bench.succeed(4)
    assert bench.state() == "closed"


def test_half_of_the_last_calls_open_it() -> None:
    bench = Bench()
    for _ in range(4):
        bench.succeed()
        bench.fail()
    assert bench.state() == "closed"  # eight calls say too little
    bench.succeed()
    bench.fail()
    assert bench.state() == "open"


def test_old_calls_say_nothing_of_today() -> None:
    bench = Bench()
    for _ in range(20):
        bench.succeed()
        bench.fail()
        bench.now += 20
    assert bench.state() == "closed"


def test_after_the_cool_down_one_call_probes() -> None:
    bench = opened()
    bench.now += 0.99
    assert bench.breaker.admit() is None
    bench.now += 0.02
    probe = bench.permit()
    assert probe.probe
    assert bench.state() == "half_open"
    assert bench.breaker.admit() is None
    bench.breaker.succeeded(probe)
    assert bench.state() == "closed"
    assert not bench.permit().probe
    assert bench.told == ["open", "half_open", "closed"]


def test_cool_downs_grow_up_to_a_longest_and_begin_anew_after_a_success() -> None:
    bench = opened()
    waits = []
    for _ in range(5):
        begun = bench.now
        while (probe := bench.breaker.admit()) is None:
            bench.now += 0.01
        waits.append(bench.now - begun)
        bench.breaker.failed(probe)
    assert [round(wait, 1) for wait in waits] == [1.0, 2.0, 3.5, 3.5, 3.5]
    bench.now += 3.6
    bench.breaker.succeeded(bench.permit())
    bench.fail(5)
    bench.now += 1.01
    assert bench.breaker.admit() is not None


def test_the_longest_cool_down_has_traffic_back_within_five_seconds() -> None:
    policy = Policy()
    assert policy.longest_s * (1 + policy.jitter) < 5


def test_jitter_lengthens() -> None:
    bench = Bench(dice=0.8)
    bench.fail(5)
    bench.now += 1.19
    assert bench.breaker.admit() is None
    bench.now += 0.02
    assert bench.breaker.admit() is not None


def test_a_probe_that_hangs_is_given_company_and_either_may_close_it() -> None:
    bench = opened()
    bench.now += 1.01
    hanging = bench.permit()
    assert bench.breaker.admit() is None
    bench.now += 1.01
    second = bench.permit()
    assert second.probe
    bench.breaker.succeeded(second)
    assert bench.state() == "closed"
    bench.breaker.failed(hanging)  # what hung has hung before the heal
    bench.fail(4)
    assert bench.state() == "closed"


def test_a_probe_that_fails_slowly_puts_off_no_other() -> None:
    bench = opened()
    bench.now += 1.01
    hanging = [bench.permit()]
    for wait in (1.01, 2.01, 3.51, 3.51):
        bench.now += wait
        assert bench.breaker.admit() is not None
    bench.now += 3.5
    bench.breaker.failed(hanging[0])
    bench.now += 0.02
    latest = bench.permit()
    bench.now += 3.5
    bench.breaker.failed(latest)
    bench.now += 0.02
    bench.breaker.succeeded(bench.permit())
    assert bench.state() == "closed"


def test_a_probe_whose_caller_went_away_makes_room_for_the_next() -> None:
    bench = opened()
    bench.now += 1.01
    bench.breaker.unused(bench.permit())
    assert bench.state() == "open"
    assert bench.permit().probe


def test_callers_that_go_away_never_open_it() -> None:
    bench = Bench()
    bench.fail(4)
    for _ in range(1000):
        bench.breaker.unused(bench.permit())
    assert bench.state() == "closed"
    bench.fail()
    assert bench.state() == "open"


def test_calls_of_an_earlier_era_say_nothing() -> None:
    bench = Bench()
    early = [bench.permit() for _ in range(30)]
    bench.fail(5)
    for permit in early[:10]:
        bench.breaker.failed(permit)
    bench.breaker.succeeded(early[10])
    assert bench.state() == "open"
    bench.now += 1.01
    bench.breaker.succeeded(bench.permit())
    for permit in early[11:]:
        bench.breaker.failed(permit)
    assert bench.state() == "closed"


@given(st.lists(st.sampled_from(["fail", "succeed", "leave", "wait", "long"]), max_size=200), st.floats(0, 0.999))
def test_whatever_happens_it_comes_back_and_probes_at_most_once_a_second(steps: list[str], dice: float) -> None:
    bench = Bench(dice=dice)
    probes: list[float] = []
    held: list[Permit] = []
    for step in steps:
        if step in ("wait", "long"):
            bench.now += 0.3 if step == "wait" else 4.0
            continue
        permit = bench.breaker.admit()
        if permit is None:
            continue
        if permit.probe and step != "leave":
            probes.append(bench.now)
        {"fail": bench.breaker.failed, "succeed": bench.breaker.succeeded, "leave": bench.breaker.unused}[step](permit)
        held.append(permit)
    for permit in held[:3]:
        bench.breaker.failed(permit)  # given back twice, it does no harm either
    assert all(later - earlier >= 1 for earlier, later in pairwise(probes))
    bench.now += 5
    bench.breaker.succeeded(bench.permit())
    assert bench.state() == "closed"
