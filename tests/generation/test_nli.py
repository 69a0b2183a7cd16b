"""A model of natural language inference as the verifier, with a real one of three classes."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from generation.adapters.nli import Inferred, NliJudge, Window, packed, verdict
from generation.errors import GenerationError, VerifierUnavailable
from generation.judge import ModelVerifier
from generation.model import DraftSentence
from generation.ports import UNCHECKED, Judged
from generation.verify import VerbatimVerifier
from ingest.errors import GroundedError
from retrieval.model import Context
from tests.contracts.verifier import VerifierContract
from tests.nli_models import FILLER, build
from tests.passages import context

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nli"))


def judged(
    folder: Path, text: str, *passages: str, timeout_s: float = 60.0, times: int = 1
) -> tuple[Judged, ModelVerifier]:
    over = context(*passages)
    model = NliJudge(str(folder), lambda: folder)
    verifier = ModelVerifier(VerbatimVerifier(), model, timeout_s)

    async def main() -> Judged:
        cited = tuple(range(1, len(passages) + 1))
        for _ in range(times):
            found = await verifier.judge(DraftSentence(text, cited), over)
        return found

    try:
        return asyncio.run(main()), verifier
    finally:
        model.close()


class TestNli(VerifierContract):
    @pytest.fixture
    def verifier(self, folder: Path) -> ModelVerifier:
        return ModelVerifier(VerbatimVerifier(), NliJudge("some/nli", lambda: folder), 600.0)


def test_what_is_entailed_contradicted_and_neither(folder: Path) -> None:
    entailed, _ = judged(folder, "In May Anna opened the shop.", "Anna opened the shop in May.")
    assert (entailed.verdict, len(entailed.evidence)) == ("supported", 1)
    opposite, _ = judged(folder, "Anna closed the shop in May.", "Anna opened the shop in May.")
    neither, _ = judged(folder, "Anna has a dog.", "Anna opened the shop in May.")
    assert opposite.verdict == neither.verdict == "unsupported"
    assert opposite.contradiction is not None
    assert neither.contradiction is not None
    assert opposite.contradiction > 0.5 > neither.contradiction
    assert (opposite.evidence, neither.evidence) == ((), ())


def test_the_order_of_the_labels_is_the_models_own(folder: Path, tmp_path: Path) -> None:
    other = build(tmp_path, labels=("neutral", "contradiction", "entailment"))
    text, passage = "In May Anna opened the shop.", "Anna opened the shop in May."
    one, _ = judged(folder, text, passage)
    two, _ = judged(other, text, passage)
    assert two.verdict == one.verdict == "supported"
    assert two.score == pytest.approx(one.score, abs=1e-3)
    assert two.contradiction == pytest.approx(one.contradiction, abs=1e-3)


def test_in_a_long_passage_the_window_is_found_that_carries_it(tmp_path: Path) -> None:
    small, fact = build(tmp_path, window=32), "Anna opened the shop in May."
    filler = FILLER + " "
    long = filler * 10 + fact + " " + filler * 10
    found, _ = judged(small, "In May Anna opened the shop.", filler, long)
    assert found.verdict == "supported"
    [quote] = found.evidence
    assert (quote.n, long[quote.start : quote.end]) == (2, fact)
    alone, _ = judged(small, "In May Anna opened the shop.", filler, filler * 20)
    assert (alone.verdict, alone.evidence) == ("unsupported", ())


def test_a_sentence_is_never_cut(folder: Path, tmp_path: Path) -> None:
    small = build(tmp_path, window=32)
    text = (
        "Anna opened the shop in May and sold bread, salt, oil, wine, nets, rope, tar, wool, wax, ink and also books."
    )
    found, verifier = judged(small, text, "Anna opened the shop.")
    assert (found, verifier.failed) == (UNCHECKED, False), "of others it can tell"
    assert judged(folder, text, "Anna opened the shop.")[0].verdict != "unchecked"


@pytest.mark.parametrize(
    "labels", [("yes", "no", "perhaps"), ("entailment", "neutral"), ("LABEL_0", "LABEL_1", "LABEL_2")]
)
def test_a_model_of_another_kind_is_refused_by_its_labels(tmp_path: Path, labels: tuple[str, ...]) -> None:
    model = NliJudge("m", lambda: build(tmp_path, labels=labels))
    with pytest.raises(VerifierUnavailable, match="labels are"):
        asyncio.run(model.load())
    model.close()


def test_a_model_that_is_not_there_leaves_sentences_unchecked_and_is_told_once(tmp_path: Path) -> None:
    told: list[GenerationError] = []

    def missing() -> Path:
        raise GroundedError("There is no model folder.")

    model = NliJudge("gone", missing, on_failure=told.append)

    async def main() -> list[tuple[Judged, bool]]:
        out = []
        for _ in range(3):
            verifier = ModelVerifier(VerbatimVerifier(), model, 5.0)
            out.append(
                (await verifier.judge(DraftSentence("Anna has a dog.", (1,)), context("Rain.")), verifier.failed)
            )
        return out

    assert asyncio.run(main()) == [(UNCHECKED, True)] * 3
    assert [error.message for error in told] == ["There is no model folder."]
    assert told[0].code == "verifier_unavailable"
    model.close()


def test_beyond_its_time_it_leaves_sentences_unchecked(folder: Path) -> None:
    found, verifier = judged(folder, "Anna has a dog.", FILLER * 200, timeout_s=0.001, times=2)
    assert (found, verifier.failed) == (UNCHECKED, True)


def test_one_that_was_closed_fails_as_any_other(folder: Path) -> None:
    model = NliJudge("m", lambda: folder)
    model.close()
    model.begin()
    verifier = ModelVerifier(VerbatimVerifier(), model, 5.0)
    found = asyncio.run(verifier.judge(DraftSentence("Anna has a dog.", (1,)), context("Rain.")))
    assert (found, verifier.failed) == (UNCHECKED, True)


def test_what_is_cited_word_for_word_needs_no_model() -> None:
    model = NliJudge("gone", lambda: Path("/nowhere"))
    over: Context = context("Anna has a dog.")
    verifier = ModelVerifier(VerbatimVerifier(), model, 5.0)
    found = asyncio.run(verifier.judge(DraftSentence("Anna has a dog.", (1,)), over))
    assert (found.verdict, found.score, verifier.failed) == ("supported", 1.0, False)
    model.close()


@pytest.mark.parametrize(
    ("sizes", "room", "groups"),
    [
        ([], 10, []),
        ([5], 10, [[0]]),
        ([5, 5, 5], 10, [[0, 1], [1, 2]]),
        ([50, 5, 5], 10, [[0], [1, 2]]),
        ([5, 50, 5], 10, [[0], [1], [2]]),
        ([4, 4, 4, 4], 12, [[0, 1, 2], [2, 3]]),
    ],
)
def test_windows_hold_whole_statements_and_overlap(sizes: list[int], room: int, groups: list[list[int]]) -> None:
    assert packed(sizes, room) == groups


def test_every_statement_is_in_a_window() -> None:
    sizes = [(7 * i) % 23 + 1 for i in range(200)]
    groups = packed(sizes, 40)
    assert {i for group in groups for i in group} == set(range(200))
    assert all(a[-1] <= b[-1] and a[0] < b[0] for a, b in pairwise(groups))
    assert all(sum(sizes[i] for i in group) <= 40 for group in groups)


def test_the_verdict_is_of_the_best_window_and_the_contradiction_of_the_one_that_speaks_of_it() -> None:
    def at(n: int, entails: float, contradicts: float) -> Inferred:
        return Inferred(Window(n, 0, 5, "x"), entails, contradicts)

    assert verdict([], 0.9) == UNCHECKED
    found = verdict([at(1, 0.95, 0.01), at(2, 0.1, 0.6)], 0.9)
    assert (found.verdict, found.score, found.contradiction, found.evidence[0].n) == ("supported", 0.95, 0.01, 1)
    assert verdict([at(1, 0.6, 0.1)], 0.9).verdict == "partial"
    assert verdict([at(1, 0.1, 0.8), at(2, 0.2, 0.1)], 0.9).contradiction == 0.8
