import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.answer import Drafted, answer_events
from generation.checks import Checks, cite
from generation.citations import Marks
from generation.errors import UpstreamTruncated
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.model import Claim, Draft, DraftEnd, DraftRestarted, DraftSentence, DraftText, Quote
from generation.verify import VerbatimVerifier
from tests.passages import context

CONTEXT = context("Refunds are issued within 14 days. 👋 Gifts too.", "Shipping is free.")
TEXT = "👋 Refunds are issued within 14 days. [1] Shipping costs nothing [2].\n\nTrust me. Bananas. [2] Fine?"


async def stream(drafts: Sequence[Draft]) -> AsyncGenerator[Draft, None]:
    for draft in drafts:
        yield draft


async def collect(drafts: AsyncIterator[Draft], release: Release) -> list[Drafted]:
    return [event async for event in answer_events(drafts, CONTEXT, Checks(VerbatimVerifier()), release)]


def run(drafts: Sequence[Draft], release: Release = "sentence") -> list[Drafted]:
    return asyncio.run(collect(stream(drafts), release))


def drafted(text: str, size: int = 3) -> list[Draft]:
    marks = Marks(2)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [*(draft for piece in pieces for draft in marks.feed(piece)), *marks.close(), DraftEnd()]


def claims(events: list[Drafted]) -> list[Claim]:
    return [event.claim for event in events if isinstance(event, ClaimJudged)]


def shown(events: list[Drafted]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextAdded))


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_claims_and_their_verdicts(release: Release) -> None:
    events = run(drafted(TEXT), release)
    text = shown(events)
    assert text == "👋 Refunds are issued within 14 days. Shipping costs nothing.\n\nTrust me. Bananas. Fine?"
    assert [(c.status, c.score, len(c.citations)) for c in claims(events)] == [
        ("unchecked", None, 1),
        ("unchecked", None, 1),
        ("uncited", None, 0),
        ("uncited", None, 0),
        ("unchecked", None, 0),
    ]
    assert [claim.index for claim in claims(events)] == [0, 1, 2, 3, 4]
    assert all(text[claim.start : claim.end] == claim.text for claim in claims(events))
    assert events[-1] == DraftEnd()


def test_a_verbatim_sentence_is_supported_and_its_citation_stands_in_the_document() -> None:
    (claim,) = claims(run(drafted("Refunds are issued within 14 days. [1]")))
    assert (claim.status, claim.score) == ("supported", 1.0)
    (citation,) = claim.citations
    assert (citation.source, citation.start, citation.end) == ("src-1", 100, 134)
    assert citation.cited_text == "Refunds are issued within 14 days."


def test_by_sentence_text_and_claim_come_together() -> None:
    events = run(drafted(TEXT))
    kinds = [type(event) for event in events]
    assert kinds == [TextAdded, ClaimJudged] * 5 + [DraftEnd]
    assert [event.text.lstrip() for event in events if isinstance(event, TextAdded)] == [c.text for c in claims(events)]


def test_by_token_text_comes_at_once() -> None:
    events = run([DraftText("One "), DraftText("two."), DraftSentence("One two."), DraftEnd()], "token")
    assert [type(event) for event in events] == [TextAdded, TextAdded, ClaimJudged, DraftEnd]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="Ab .!?\n[12]👋é", max_size=60), st.integers(1, 9), st.sampled_from(["sentence", "token"]))
def test_offsets_always_fit(text: str, size: int, release: Release) -> None:
    events = run(drafted(text, size), release)
    whole = shown(events)
    assert all(whole[claim.start : claim.end] == claim.text != "" for claim in claims(events))
    assert [claim.index for claim in claims(events)] == list(range(len(claims(events))))


def test_text_behind_the_last_sentence_becomes_one() -> None:
    for release in ("sentence", "token"):
        (claim,) = claims(run([DraftText(" And so"), DraftEnd()], release))
        assert (claim.text, claim.start, claim.status) == ("And so", 1, "uncited")


