"""An answer of which the passages carry nothing is withdrawn as a whole, and no other is."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from generation.answer import Drafted
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.model import Citation, Claim, DraftEnd
from generation.policy import Policy, enforced
from tests.passages import context

CONTEXT = context("Apples are good. Pears are ripe.")
POLICY = Policy(uncited="mark", none_carried="abstain")
RELEASES: tuple[Release, ...] = ("sentence", "token")


def claim(index: int, status: Any, score: float | None = None, *, check_required: bool = True) -> Claim:
    """The n-th sentence `Said n.`, each with a space behind it."""
    cited = () if status == "uncited" else (Citation(CONTEXT.passages[0].id, 100, 116, "Apples are good."),)
    start = 8 * index
    return Claim(index, start, start + 7, f"Said {index}.", status, score, cited, check_required)


def enforce(
    claims: list[Claim], policy: Policy, release: Release, end: DraftEnd | None = None, *, data: bool = False
) -> list[Drafted]:
    async def written() -> AsyncGenerator[Drafted, None]:
        for one in claims:
            yield TextAdded(f" {one.text}" if one.index else one.text)
            yield ClaimJudged(one)
        yield end or DraftEnd()

    async def main() -> list[Drafted]:
        return [event async for event in enforced(written(), policy, CONTEXT, release, data=data)]

    return asyncio.run(main())


def folded(events: list[Drafted]) -> tuple[str, str | None]:
    text = ""
    for event in events:
        if isinstance(event, TextAdded):
            text += event.text
        elif isinstance(event, TextRetracted):
            text = text[: event.start] + event.replacement + text[event.end :]
    assert isinstance(events[-1], DraftEnd)
    return text, events[-1].abstained


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("statuses", [["unsupported"], ["unsupported", "uncited"], ["uncited"], ["unsupported"] * 5])
def test_nothing_carried_is_no_answer(statuses: list[str], release: Release) -> None:
    events = enforce([claim(n, status, 0.05) for n, status in enumerate(statuses)], POLICY, release)
    assert folded(events) == ("", "no_supported_sentence")
    if release == "sentence":
        assert len(events) == 1, "nothing was ever sent"
    end = events[-1]
    assert isinstance(end, DraftEnd)
    assert end.withdrawn == "unsupported"
    assert bool(end.nearest) == ("unsupported" in statuses)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("status", ["supported", "partial", "unchecked"])
def test_one_sentence_that_is_carried_lets_all_through(status: str, release: Release) -> None:
    claims = [claim(0, "unsupported", 0.05), claim(1, status, 0.5), claim(2, "uncited")]
    assert folded(enforce(claims, POLICY, release)) == ("Said 0. Said 1. Said 2.", None)


@pytest.mark.parametrize("release", RELEASES)
def test_what_asserts_nothing_needs_no_passage(release: Release) -> None:
    assert folded(enforce([claim(0, "unchecked", check_required=False)], POLICY, release)) == ("Said 0.", None)
    assert folded(enforce([], POLICY, release)) == ("", None)


@pytest.mark.parametrize("release", RELEASES)
def test_by_setting_it_is_shown(release: Release) -> None:
    assert folded(enforce([claim(0, "unsupported", 0.05)], Policy(uncited="mark"), release)) == ("Said 0.", None)


@pytest.mark.parametrize("release", RELEASES)
def test_data_is_not_judged_as_a_whole(release: Release) -> None:
    assert folded(enforce([claim(0, "unsupported", 0.05)], POLICY, release, data=True)) == ("Said 0.", None)


def test_a_generator_that_declined_keeps_its_reason() -> None:
    end = DraftEnd(abstained="not_in_passages")
    assert enforce([], POLICY, "sentence", end) == [end]


def test_a_fitted_probability_stands_in_for_the_verdict() -> None:
    strict = Policy(uncited="mark", none_carried="abstain", carried_from=0.4)
    assert folded(enforce([claim(0, "partial", 0.39)], strict, "sentence")) == ("", "no_supported_sentence")
    assert folded(enforce([claim(0, "partial", 0.4)], strict, "sentence")) == ("Said 0.", None)
    mild = Policy(uncited="mark", none_carried="abstain", carried_from=0.01)
    assert folded(enforce([claim(0, "unsupported", 0.02)], mild, "sentence")) == ("Said 0.", None)
    assert folded(enforce([claim(0, "uncited")], mild, "sentence")) == ("", "no_supported_sentence")
    assert folded(enforce([claim(0, "unchecked")], strict, "sentence")) == ("Said 0.", None)
