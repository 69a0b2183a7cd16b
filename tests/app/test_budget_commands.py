"""`grounded budgets` and the budgets of `grounded keys`: what is typed is what holds."""

import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.budgets.model import KEY, Amount, Standing, seconds_left, window_of
from app.budgets.ports import Owner
from app.commands.budgets import PLACES, limits_of, list_budgets, set_budget, subject_of
from app.commands.keys import Wanted, create, list_keys
from app.errors import ValidationFailed
from app.settings import Settings
from app.wiring_limits import budget_store
from tests.app.serving import settings_for

KEY_ID = "key_0123456789abcdef01234567"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path / "state")


def run(work: Coroutine[Any, Any, int]) -> None:
    assert asyncio.run(work) == 0


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def spend(settings: Settings, key_id: str, nano_usd: int) -> None:
    async def main() -> None:
        async with budget_store(settings) as store:
            subject, amount = KEY + key_id, Amount(nano_usd, 100)
            await store.hold("h", Owner("o", beat=1), (subject,), amount, datetime.now(UTC))
            await store.settle("h", amount, 0.8)

    asyncio.run(main())


def test_a_key_is_made_with_budgets_and_listed_with_what_is_used(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = limits_of({("usd", "day"): "2.50", ("tokens", "month"): "200000"})
    run(create(settings, Wanted("reports", budgets=limits), as_json=True))
    key_id = told(capsys)["id"]
    spend(settings, key_id, 10**9)
    run(list_keys(settings, as_json=True))
    (key,) = told(capsys)["keys"]
    by_unit = {one["unit"]: one for one in key["budgets"]}
    assert (by_unit["usd"]["limit"], by_unit["usd"]["used"], by_unit["usd"]["left"]) == (2.5, 1.0, 1.5)
    assert (by_unit["tokens"]["limit"], by_unit["tokens"]["used"]) == (200_000, 100)
    run(list_keys(settings, as_json=False))
    assert "40%" in capsys.readouterr().out


def test_limits_are_set_one_by_one_and_taken_away(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    run(set_budget(settings, "tenant:acme", limits_of({("usd", "day"): "5", ("usd", "month"): "50"}), as_json=True))
    assert {one["period"]: one["limit"] for one in told(capsys)["budgets"]} == {"day": 5.0, "month": 50.0}
    run(set_budget(settings, "tenant:acme", limits_of({("usd", "day"): "none"}), as_json=True))
    assert [one["period"] for one in told(capsys)["budgets"]] == ["month"]
    run(set_budget(settings, KEY_ID, limits_of({("tokens", "day"): "0"}), as_json=False))
    assert "tokens" in capsys.readouterr().out
    run(list_budgets(settings, as_json=True))
    assert {one["subject"] for one in told(capsys)["budgets"]} == {"tenant:acme", f"key:{KEY_ID}"}


def test_without_any_there_is_a_word_of_what_to_do(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    run(list_budgets(settings, as_json=False))
    assert "grounded budgets set" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["-1", "x", "1e30", "nan", "0.0000000001", "inf", ""])
def test_what_is_no_amount_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationFailed):
        limits_of({("usd", "day"): wrong})


def test_tokens_are_whole() -> None:
    with pytest.raises(ValidationFailed):
        limits_of({("tokens", "day"): "1.5"})
    assert limits_of(dict.fromkeys(PLACES)) == {}


@pytest.mark.parametrize("wrong", ["acme", "key_1", "tenant:", "tenant:No Such", "key:x"])
def test_whose_it_is_must_be_a_key_or_a_tenant(wrong: str) -> None:
    with pytest.raises(ValidationFailed):
        subject_of(wrong)


def test_nothing_to_set_is_told(settings: Settings) -> None:
    with pytest.raises(ValidationFailed):
        asyncio.run(set_budget(settings, KEY_ID, {}, as_json=True))


@pytest.mark.parametrize(
    ("now", "day_s", "month_s"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), 2, 2),
        (datetime(2026, 12, 31, 0, 0, tzinfo=UTC), 86_401, 86_401),
        (datetime(2028, 2, 1, tzinfo=UTC), 86_401, 29 * 86_400 + 1),
    ],
)
def test_a_period_ends_with_its_day_or_month(now: datetime, day_s: int, month_s: int) -> None:
    assert (seconds_left("day", now), seconds_left("month", now)) == (day_s, month_s)
    assert window_of("month", now) == f"{now:%Y-%m}"


def test_a_budget_of_nothing_is_used_up() -> None:
    assert Standing("key:x", "usd", "day", "2026-11-21", 0).share == 1.0
