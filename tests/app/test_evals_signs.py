"""`grounded eval signs`: both ways of reading closely are what they say, and their difference is told."""

import json
from typing import Any

import numpy as np
import pytest

from app.evals.signs import _maxsim, _report, _signs
from retrieval.adapters.late_interaction import maxsim
from tests.app.test_evals_beir import folder, told

__all__ = ["folder", "told"]  # fixtures


def test_the_command_scores_both(told: Any, folder: Any) -> None:
    found = json.loads(told("signs", str(folder)))
    assert (found["set"], found["n_queries"]) == ("pets", 2)
    assert 0 < found["signs"]["signs"] <= 1
    assert 0 < found["signs"]["vectors"] <= 1
    assert found["signs"]["loss"] == pytest.approx(found["signs"]["vectors"] - found["signs"]["signs"])


def test_signs_score_as_the_service_scores_what_it_stores() -> None:
    draw = np.random.default_rng(3)
    asked = draw.standard_normal((5, 64)).astype(np.float32)
    for length in (1, 7, 40):
        tokens = draw.standard_normal((length, 64)).astype(np.float32)
        stored = np.packbits(tokens > 0, axis=1)
        assert _maxsim(asked, _signs(tokens)) == pytest.approx(float(maxsim(asked, [stored])[0]), abs=1e-5)


def test_a_loss_is_what_the_signs_lack() -> None:
    queries = [{"_id": "a"}, {"_id": "b"}]
    qrels = {"a": {"right": 1}, "b": {"right": 1}}
    first, second = {"right": 1.0, "wrong": 0.5}, {"right": 0.5, "wrong": 1.0}
    runs = {"vectors": {"a": first, "b": first}, "signs": {"a": first, "b": second}}
    found = _report(queries, qrels, runs, seed=0)
    assert found["vectors"] == 1
    assert found["loss"] == pytest.approx((1 - 1 / np.log2(3)) / 2, abs=1e-4)
    assert found["loss_ci95"][0] == 0 < found["loss_ci95"][1]
