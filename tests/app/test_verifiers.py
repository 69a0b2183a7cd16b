"""Which verifier the settings choose, and what each does on its way through the whole product."""

from pathlib import Path
from typing import Any

import pytest

from app.settings import ConfigurationError, Settings
from app.verifiers import verifier_kind
from generation.events import ClaimJudged
from generation.model import Claim
from tests.app.serving import answer
from tests.app.test_routing import PLAIN, done, run, tiered
from tests.nli_models import build
from tests.scripted_upstream import reply

ONE = {"name": "one", "base_url": "http://127.0.0.1:1/v1", "model": "m", "price_input": 0, "price_output": 0}
SAID = "Refunds take 14 days at most. [1] Refunds come back in two weeks. [1]"


def configured(**settings: Any) -> Settings:
    return Settings(**{"tiers": [ONE]} | settings)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "embedded"),
        ({"generation": {"verifier": "verbatim"}}, "verbatim"),
        ({"generation": {"verifier": "nli", "nli_model": "some/model"}}, "nli"),
        ({"generation": {"verifier": "judge"}}, "judge"),
        ({"generation": {"verifier": "judge"}, "routing": {"verify_tier": "one"}}, "judge"),
        ({"routing": {"verify_tier": "one"}}, "judge"),
    ],
)
def test_one_setting_chooses_and_the_older_one_still_does(settings: dict[str, Any], kind: str) -> None:
    assert verifier_kind(configured(**settings)) == kind


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"generation": {"verifier": "nli"}}, "nli needs a model"),
        ({"generation": {"verifier": "judge"}, "tiers": []}, "judge needs a chat model"),
        ({"generation": {"verifier": "embedded"}, "routing": {"verify_tier": "one"}}, "verify_tier.*says embedded"),
    ],
)
def test_what_cannot_be_is_told_with_the_next_step(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        verifier_kind(configured(**settings))
    assert "verifier" in caught.value.next_step or "nli_model" in caught.value.next_step


def claims(tmp_path: Path, **generation: Any) -> tuple[list[Claim], tuple[str, ...]]:
    """Of an answer of the large tier; the small one says `contradicted` to everything."""
    found: list[Claim] = []
    degraded: list[str] = []

    async def use() -> None:
        routing = {"answer_tier": "large"}
        async with tiered(tmp_path, reply("contradicted"), reply(SAID), routing, generation=generation) as opened:
            events = await answer(opened[0], PLAIN)
            found.extend(event.claim for event in events if isinstance(event, ClaimJudged))
            degraded.extend(done(events).degraded)

    run(use)
    return found, tuple(degraded)


@pytest.mark.models
def test_a_model_of_inference_judges_what_is_no_quote(tmp_path: Path) -> None:
    folder = build(tmp_path / "nli")
    (quoted, said), degraded = claims(tmp_path, verifier="nli", nli_model=str(folder))
    assert (quoted.status, quoted.score) == ("supported", 1.0)
    assert said.status in ("supported", "partial", "unsupported")
    assert said.score is not None
    assert degraded == ()


def test_one_that_is_not_there_leaves_sentences_unchecked_and_the_answer_says_so(tmp_path: Path) -> None:
    (quoted, said), degraded = claims(tmp_path, verifier="nli", nli_model=str(tmp_path / "gone"))
    assert (quoted.status, quoted.score) == ("supported", 1.0)
    assert (said.status, said.score) == ("unchecked", None)
    assert degraded == ("verifier",)


def test_the_judge_is_the_cheapest_tier_unless_another_is_named(tmp_path: Path) -> None:
    (quoted, said), degraded = claims(tmp_path, verifier="judge")
    assert (quoted.status, quoted.score) == ("supported", 1.0)
    assert (said.status, said.contradiction) == ("unsupported", 1.0)
    assert degraded == ()
