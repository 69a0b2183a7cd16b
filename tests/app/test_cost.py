"""What tokens cost, to the billionth of a dollar."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from app.cost import FREE, Prices, cost_of, cost_of_all
from generation.model import Attempt, Usage

tokens = st.integers(0, 10_000_000)
usd = st.decimals(0, 1000, places=4)
usages = st.builds(Usage, tokens, tokens, tokens)
prices = st.builds(Prices, usd, usd, st.none() | usd)


def exact(usage: Usage, paid: Prices) -> Fraction:
    """The same by the definition, in fractions: tokens times USD per million."""
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    cached_price = paid.input if paid.cached_input is None else paid.cached_input
    spent = (
        (usage.input_tokens - cached) * Fraction(paid.input)
        + cached * Fraction(cached_price)
        + usage.output_tokens * Fraction(paid.output)
    )
    return spent / 1_000_000 * 1_000_000_000


@given(usages, prices)
def test_a_cost_is_within_half_a_billionth(usage: Usage, paid: Prices) -> None:
    assert abs(cost_of(usage, paid) - exact(usage, paid)) <= Fraction(1, 2)


@given(st.lists(st.tuples(usages, st.sampled_from(["small", "large", None, "gone"])), max_size=6), prices, prices)
def test_attempts_add_up_each_at_its_own_price(
    made: list[tuple[Usage, str | None]], small: Prices, large: Prices
) -> None:
    attempts = [Attempt("m", tier, "ok", usage) for usage, tier in made]
    known = {"small": small, "large": large}
    total = cost_of_all(attempts, known)
    assert total == sum(cost_of_all([attempt], known) for attempt in attempts)
    assert total == sum(cost_of(usage, known.get(tier or "", FREE)) for usage, tier in made)


@given(usages, usd, usd)
def test_without_a_price_of_their_own_cached_tokens_cost_as_any(usage: Usage, given_: Decimal, made: Decimal) -> None:
    assert cost_of(usage, Prices(given_, made)) == cost_of(usage, Prices(given_, made, given_))


def test_an_example() -> None:
    """1000 tokens in, 600 of them cached, 200 out, at 2, 0.5 and 8 USD a million: 0.8 + 0.3 + 1.6 thousandths of a dollar."""
    assert cost_of(Usage(1000, 200, 600), Prices(Decimal(2), Decimal(8), Decimal("0.5"))) == 2_700_000


def test_more_cached_tokens_than_tokens_are_not_believed() -> None:
    assert cost_of(Usage(10, 0, 1000), Prices(Decimal(2), Decimal(8), Decimal(1))) == 10_000
