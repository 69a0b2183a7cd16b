"""How often somebody may come, how much of a request is read, and what happens when a budget is used up."""

import ipaddress
from typing import Literal

from pydantic import Field, field_validator

from app.settings_section import Section


class LimitSettings(Section):
    """Limits of requests, whoever sends them."""

    key_per_minute: int = Field(
        0,
        ge=0,
        description="Requests of one key in any minute; more get 429 rate_limited. Redis counts for all replicas where "
        "redis_url is set. 0: any number.",
    )
    address_per_minute: int = Field(
        0,
        ge=0,
        description="Requests of one address in any minute, counted before keys are looked at; of IPv6 the first 64 bits "
        "count. Programs on this machine are not counted. 0: any number.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed. Empty: "
        "nobody's are.",
    )
    max_headers: int = Field(100, ge=10, description="Headers of one request; one with more is refused.")
    head_s: float = Field(10.0, gt=0, description="Time for a request line with its headers to arrive.")
    body_s: float = Field(
        30.0,
        gt=0,
        description="Time for a body to arrive, and a second more for each 16 kB of it; one that takes longer gets 408.",
    )
    json_depth: int = Field(
        40, ge=8, le=500, description="Nesting of a JSON body; a schema of an answer may take 32 levels of it."
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            ipaddress.ip_network(value)
        return values


class BudgetSettings(Section):
    """Budgets, which are set by `grounded budgets`."""

    exhausted: Literal["extractive", "refuse"] = Field(
        "extractive",
        description="What becomes of a question whose budget does not hold a model's call: extractive answers it by quoting, "
        "and says budget in degraded; refuse turns it away with 429 budget_exceeded.",
    )
    warn_at: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of a budget from which replies have the header x-budget-used, and at which one line budget.warning "
        "is logged in its period. 0: never.",
    )
