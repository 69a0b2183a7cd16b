"""Sentences of a chat model on their way through the whole product, judged by the verifier that the settings choose."""

from pathlib import Path
from typing import Any

import pytest

from generation.events import ClaimJudged
from generation.model import Claim
from tests.app.serving import answer
from tests.app.test_routing import PLAIN, run, tiered
from tests.scripted_upstream import reply

SAID = "Refunds take 14 days at most. [1] Refunds take 15 days at most. [1] Penguins sell bananas in Peru. [1]"


def judged(tmp_path: Path, **settings: Any) -> list[Claim]:
    found: list[Claim] = []

    async def use() -> None:
        routing = {"escalate": False}
        async with tiered(tmp_path, reply(SAID), reply(SAID), routing, **settings) as (grounded, _, _):
            found.extend(event.claim for event in await answer(grounded, PLAIN) if isinstance(event, ClaimJudged))

    run(use)
    return found


def test_each_sentence_gets_a_verdict_and_a_probability(tmp_path: Path) -> None:
    quoted, changed, foreign = judged(tmp_path)
    assert (quoted.status, quoted.score) == ("supported", 1.0)
    assert changed.status in ("partial", "unsupported")
    assert changed.score is not None
    assert changed.score < 0.9
    assert (foreign.status, foreign.citations) in (("unsupported", foreign.citations), ("uncited", ()))


@pytest.mark.parametrize("verifier", ["verbatim"])
def test_with_verbatim_all_but_quotations_is_unchecked(tmp_path: Path, verifier: str) -> None:
    quoted, changed, _ = judged(tmp_path, generation={"verifier": verifier})
    assert (quoted.status, changed.status, changed.score) == ("supported", "unchecked", None)
