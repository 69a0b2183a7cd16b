"""Tiers as they are configured: what is refused says what is wrong, and one endpoint is short for one tier."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.commands.config import _shown
from app.cost import Prices
from app.settings import ConfigurationError, Settings, load, unknown_variables
from app.tiers import key_of, prices_of, tiers_of
from tests.app.serving import settings_for

TOML = """
[[tiers]]
name = "small"
base_url = "http://127.0.0.1:9/v1"
model = "m"
price_input = 0.1
price_cached_input = 0.025
price_output = 0.4
max_tokens = { answer = 300 }
{extra}

[[tiers]]
name = "large"
base_url = "http://127.0.0.1:9/v1"
model = "n"
price_input = 2
price_output = 8
self_hosted = true

[routing]
sensitive = ["hr"]
{routing}
"""
ONE = {"name": "one", "base_url": "http://127.0.0.1:9/v1", "model": "m", "price_input": 0, "price_output": 0}


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def load_with(extra: str = 'data_policy = ["default", "manuals"]', routing: str = "") -> Settings:
        file = tmp_path / "grounded.toml"
        file.write_text(TOML.replace("{extra}", extra).replace("{routing}", routing))
        file.chmod(0o600)
        monkeypatch.setenv("GROUNDED_CONFIG", str(file))
        return load()

    return load_with


def configured(**more: Any) -> Settings:
    return settings_for(Path("nowhere"), **more)


def test_a_file_names_them_in_order(loaded: Any) -> None:
    small, large = tiers_of(loaded())
    assert (small.name, large.name) == ("small", "large")
    assert prices_of(small) == Prices(Decimal("0.1"), Decimal("0.4"), Decimal("0.025"))
    assert prices_of(large) == Prices(Decimal(2), Decimal(8))
    assert (small.max_tokens.answer, small.max_tokens.rewrite) == (300, 160)
    assert (small.data_policy, large.data_policy) == (("default", "manuals"), "all")


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ('modell = "x"', "tiers.0.model"),
        ("temperature = 9", "tiers.0.temperature"),
        ("price_per_call = 1", "tiers.0.price_per_call"),
        ('data_policy = ["No Such Name"]', "tiers.0.data_policy"),
        ('api_key = "a"\napi_key_file = "b"', "contradict"),
    ],
)
def test_what_cannot_be_is_named(loaded: Any, extra: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        loaded(extra)


@pytest.mark.parametrize("name", ["extractive", "Small", "", "a b", "x" * 33])
def test_a_name_that_none_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        configured(tiers=[ONE | {"name": name}])


@pytest.mark.parametrize("missing", ["name", "base_url", "model", "price_input", "price_output"])
def test_what_a_tier_must_say(missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        configured(tiers=[{key: value for key, value in ONE.items() if key != missing}])


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Two tiers are called 'one'"):
        tiers_of(configured(tiers=[ONE, ONE]))


@pytest.mark.parametrize("step", ["answer_tier", "rewrite_tier", "verify_tier", "classifier"])
def test_whoever_names_a_tier_names_one_that_is_there(loaded: Any, step: str) -> None:
    assert tiers_of(loaded(routing=f'{step} = "small"'))
    with pytest.raises(ConfigurationError, match=r"there is no tier 'smal'. Did you mean 'small'"):
        tiers_of(loaded(routing=f'{step} = "smal"'))


def test_thresholds_rise(loaded: Any) -> None:
    with pytest.raises(ConfigurationError, match="thresholds must rise"):
        loaded(routing="thresholds = [3.0, 1.0]")


def test_a_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    (tier,) = tiers_of(configured(tiers=[ONE | {"api_key_file": str(file)}]))
    with pytest.raises(ConfigurationError, match="api_key_file of tier 'one' cannot be read") as caught:
        key_of(tier)
    assert str(file) not in caught.value.message
    file.write_text("s3cret\n")
    file.chmod(0o600)
    assert key_of(tier) == "s3cret"


def test_a_key_is_shown_to_nobody() -> None:
    settings = configured(tiers=[ONE | {"api_key": "s3cret"}])
    assert "s3cret" not in str(settings.tiers)
    assert key_of(settings.tiers[0]) == "s3cret"


def test_the_environment_names_them_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDED_TIERS", json.dumps([ONE | {"api_key": "s3cret"}]))
    monkeypatch.setenv("GROUNDED_ROUTING__SENSITIVE", '["hr"]')
    monkeypatch.setenv("GROUNDED_ROUTING__THRESHOLDS", "[1, 2]")
    settings = load()
    assert [tier.name for tier in tiers_of(settings)] == ["one"]
    assert (settings.routing.sensitive, settings.routing.thresholds) == (("hr",), (1.0, 2.0))
    assert "s3cret" not in str(_shown(settings, "tiers"))
    assert unknown_variables() == []


class TestShorthand:
    def test_one_endpoint_is_one_tier(self) -> None:
        generation = {
            "backend": "openai_chat",
            "base_url": "http://127.0.0.1:9/v1",
            "model": "m",
            "api_key": "k",
            "price_input": 0.15,
            "price_output": 0.6,
            "max_tokens": 99,
            "timeout_s": 7,
        }
        (tier,) = tiers_of(configured(generation=generation))
        assert (tier.name, tier.model, tier.max_tokens.answer, tier.timeout_s) == ("default", "m", 99, 7)
        assert prices_of(tier) == Prices(Decimal("0.15"), Decimal("0.6"))
        assert (key_of(tier), tier.data_policy) == ("k", "all")

    def test_without_an_endpoint_there_is_none(self) -> None:
        assert tiers_of(configured()) == ()

    def test_both_are_too_much(self) -> None:
        with pytest.raises(ConfigurationError, match="under generation as well"):
            tiers_of(configured(tiers=[ONE], generation={"backend": "openai_chat"}))
