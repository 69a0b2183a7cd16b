"""What becomes of sentences that fail: told by a plain reading of the rules, and held against every way to cut the stream."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.encoders.native import NativeEncoder, fold
from generation.answer import Drafted, answer_events
from generation.checks import Checks
from generation.citations import Marks
from generation.dossier import Standing, verification_of
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.filters.answer import filtered_events
from generation.filters.leaks import Secret
from generation.filters.output import OutputPolicy
from generation.filters.pii import KINDS
from generation.model import Action, Ask, Draft, DraftEnd, DraftRestarted, DraftSentence, Fault
from generation.policy import MARKING, Policy, enforced
from generation.ports import UNCHECKED, Judged
from generation.prompt import SHIPPED
from retrieval.model import Context
from tests.passages import context

CONTEXT = context(
    "Apples are good. Pears are half ripe. Plums are bad.", "Figs are good. Dates say no. Nobody looked at limes."
)
FILTER = OutputPolicy(pii=dict.fromkeys(KINDS, "mask"), secret=Secret([(SHIPPED / "answer.md").read_text("utf-8")]))
ACTIONS: tuple[Action, ...] = ("mark", "drop", "abstain")
RELEASES: tuple[Release, ...] = ("sentence", "token")


class ByWord:
    """A verifier that goes by one word of the sentence."""

    name = "by word"

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        if "half" in sentence.text:
            return Judged("partial", 0.5, 0.1)
        if "bad" in sentence.text:
            return Judged("unsupported", 0.1, 0.2)
        if "say no" in sentence.text:
            return Judged("partial", 0.3, 0.97)
        return UNCHECKED if "looked" in sentence.text else Judged("supported", 1.0, 0.0)


# What a sentence is by its text; its separator stands in front of it.
GOOD, HALF, BAD, ANTI = (
    "Apples are good in 14 days. [1]",
    "Pears are half ripe [1].",
    "Plums are bad [1].",
    "Dates say no. [2]",
)
LOOSE, UNSEEN, HEAD = "Nobody knows where melons grow.", "Nobody looked at limes [2].", "Fruit, in short:"
FAULTS: dict[str, Fault] = {BAD: "unsupported", ANTI: "contradicted", LOOSE: "uncited"}
CARRIED = (GOOD, HALF, UNSEEN)
SAID = {said: said.replace(" [1]", "").replace(" [2]", "") for said in (GOOD, HALF, BAD, ANTI, LOOSE, UNSEEN, HEAD)}
SEPARATORS = (" ", "\n\n", "\n- ")
RECORDED = [
    [("", BAD), (" ", GOOD), (" ", LOOSE), ("\n\n", HALF)],
    [("", GOOD), ("\n\n", BAD), (" ", GOOD), ("\n\n", ANTI), (" ", UNSEEN)],
    [("", HEAD), ("\n- ", BAD), ("\n- ", GOOD), ("\n- ", ANTI)],
    [("", HEAD), ("\n\n", BAD), (" ", LOOSE)],
    [("", LOOSE), ("\n\n", GOOD), (" ", BAD), (" ", BAD), ("\n\n", HALF)],
    [("", GOOD), (" ", HALF)],
]
Said = Sequence[tuple[str, str]]


def expected(said: Said, policy: Policy) -> tuple[str, list[str], int, Fault | None]:
    """The rules, read plainly: the text, the sentences that stand in it, how many were left out, and why all were."""
    kept: list[str] = []
    text, gap, dropped = "", None, 0
    for separator, sentence in said:
        fault = FAULTS.get(sentence)
        action = "mark" if fault is None else getattr(policy, fault)
        if action == "abstain":
            return "", [], dropped, fault
        strongest = separator if gap is None or separator.count("\n") > gap.count("\n") else gap
        if action == "drop":
            dropped, gap = dropped + 1, strongest
            continue
        text += (strongest if text else "") + SAID[sentence]
        gap, kept = None, [*kept, sentence]
    if dropped and not any(sentence in CARRIED for sentence in kept):
        return "", [], dropped, "unsupported"
    return text, [SAID[sentence] for sentence in kept], dropped, None


def pieces(text: str, cuts: Sequence[int]) -> list[Draft]:
    marks = Marks(2)
    at = [0, *cuts, len(text)]
    parts = [text[a:b] for a, b in pairwise(at)]
    return [
        *(draft for part in parts for draft in marks.feed(part)),
        *marks.close(),
        DraftEnd(unknown_marks=marks.unknown),
    ]


def run(drafts: Sequence[Draft], policy: Policy, release: Release, *, filtered: bool = False) -> list[Drafted]:
    async def stream() -> AsyncGenerator[Draft, None]:
        for draft in drafts:
            yield draft

    async def main() -> list[Drafted]:
        events = enforced(answer_events(stream(), CONTEXT, Checks(ByWord()), release), policy, CONTEXT, release)
        if filtered:
            events = filtered_events(events, FILTER, Ask("?"), CONTEXT, release)
        return [event async for event in events]

    return asyncio.run(main())


def folded(events: Sequence[Drafted]) -> tuple[str, list[str], int, Fault | None]:
    """As a client has it that follows every event; what it is told must agree with itself."""
    encoder, standing = NativeEncoder("http://x"), Standing()
    payloads = []
    for event in events:
        if isinstance(event, DraftEnd):
            continue
        payloads += encoder.encode(event)
        if isinstance(event, ClaimJudged):
            standing.judged(event.claim)
        elif isinstance(event, TextRetracted):
            standing.retracted(event.start, event.end, len(event.replacement))
    body = fold(payloads)
    for claim in body["claims"]:
        assert body["answer"][claim["start"] : claim["end"]] == claim["text"]
    assert [claim["index"] for claim in body["claims"]] == list(range(len(body["claims"])))
    assert [(c.start, c.end) for c in standing.claims] == [(c["start"], c["end"]) for c in body["claims"]]
    end = events[-1]
    assert isinstance(end, DraftEnd)
    assert sum(isinstance(event, DraftEnd) for event in events) == 1
    assert (end.abstained == "no_supported_sentence") == (end.withdrawn is not None)
    return body["answer"], [claim["text"] for claim in body["claims"]], end.dropped, end.withdrawn


def written(said: Said) -> str:
    return "".join(separator + sentence for separator, sentence in said)


POLICIES = [Policy(*actions) for actions in product(ACTIONS, repeat=3)]


@pytest.mark.parametrize("said", RECORDED, ids=range(len(RECORDED)))
@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: f"{p.unsupported}-{p.contradicted}-{p.uncited}")
def test_what_is_left_is_what_the_rules_say(said: Said, policy: Policy) -> None:
    text = written(said).replace("\n- ", "\n\n")
    plain = [(separator.replace("\n- ", "\n\n"), sentence) for separator, sentence in said]
    for release, filtered in product(RELEASES, (False, True)):
        found = run(pieces(text, range(3, len(text), 3)), policy, release, filtered=filtered)
        assert folded(found) == expected(plain, policy)


@pytest.mark.parametrize("said", RECORDED, ids=range(len(RECORDED)))
@pytest.mark.parametrize("policy", [Policy("drop", "drop", "drop"), Policy("abstain", "drop", "mark"), MARKING])
def test_wherever_the_stream_is_cut_it_comes_to_the_same(said: Said, policy: Policy) -> None:
    text = written(said)
    whole = folded(run(pieces(text, ()), policy, "sentence"))
    for at in range(len(text) + 1):
        for release in RELEASES:
            events = run(pieces(text, (at,)), policy, release)
            assert folded(events) == whole
            assert release == "token" or not any(isinstance(event, TextRetracted) for event in events)


@pytest.mark.parametrize("said", RECORDED, ids=range(len(RECORDED)))
def test_by_sentence_no_word_of_what_is_left_out_is_ever_sent(said: Said) -> None:
    text = written(said)
    for policy, at in product(
        (Policy("drop", "drop", "drop"), Policy("abstain", "abstain", "abstain")), range(len(text))
    ):
        sent = "".join(e.text for e in run(pieces(text, (at,)), policy, "sentence") if isinstance(e, TextAdded))
        assert not any(word in sent for word in ("Plums", "Dates", "melons"))


sentences = st.lists(st.tuples(st.sampled_from(SEPARATORS), st.sampled_from([*SAID])), min_size=1, max_size=7).map(
    lambda said: [("", said[0][1]), *said[1:]]
)


@settings(max_examples=300, deadline=None)
@given(sentences, st.sampled_from(POLICIES), st.lists(st.integers(1, 200), max_size=12), st.booleans())
def test_token_and_sentence_come_to_the_same(said: Said, policy: Policy, cuts: list[int], filtered: bool) -> None:
    text = written(said)
    at = sorted({cut for cut in cuts if cut < len(text)})
    every = range(1, len(text))
    ways: list[tuple[Release, Sequence[int]]] = [("sentence", ()), ("token", at), ("token", every), ("sentence", at)]
    shown = [folded(run(pieces(text, cuts), policy, release, filtered=filtered)) for release, cuts in ways]
    assert shown[0] == shown[1] == shown[2] == shown[3]


def test_text_that_is_out_is_taken_back_sentence_by_sentence() -> None:
    events = run(pieces(written([("", GOOD), (" ", BAD), (" ", HALF)]), ()), Policy("drop"), "token")
    (retracted,) = [event for event in events if isinstance(event, TextRetracted)]
    assert retracted == TextRetracted(27, 42, "unsupported")
    assert [event.claim.index for event in events if isinstance(event, ClaimJudged)] == [0, 1]


def test_what_stands_in_front_of_what_is_taken_back_stays() -> None:
    """Text and claim: a client that paints as it reads sees nothing of the sentences before flicker."""
    said = [("", GOOD), (" ", HALF), (" ", BAD), (" ", GOOD)]
    events = run(pieces(written(said), range(1, 80)), Policy("drop"), "token")
    assert [(e.start, e.replacement) for e in events if isinstance(e, TextRetracted)] == [(48, "")]
    assert folded(events)[1] == [SAID[GOOD], SAID[HALF], SAID[GOOD]]


def test_a_sentence_that_the_filter_takes_back_along_is_told_again() -> None:
    """Behind a number it waits for what comes, so its text goes with the sentence that is left out, and comes again."""
    said = [("", HALF), (" ", GOOD), (" ", BAD), (" ", HALF)]
    events = run(pieces(written(said), range(1, 90)), Policy("drop"), "token", filtered=True)
    assert folded(events)[1] == [SAID[HALF], SAID[GOOD], SAID[HALF]]
    assert [event.claim.index for event in events if isinstance(event, ClaimJudged)].count(0) == 1


def test_an_answer_that_begins_anew_begins_anew_here_too() -> None:
    first = [*pieces(written([("", BAD), (" ", GOOD), (" ", BAD)]), ())[:-1], DraftRestarted("upstream_truncated")]
    again = pieces(written([("", GOOD), (" ", BAD)]), ())
    for policy in (Policy("drop"), Policy("abstain")):
        events = run([*first, *again], policy, "token")
        expects = expected([("", GOOD), (" ", BAD)], policy)
        assert folded(events) == expects
    # Held back, nothing was sent, and nothing has to be taken back.
    events = run([*first, *again], Policy("abstain"), "sentence")
    assert not any(isinstance(event, TextRetracted) for event in events)


def test_the_nearest_are_what_was_cited() -> None:
    events = run(pieces(written([("", ANTI), (" ", BAD)]), ()), Policy("drop", "drop"), "sentence")
    end = events[-1]
    assert isinstance(end, DraftEnd)
    assert [quote.n for quote in end.nearest] == [2, 1]
    assert [CONTEXT.passages[q.n - 1].text[q.start : q.end] for q in end.nearest] == ["Dates say no.", "Plums are bad."]


def test_a_generators_own_abstention_is_its_own() -> None:
    declined = DraftEnd(abstained="not_in_passages")
    for policy, release in product((Policy("drop"), Policy("abstain")), RELEASES):
        assert run([declined], policy, release) == [declined]


def test_a_policy_that_only_marks_changes_nothing() -> None:
    drafts = pieces(written(RECORDED[1]), range(4, 60, 4))
    for release in RELEASES:
        plain = run(drafts, MARKING, release)
        assert plain == run(drafts, Policy("escalate", "escalate", "escalate"), release)
        claims = [event.claim for event in plain if isinstance(event, ClaimJudged)]
        assert [claim.status for claim in claims] == [
            "supported",
            "unsupported",
            "supported",
            "unsupported",
            "unchecked",
        ]
        assert [claim.contradicted for claim in claims] == [False, False, False, True, False]
        end = plain[-1]
        assert isinstance(end, DraftEnd)
        found = verification_of(claims, end)
        assert (found.status, found.counts) == (
            "partly",
            {"supported": 2, "unsupported": 2, "unchecked": 1, "contradicted": 1},
        )


@pytest.mark.parametrize("action", ["drop", "abstain"])
def test_of_data_nothing_is_left_out(action: Action) -> None:
    async def data(*events: Drafted) -> AsyncGenerator[Drafted, None]:
        for event in events:
            yield event

    def of(said: Said) -> list[Drafted]:
        judged = run(pieces(written(said), ()), MARKING, "sentence")
        text = TextAdded("".join(event.text for event in judged if isinstance(event, TextAdded)))
        rest = [event for event in judged if not isinstance(event, TextAdded)]

        async def enforce() -> list[Drafted]:
            return [e async for e in enforced(data(text, *rest), Policy(action), CONTEXT, "token", data=True)]

        return asyncio.run(enforce())

    assert folded(of([("", GOOD), (" ", HALF)]))[:2] == (
        f"{SAID[GOOD]} {SAID[HALF]}",
        [SAID[GOOD], SAID[HALF]],
    )
    assert folded(of([("", GOOD), (" ", BAD)])) == ("", [], 0, "unsupported")
