"""The filter on the events of an answer: texts and offsets of what went out, also where something is taken back."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence

import pytest

from generation.answer import Drafted
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.filters.answer import filtered_events
from generation.filters.output import OutputPolicy
from generation.model import Ask, Citation, Claim, DraftEnd
from retrieval.model import Context
from tests.generation.filters.streams import MASKED, PROMPT, STRICT, whole
from tests.passages import context

SENTENCES = (
    " Refunds take 14 days.",
    " Call 415-555-2671 now.",
    " See [the terms](https://evil.example) first.",
    "\n- A list, with `code`.",
    " Ask ann@evil.example.",
    " ![x](u)",
    "\n\nThe end: 4111 1111 1111 1111",
)


def run(events: Sequence[Drafted], release: Release, policy: OutputPolicy = STRICT) -> list[Drafted]:
    async def given() -> AsyncGenerator[Drafted, None]:
        for event in events:
            yield event

    async def collected() -> list[Drafted]:
        passages: Context = context("Nothing of that.")
        return [event async for event in filtered_events(given(), policy, Ask("Why?"), passages, release)]

    return asyncio.run(collected())


def folded(events: Sequence[Drafted]) -> tuple[str, list[Claim]]:
    """What a client has in hand. A claim's text is behind it when it comes."""
    text, claims = "", dict[int, Claim]()
    for event in events:
        match event:
            case TextAdded():
                text += event.text
            case TextRetracted():
                assert 0 <= event.start <= event.end <= len(text)
                text = text[: event.start] + event.replacement + text[event.end :]
                claims = {n: c for n, c in claims.items() if c.end <= event.start}
            case ClaimJudged():
                assert text[event.claim.start : event.claim.end] == event.claim.text
                claims[event.claim.index] = event.claim
            case DraftEnd():
                pass
    return text, list(claims.values())


def written(sentences: Sequence[str], release: Release, draw: random.Random) -> list[Drafted]:
    events: list[Drafted] = []
    length = 0
    for index, sentence in enumerate(sentences):
        at = draw.randint(1, len(sentence)) if release == "token" else len(sentence)
        events += [TextAdded(part) for part in (sentence[:at], sentence[at:]) if part]
        start = length + len(sentence) - len(sentence.lstrip())
        length += len(sentence)
        text = sentence.strip()
        events.append(ClaimJudged(Claim(index, start, length, text, "supported", 1.0, (), check_required=True)))
    return [*events, DraftEnd()]


@pytest.mark.parametrize("release", ["sentence", "token"])
def test_events_add_up_to_the_filtered_text(release: Release) -> None:
    draw = random.Random(9)
    for _ in range(150):
        sentences = draw.choices(SENTENCES, k=draw.randint(1, 6))
        text, claims = folded(run(written(sentences, release, draw), release))
        assert text.strip() == whole("".join(sentences))[0].strip()
        assert len(claims) == sum(bool(whole(sentence.strip())[0].strip()) for sentence in sentences)


def test_a_sentence_waits_for_no_other() -> None:
    events = run(written(SENTENCES[:3], "sentence", random.Random(1)), "sentence")
    assert [type(event).__name__ for event in events] == ["TextAdded", "ClaimJudged"] * 3 + ["DraftEnd"]
    assert [event.text for event in events if isinstance(event, TextAdded)][1] == " Call ‹telephone number› now."


def test_what_is_taken_back_is_taken_back_of_what_went_out() -> None:
    draw = random.Random(10)
    for _ in range(200):
        events = written(draw.choices(SENTENCES, k=4), "token", draw)
        place = draw.randint(1, len(events) - 1)
        raw = "".join(event.text for event in events[:place] if isinstance(event, TextAdded))
        start = draw.randint(0, len(raw))
        taken = TextRetracted(start, draw.randint(start, len(raw)), "unsupported", draw.choice(["", "Nothing."]))
        later = [event for event in events[place:] if isinstance(event, TextAdded)]
        text, _ = folded(run([*events[:place], taken, *later, DraftEnd()], "token"))
        left = raw[: taken.start] + taken.replacement + raw[taken.end :] + "".join(event.text for event in later)
        assert text == whole(left)[0]


def test_a_restart_begins_anew() -> None:
    first = written([*SENTENCES[:2], f" {PROMPT[:30]}"], "token", random.Random(2))[:-1]
    raw = sum(len(event.text) for event in first if isinstance(event, TextAdded))
    again = written(SENTENCES[3:5], "token", random.Random(3))
    events = run([*first, TextRetracted(0, raw, "restart"), *again], "token")
    text, claims = folded(events)
    assert text == whole("".join(SENTENCES[3:5]))[0]
    assert [claim.index for claim in claims] == [0, 1]
    assert sum(isinstance(event, TextRetracted) for event in events) == 1


def test_quotes_are_cut_where_sources_may_not_be_quoted() -> None:
    quote = "Ask ann@example.org for the long form."
    cited = Citation("chunk", 100, 100 + len(quote), quote)
    claim = Claim(0, 0, 8, "Ask ann.", "supported", 1.0, (cited,), check_required=True)
    policy = OutputPolicy(MASKED, quoted=False)
    events = run([TextAdded("Ask ann."), ClaimJudged(claim), DraftEnd()], "sentence", policy)
    (judged,) = [event.claim for event in events if isinstance(event, ClaimJudged)]
    (citation,) = judged.citations
    assert citation.cited_text == quote[citation.start - 100 : citation.end - 100] == "for the long form."
