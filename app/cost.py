"""What tokens cost, in whole 1e-9 USD, so that sums are exact."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from generation.model import Attempt, Usage


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per million tokens; `cached_input` of input tokens that the endpoint had in its cache, None: as any other."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None


FREE = Prices()


def cost_of(usage: Usage, prices: Prices) -> int:
    """1e-9 USD: a million tokens at 1 USD are 1e9 of them, so a token at p USD per million costs 1000 p. Endpoints that
    tell more cached tokens than input tokens are not believed."""
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    cached_price = prices.input if prices.cached_input is None else prices.cached_input
    read = (usage.input_tokens - cached) * prices.input + cached * cached_price
    spent = 1000 * (read + usage.output_tokens * prices.output)
    return int(spent.to_integral_value(ROUND_HALF_EVEN))


def cost_of_all(attempts: Iterable[Attempt], prices: Mapping[str, Prices]) -> int:
    """1e-9 USD: each attempt at the prices of its own tier, the failed ones too. An attempt without a tier is free."""
    return sum(cost_of(attempt.usage, prices.get(attempt.tier or "", FREE)) for attempt in attempts)
