"""What tokens cost, in whole 1e-9 USD, so that sums are exact."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from generation.model import Usage


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per million tokens."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)


def cost_of(usage: Usage, prices: Prices) -> int:
    """1e-9 USD: a million tokens at 1 USD are 1e9 of them, so a token at p USD per million costs 1000 p."""
    spent = 1000 * (usage.input_tokens * prices.input + usage.output_tokens * prices.output)
    return int(spent.to_integral_value(ROUND_HALF_EVEN))
