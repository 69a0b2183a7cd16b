"""An answer that fails its checks is written once more: nothing of it is seen where that can be, and never two at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.answer import Drafted, answer_events
from generation.checks import Checks
from generation.escalation import Rejected, escalated, with_attempt
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.model import Attempt, Draft, DraftEnd, DraftRestarted, DraftSentence, DraftText, Usage
from generation.policy import Policy
from tests.fakes import ScriptedGenerator, WordVerifier
from tests.passages import context

OVER = context("Refunds are issued within 14 days.", "Parcels take a month.")
GOOD = "Refunds are issued within 14 days."
FALSE = "Refunds are issued by penguins of all Antarctica."
ESCALATING = Policy("escalate", "escalate", "escalate")


def sentence(text: str, *cited: int) -> list[Draft]:
    return [DraftText(text), DraftSentence(text, cited)]


def heading(text: str) -> list[Draft]:
    return [DraftText(text), DraftSentence(text, check_required=False)]


class Trial:
    """Two drafts and what came of them."""

    def __init__(self, first: list[Draft], second: list[Draft], release: Release, *, must_answer: bool = False) -> None:
        self.release = release
        self.first = ScriptedGenerator(*first)
        self.second = ScriptedGenerator(*second)
        self.rejected: list[Rejected] = []
        self.events = asyncio.run(self._run(must_answer=must_answer))

    async def _run(self, *, must_answer: bool) -> list[Drafted]:
        def again(rejected: Rejected) -> AsyncGenerator[Drafted, None]:
            assert self.first.open == 0, "the first is closed before the second begins"
            self.rejected.append(rejected)
            return self._drafted(self.second)

        events = escalated(self._drafted(self.first), again, self.release, ESCALATING, must_answer=must_answer)
        async with aclosing(events):
            return [event async for event in events]

    def _drafted(self, generator: ScriptedGenerator) -> AsyncGenerator[Drafted, None]:
        return answer_events(generator.draft(None, OVER), OVER, Checks(WordVerifier()), self.release)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """As a client has it that follows every event."""
        text = ""
        for event in self.events:
            if isinstance(event, TextAdded):
                text += event.text
            elif isinstance(event, TextRetracted):
                text = text[: event.start] + event.replacement + text[event.end :]
        return text

    @property
    def retractions(self) -> int:
        return sum(isinstance(event, TextRetracted) for event in self.events)


ENDED: list[Draft] = [DraftEnd(usage=Usage(10, 5))]
AGAIN: list[Draft] = [*sentence(GOOD, 1), *ENDED]
FAULTS = {
    "uncited": [*sentence(FALSE), *ENDED],
    "unsupported": [*sentence(FALSE, 1), *ENDED],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_of_a_first_sentence_that_fails_nothing_is_sent(fault: str) -> None:
    trial = Trial(FAULTS[fault], AGAIN, "sentence")
    assert trial.text == GOOD
    assert trial.retractions == 0
    assert "penguins" not in str(trial.events)
    assert [(rejected.fault, rejected.end) for rejected in trial.rejected] == [(fault, None)]
    assert trial.rejected[0].written == FALSE


@pytest.mark.parametrize("fault", FAULTS)
def test_text_that_is_out_is_taken_back_whole(fault: str) -> None:
    trial = Trial([*sentence(GOOD, 1), *sentence(" " + FALSE), *ENDED], AGAIN, "token")
    assert trial.text == GOOD
    assert trial.retractions == 1
    claims = [event.claim for event in trial.events if isinstance(event, ClaimJudged)]
    assert [claim.index for claim in claims] == [0, 0]
    trial = Trial(FAULTS[fault], AGAIN, "token")
    assert (trial.text, trial.retractions) == (GOOD, 1)


def test_behind_a_sentence_that_was_sent_nothing_is_withdrawn_with_release_sentence() -> None:
    trial = Trial([*sentence(GOOD, 1), *sentence(" " + FALSE), *ENDED], AGAIN, "sentence")
    assert trial.text == f"{GOOD} {FALSE}"
    assert trial.rejected == []
    claims = [event.claim for event in trial.events if isinstance(event, ClaimJudged)]
    assert [claim.status for claim in claims] == ["supported", "uncited"]


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_a_good_answer_is_what_it_was(release: Release) -> None:
    first = [*heading("## Refunds\n"), *sentence(GOOD, 1), *ENDED]
    trial = Trial(first, AGAIN, release)
    assert trial.text == f"## Refunds\n{GOOD}"
    assert trial.rejected == []
    assert trial.second.asked == []
    assert trial.events[-1] == ENDED[0]


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_an_answer_that_cites_nothing_at_all_fails_at_its_end(release: Release) -> None:
    trial = Trial([*heading("Here it is:"), *ENDED], AGAIN, release)
    assert trial.text == GOOD
    assert [(rejected.fault, rejected.end) for rejected in trial.rejected] == [("uncited", ENDED[0])]


@pytest.mark.parametrize("must_answer", [True, False])
def test_an_abstention_is_a_failure_only_where_another_could_answer(must_answer: bool) -> None:
    declined = DraftEnd(abstained="not_in_passages")
    trial = Trial([declined], AGAIN, "sentence", must_answer=must_answer)
    assert (trial.text == GOOD) is must_answer
    assert (trial.events == [declined]) is not must_answer


def test_the_second_answer_is_not_checked_again() -> None:
    trial = Trial(FAULTS["uncited"], FAULTS["uncited"], "sentence")
    assert trial.text == FALSE
    assert len(trial.rejected) == 1


def test_what_was_held_when_the_draft_began_anew_is_dropped() -> None:
    first = [*heading("Half a "), DraftRestarted("upstream_truncated"), *sentence(GOOD, 1), *ENDED]
    trial = Trial(first, AGAIN, "sentence")
    assert (trial.text, trial.retractions, trial.rejected) == (GOOD, 0, [])


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_closing_the_events_closes_the_draft(release: Release) -> None:
    async def main() -> None:
        generator = ScriptedGenerator(*sentence(GOOD, 1), asyncio.Event())

        def again(_: Rejected) -> AsyncGenerator[Drafted, None]:
            raise AssertionError

        drafts = answer_events(generator.draft(None, OVER), OVER, Checks(WordVerifier()), release)  # type: ignore[arg-type]
        events = escalated(drafts, again, release, ESCALATING)
        await anext(events)
        assert generator.open == 1
        await events.aclose()
        assert generator.open == 0

    asyncio.run(main())


def test_what_was_spent_before_is_counted() -> None:
    before = Attempt("a", "small", "uncited", Usage(7, 3, 2))
    end = DraftEnd(usage=Usage(10, 5), attempts=(Attempt("b", "large", "ok", Usage(10, 5)),))
    found = with_attempt(end, before)
    assert found.usage == Usage(17, 8, 2)
    assert [attempt.tier for attempt in found.attempts] == ["small", "large"]


pieces = st.sampled_from(
    [
        tuple(sentence(f" {GOOD}", 1)),
        tuple(sentence(f" {FALSE}")),
        tuple(sentence(f" {FALSE}", 2)),
        tuple(heading(" So:")),
    ]
)


@given(st.lists(pieces, max_size=5), st.lists(pieces, max_size=5), st.sampled_from(["sentence", "token"]))
def test_a_client_never_has_text_of_two_answers(
    first: list[tuple[Draft, ...]], second: list[tuple[Draft, ...]], release: Release
) -> None:
    one, two = ([*(draft for piece in pieces for draft in piece), *ENDED] for pieces in (first, second))
    trial = Trial(one, two, release)
    texts = ["".join(draft.text for draft in drafts if isinstance(draft, DraftText)) for drafts in (one, two)]
    assert trial.text == texts[len(trial.rejected)]
    assert trial.retractions == 0 or release == "token"
    assert isinstance(trial.events[-1], DraftEnd)
    assert sum(isinstance(event, DraftEnd) for event in trial.events) == 1
    claims = [
        event.claim for event in trial.events[_after_retraction(trial.events) :] if isinstance(event, ClaimJudged)
    ]
    assert [claim.index for claim in claims] == list(range(len(claims)))
    assert all(trial.text[claim.start : claim.end] == claim.text for claim in claims)


def _after_retraction(events: list[Drafted]) -> int:
    found = [at for at, event in enumerate(events) if isinstance(event, TextRetracted)]
    return found[-1] + 1 if found else 0