def test_white_space_alone_is_no_sentence() -> None:
    assert run([DraftText(" \n"), DraftSentence(""), DraftEnd()]) == [DraftEnd()]


def test_the_generators_own_quotes_are_taken() -> None:
    sentence = DraftSentence("Gifts too.", (1,), (Quote(1, 37, 47), Quote(1, 37, 47), Quote(9, 0, 1), Quote(1, 5, 999)))
    (claim,) = claims(run([DraftText("Gifts too."), sentence, DraftEnd()]))
    assert [citation.cited_text for citation in claim.citations] == ["Gifts too."]
    assert claim.status == "supported"


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_a_quote_in_a_fence_of_ours_is_a_quote(release: Release) -> None:
    fenced = "```python\nGifts too.\n```"
    quote = Quote(1, 37, 47)
    events = run([DraftText(f"\n\n{fenced}"), DraftSentence("Gifts too.", (1,), quotes=(quote,)), DraftEnd()], release)
    (claim,) = claims(events)
    assert (claim.status, claim.text, shown(events)[claim.start : claim.end]) == ("supported", fenced, fenced)
    assert [citation.cited_text for citation in claim.citations] == ["Gifts too."]


def test_no_span_no_citation() -> None:
    bad = (Quote(0, 0, 1), Quote(3, 0, 1), Quote(1, -1, 1), Quote(1, 2, 2), Quote(1, 0, 9999))
    assert cite(bad, CONTEXT) == ()


def test_an_abstention_is_handed_on() -> None:
    end = DraftEnd(abstained="not_in_passages", nearest=(Quote(1, 0, 3),))
    assert run([end]) == [end]


def test_drafts_without_an_end_are_truncated() -> None:
    with pytest.raises(UpstreamTruncated):
        run([DraftText("One.")])


def test_what_breaks_the_drafts_is_raised_and_closes_them() -> None:
    async def broken() -> AsyncGenerator[Draft, None]:
        yield DraftText("One.")
        raise UpstreamTruncated("torn")

    with pytest.raises(UpstreamTruncated, match="torn"):
        asyncio.run(collect(broken(), "token"))


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_closing_the_events_closes_the_drafts(release: Release) -> None:
    closed = []

    async def endless() -> AsyncGenerator[Draft, None]:
        try:
            while True:
                yield DraftText("One.")
                yield DraftSentence("One.")
        finally:
            closed.append(True)

    async def main() -> None:
        events = answer_events(endless(), CONTEXT, Checks(VerbatimVerifier()), release)
        await anext(events)
        await events.aclose()
        assert closed == [True]

    asyncio.run(main())


def restarted(release: Release) -> list[Drafted]:
    first: list[Draft] = [DraftText("One."), DraftSentence("One.", (1,)), DraftText(" Two 👋")]
    return run([*first, DraftRestarted("upstream_truncated"), *drafted("Shipping is free. [2]")], release)


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_a_draft_that_begins_anew_withdraws_what_was_given_and_nothing_else(release: Release) -> None:
    events = restarted(release)
    (retracted,) = [event for event in events if isinstance(event, TextRetracted)]
    assert (retracted.start, retracted.reason, retracted.replacement) == (0, "restart", "")
    before = shown(events[: events.index(retracted)])
    assert before == ("One." if release == "sentence" else "One. Two 👋")
    assert retracted.end == len(before)
    rest = events[events.index(retracted) + 1 :]
    (claim,) = claims(rest)
    assert shown(rest) == "Shipping is free."
    assert (claim.index, claim.start, claim.end, claim.status) == (0, 0, 17, "supported")


def test_by_sentence_nothing_is_withdrawn_before_anything_was_given() -> None:
    events = run([DraftText("One"), DraftRestarted("upstream_timeout"), *drafted("Shipping is free. [2]")])
    assert shown(events) == "Shipping is free."
    assert not [event for event in events if isinstance(event, TextRetracted)]
