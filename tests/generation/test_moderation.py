"""Moderation: what passes, what does not, and what happens when nobody can say."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from generation.adapters.openai_moderation import OpenAIModerator
from generation.adapters.text_classifier import TextClassifier
from generation.answer import Drafted
from generation.errors import ModerationUnavailable, UpstreamTruncated
from generation.events import ClaimJudged, Release, TextAdded, TextRetracted
from generation.model import Claim, DraftEnd, Usage
from generation.moderation import Categories, Looked, Moderation
from tests import text_classifiers
from tests.model_endpoint import Reply, endpoint
from tests.told import text_of

END = DraftEnd(usage=Usage(9, 4))


class Words:
    """A moderator that goes by a word, and remembers what it was shown."""

    def __init__(self, word: str = "hate", *, broken: bool = False) -> None:
        self.word, self.broken = word, broken
        self.seen: list[str] = []

    async def look(self, texts: Sequence[str]) -> list[Categories]:
        self.seen += texts
        if self.broken:
            raise ModerationUnavailable("It is away.")
        return [(self.word,) if self.word in text else () for text in texts]

    async def aclose(self) -> None:
        """Nothing."""


def sentences(*texts: str) -> list[Drafted]:
    events: list[Drafted] = []
    at = 0
    for n, text in enumerate(texts):
        claim = Claim(n, at, at + len(text), text, "unchecked", None, (), check_required=False)
        events += [TextAdded(text), ClaimJudged(claim)]
        at += len(text)
    return [*events, END]


async def _stream(events: Sequence[Drafted], ended: list[int]) -> AsyncGenerator[Drafted, None]:
    try:
        for event in events:
            yield event
    finally:
        ended.append(1)


def watched(moderation: Moderation, events: Sequence[Drafted], release: Release = "sentence") -> list[Drafted]:
    async def all_of() -> list[Drafted]:
        return [event async for event in moderation.watched(_stream(events, []), release)]

    return asyncio.run(all_of())


class TestAnswers:
    def test_what_may_pass_passes_unchanged(self) -> None:
        for release in ("sentence", "token"):
            moderator = Words()
            events = sentences("All is well.", " So it is.")
            assert watched(Moderation(moderator), events, release) == events  # type: ignore[arg-type]
            assert "".join(moderator.seen) == "All is well. So it is."

    def test_a_sentence_is_looked_at_before_it_goes_out(self) -> None:
        moderator = Words()
        found = watched(Moderation(moderator), sentences("Good.", " I hate it.", " Good again."))
        assert text_of(found) == "Good."
        assert [event.claim.text for event in found if isinstance(event, ClaimJudged)] == ["Good."]
        end = found[-1]
        assert isinstance(end, DraftEnd)
        assert (end.finish_reason, end.filtered, end.usage) == ("filtered", ("hate",), END.usage)
        assert moderator.seen == ["Good.", " I hate it."]  # what comes behind goes to nobody, and needs no look

    def test_with_token_all_of_it_is_taken_back(self) -> None:
        moderator = Words()
        found = watched(Moderation(moderator), sentences("Good.", " I hate it.", " Good again."), "token")
        assert found[-2] == TextRetracted(0, 28, "policy")
        assert text_of(found) == ""
        end = found[-1]
        assert isinstance(end, DraftEnd)
        assert (end.finish_reason, end.filtered) == ("filtered", ("hate",))
        assert moderator.seen == ["Good. I hate it. Good again."]

    def test_text_that_was_taken_back_is_not_held_against_the_answer(self) -> None:
        again = [TextAdded("I hate"), TextRetracted(0, 6, "restart"), *sentences("Good.")]
        assert watched(Moderation(Words()), again, "token") == again

    def test_text_without_a_claim_is_looked_at_too(self) -> None:
        found = watched(Moderation(Words()), [TextAdded('{"a": "hate"}'), END])
        assert text_of(found) == ""
        assert len(found) == 1

    def test_an_abstention_is_no_text(self) -> None:
        moderator = Words(broken=True)
        end = DraftEnd(abstained="not_in_passages")
        assert watched(Moderation(moderator), [end]) == watched(Moderation(moderator), [end], "token") == [end]
        assert moderator.seen == []

    @pytest.mark.parametrize("release", ["sentence", "token"])
    def test_a_failure_is_told_or_ends_it(self, release: Release) -> None:
        events = sentences("Good.", " I hate it.")
        found = watched(Moderation(Words(broken=True), fail_open=True), events, release)
        assert text_of(found) == "Good. I hate it."
        assert isinstance(found[-1], DraftEnd)
        assert (found[-1].degraded, found[-1].finish_reason) == (("moderator",), "stop")
        with pytest.raises(ModerationUnavailable):
            watched(Moderation(Words(broken=True)), events, release)

    def test_off_lets_everything_through_and_asks_nobody(self) -> None:
        events = sentences("I hate it.")
        moderator = Words(broken=True)
        assert watched(Moderation(None), events) == events
        assert watched(Moderation(moderator, answer=False), events) == events
        assert asyncio.run(Moderation(moderator, question=False).question(["I hate it."])) == Looked()
        assert moderator.seen == []

    def test_closing_closes_what_is_watched(self) -> None:
        ended: list[int] = []

        async def first() -> None:
            events = Moderation(Words()).watched(_stream(sentences("Good.", " Fine."), ended), "sentence")
            await anext(events)
            await events.aclose()

        asyncio.run(first())
        assert ended == [1]

    def test_errors_of_the_answer_come_through(self) -> None:
        async def broken() -> AsyncGenerator[Drafted, None]:
            yield TextAdded("Good")
            raise UpstreamTruncated("It broke off.")

        async def all_of() -> None:
            async for _ in Moderation(Words()).watched(broken(), "sentence"):
                pass

        with pytest.raises(UpstreamTruncated):
            asyncio.run(all_of())


def test_questions() -> None:
    assert asyncio.run(Moderation(Words()).question(["I hate it?"])) == Looked(("hate",))
    assert asyncio.run(Moderation(Words()).question(["Is it good?", "I hate it."])) == Looked(("hate",))
    assert asyncio.run(Moderation(Words()).question(["Is it good?", ""])) == Looked()
    open_ = Moderation(Words(broken=True), fail_open=True)
    assert asyncio.run(open_.question(["Is it good?"])) == Looked(degraded=("moderator",))
    with pytest.raises(ModerationUnavailable):
        asyncio.run(Moderation(Words(broken=True)).question(["Is it good?"]))


def test_what_may_not_be_sent_is_not_and_that_is_a_failure() -> None:
    moderator = Words()
    closed = Moderation(moderator, kept_from=frozenset({"hr"}))
    with pytest.raises(ModerationUnavailable, match="may not be sent"):
        asyncio.run(closed.question(["Is it good?"], "hr"))
    assert moderator.seen == []
    assert asyncio.run(closed.question(["Is it good?"], "default")) == Looked()
    open_ = Moderation(moderator, fail_open=True, kept_from=frozenset({"hr"}))
    assert asyncio.run(open_.question(["I hate it."], "hr")) == Looked(degraded=("moderator",))

    async def all_of() -> list[Drafted]:
        return [event async for event in open_.watched(_stream(sentences("I hate it."), []), "sentence", "hr")]

    assert text_of(asyncio.run(all_of())) == "I hate it."
    assert moderator.seen == ["Is it good?"]


def verdict(flagged: object = True, categories: object = None, scores: object = None) -> dict[str, Any]:
    return {"flagged": flagged, "categories": categories or {}, "category_scores": scores or {}}


def looked(reply: Reply | Any, *texts: str, **more: Any) -> tuple[list[Categories], list[Any], list[dict[str, str]]]:
    async def look(url: str) -> list[Categories]:
        moderator = OpenAIModerator(url, **more)
        try:
            return await moderator.look(texts or ("Some text.",))
        finally:
            await moderator.aclose()

    with endpoint(lambda _: reply if isinstance(reply, Reply) else Reply(reply)) as seen:
        return asyncio.run(look(seen.url)), seen.bodies, seen.headers


class TestEndpoint:
    def test_the_endpoints_own_verdict_counts(self) -> None:
        bad = verdict(categories={"hate": True, "violence": False})
        found, bodies, headers = looked({"results": [bad, verdict(flagged=False)]}, "a", "b", model="omni", api_key="k")
        assert found == [("hate",), ()]
        assert bodies == [{"model": "omni", "input": ["a", "b"]}]
        assert headers[0]["authorization"] == "Bearer k"
        assert looked({"results": [verdict()]})[0] == [("flagged",)]

    def test_named_labels_count_by_their_scores(self) -> None:
        told = {"results": [verdict(flagged=True, scores={"hate": 0.4, "violence": 0.9, "sexual": 0.9})]}
        assert looked(told, labels=("hate", "violence"), threshold=0.5)[0] == [("violence",)]
        assert looked(told, labels=("hate",), threshold=0.4)[0] == [("hate",)]

    @pytest.mark.parametrize(
        "reply",
        [
            Reply({}, status=500),
            Reply({"error": "secret"}, status=401),
            Reply({}, status=302, headers={"location": "http://127.0.0.1:1/"}),
            Reply(b"not json"),
            {"results": []},
            {"results": [verdict(), verdict()]},
            {"results": [None]},
            {"results": [verdict(flagged="no")]},
            {"results": {"0": verdict()}},
            [],
            Reply(b" " * 1_000_001),
            Reply({"results": [verdict(flagged=False)]}, wait_s=0.6),
            Reply({"results": [verdict(flagged=False)]}, drip_s=0.05),
        ],
    )
    def test_what_is_no_verdict_is_a_failure_and_never_a_pass(self, reply: Any) -> None:
        with pytest.raises(ModerationUnavailable) as told:
            looked(reply, timeout_s=0.3)
        assert "secret" not in told.value.message

    def test_a_label_that_the_endpoint_does_not_know_is_a_failure(self) -> None:
        with pytest.raises(ModerationUnavailable, match="no score for a label"):
            looked({"results": [verdict(flagged=False, scores={"hate": 0.1})]}, labels=("hate", "violens"))

    def test_nobody_there(self) -> None:
        async def look() -> None:
            await OpenAIModerator("http://127.0.0.1:9/v1").look(["a"])

        with pytest.raises(ModerationUnavailable, match="cannot be reached"):
            asyncio.run(look())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_classifiers.build(tmp_path_factory.mktemp("classifier"))


@pytest.mark.models
class TestClassifier:
    @pytest.fixture
    def classifier(self, folder: Path) -> Iterator[TextClassifier]:
        made = TextClassifier(folder, ("insult",), timeout_s=30)
        yield made
        asyncio.run(made.aclose())

    def test_it_tells_insults_from_the_rest(self, classifier: TextClassifier) -> None:
        found = asyncio.run(classifier.look(text_classifiers.HELD_OUT_INSULTS))
        assert found == [("insult",)] * len(text_classifiers.HELD_OUT_INSULTS)
        assert asyncio.run(classifier.look(text_classifiers.HELD_OUT_OTHERS)) == [()] * len(
            text_classifiers.HELD_OUT_OTHERS
        )

    def test_what_stands_behind_the_models_window_is_read_too(self, classifier: TextClassifier) -> None:
        plain = " ".join(["Parcels are sent by rail and arrive within three days."] * 60)
        insult = text_classifiers.HELD_OUT_INSULTS[0]
        assert asyncio.run(classifier.look([plain, f"{plain} {' '.join([insult] * 20)}"])) == [(), ("insult",)]

    def test_a_label_that_it_does_not_have_is_told_with_those_it_has(self, folder: Path) -> None:
        made = TextClassifier(folder, ("hate",))
        for _ in range(2):
            with pytest.raises(ModerationUnavailable, match="no label 'hate'") as told:
                asyncio.run(made.look(["a"]))
        assert "insult, other" in told.value.next_step

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(ModerationUnavailable, match="cannot be loaded"):
            asyncio.run(TextClassifier(tmp_path, ("hate",)).load())
