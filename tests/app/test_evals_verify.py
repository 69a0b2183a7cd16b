import xml.etree.ElementTree as ET
from random import Random

import numpy as np
import pytest

from app.evals.claims import claims, sentences
from app.evals.paraphrases import paraphrased, reordered, reworded, trimmed
from app.evals.perturbations import PERTURBATIONS
from app.evals.verifier_fit import Fitted, expert, fit
from app.evals.verify import Judged, drawn, report
from generation.verification.embedded import Judgement
from generation.verification.features import NAMES
from generation.verification.judgement import packaged

PASSAGE = (
    "All files below 40 MB are read within 5 seconds by the ReaderPool in Oslo. "
    "The FooStore holds every version until 3 March 2021 and is never emptied. "
    "If the disk is full, the service must stop."
)
OWN = sentences(PASSAGE)


def judged(label: str, support: float, contradiction: float = 0.0) -> Judged:
    return Judged(label, Judgement("partial", support, contradiction, ()), 1.0)


@pytest.mark.parametrize("kind", sorted(PERTURBATIONS))
def test_every_perturbation_changes_one_thing(kind: str) -> None:
    made = {PERTURBATIONS[kind](sentence, OWN, Random(seed)) for sentence in OWN for seed in range(5)} - {None}
    assert made
    assert not made & set(OWN)


def test_perturbations_say_what_they_change() -> None:
    random = Random(1)
    assert PERTURBATIONS["unit"]("It takes 5 bits.", OWN, random) == "It takes 5 bytes."
    assert "2021" not in (PERTURBATIONS["date"]("It opened in 2021.", OWN, random) or "2021")
    assert PERTURBATIONS["negation"]("It is full.", OWN, random) == "It is not full."
    assert PERTURBATIONS["negation"]("It is not full.", OWN, random) == "It is full."
    assert PERTURBATIONS["name"]("It asks the ReaderPool now.", OWN, Random(0)) != "It asks the ReaderPool now."


def test_paraphrases_keep_numbers_and_names() -> None:
    assert reordered("If the disk is full, the service stops.") == "The service stops if the disk is full."
    assert trimmed("However, it works (as said).", Random(4)).startswith("It works")
    assert "five seconds" in reworded("It takes 5 seconds.", Random(0))
    for seed in range(20):
        assert "ReaderPool" in paraphrased(OWN[0], (), Random(seed))


def test_claims_are_drawn_alike_for_one_seed() -> None:
    made = claims([PASSAGE, PASSAGE.replace("Oslo", "Rome")], Random(5))
    assert made == claims([PASSAGE, PASSAGE.replace("Oslo", "Rome")], Random(5))
    assert {claim.is_supported for claim in made} == {True, False}


def test_the_report_judges_by_the_shipped_thresholds() -> None:
    high, low = packaged().supported, packaged().partial
    found = report(
        [
            judged("supported", high),
            judged("supported", low, 0.1),
            judged("partial", 0.0),
            judged("contradicted", high, 0.9),
        ]
    )
    assert found["n"] == 4
    assert found["supported"] == {"precision": 0.5, "recall": 0.5}
    assert (found["balanced_accuracy"], found["auroc"], found["contradicted_auroc"]) == (0.75, 0.625, 1.0)
    assert sum(part["n"] for part in found["reliability"]) == 4


def test_the_reliability_is_drawn_where_it_belongs() -> None:
    figures = report([judged("supported", 0.95), judged("supported", 0.95), judged("unsupported", 0.05)])
    root = ET.fromstring(drawn("a <set>", figures["reliability"]))
    spots = [[float(e.get(key, 0)) for key in ("cx", "cy", "r")] for e in root.iter() if e.tag.endswith("circle")]
    [low, high] = spots
    assert low[0] < high[0]
    assert low[1] > high[1]  # what was true stands higher
    assert low[2] < high[2]  # of two more than of one
    assert "a <set>" in (root[0].text or "")
    assert "circle" not in drawn("none", [])


def test_a_claim_that_cannot_be_judged_counts_as_not_supported() -> None:
    found = report([Judged("supported", None, 1.0), judged("unsupported", 0.5)])
    assert (found["auroc"], found["unchecked"], found["supported"]["recall"]) == (0.0, 1, 0.0)


def test_the_fit_finds_what_separates_and_holds_its_signs() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(400, 2))
    truth = (features[:, 0] - features[:, 1] > 0).astype(np.float64)
    free = fit(features, truth, np.array([1.0, -1.0]), 0.01)
    assert free.weights[0] > 0 > free.weights[1]
    held = fit(features, truth, np.array([1.0, 1.0]), 0.01)
    assert held.weights[1] == 0


def test_scaling_makes_probabilities() -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(size=5000) * 2
    truth = (draw.random(5000) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    scaled = Fitted(np.array([5.0]), 1.0).scaled(logits, truth)
    assert scaled.weights[0] == pytest.approx(5.0, rel=0.1)


def test_what_speaks_against_never_speaks_for() -> None:
    draw = np.random.default_rng(0)
    table, truth = draw.random((300, len(NAMES))), (draw.random(300) < 0.5).astype(np.float64)
    weights = dict(zip(NAMES, expert("told", table, truth).weights, strict=True))
    assert weights["covered"] >= 0 >= weights["lost_numbers"]
    assert weights["unbound"] == 0


@pytest.mark.slow
@pytest.mark.models
def test_sentences_of_the_handbook_and_their_changes() -> None:
    import asyncio

    from tests.verification.suite import drawn, judged, passages, report

    found = report(asyncio.run(judged(drawn(passages(), 150, seed=1, reworded=False))))
    assert found["caught"] >= 0.9
    assert found["twins_passing"] >= 0.95
