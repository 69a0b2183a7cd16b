"""The labelled questions, and what the evaluations of tiers make of outcomes."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.evals.answers import Outcome
from app.evals.models import figures, measured, report
from app.evals.routes import Case, best_thresholds, costs, judged
from app.evals.routes import measured as routed_cases
from app.evals.routes import report as routed
from app.evals.routing_table import models_lines, routes_lines, shown
from app.evals.table import table
from app.tier_settings import RoutingSettings, TierSettings
from generation.classifier import LEVELS
from generation.complexity import Features
from generation.events import Finished
from generation.model import Usage
from generation.route import score
from tests.app.serving import fake_embedder, settings_for, write
from tests.scripted_upstream import reply, upstream

ROOT = Path(__file__).parents[2]
ROWS = [json.loads(line) for line in (ROOT / "data/evals/routing.jsonl").read_text().splitlines()]


class TestLabels:
    def test_there_are_enough_of_each_class_in_each_half(self) -> None:
        assert len(ROWS) >= 200
        for half in (ROWS[: len(ROWS) // 2], ROWS[len(ROWS) // 2 :]):
            assert min(sum(row["class"] == name for row in half) for name in LEVELS) >= 20

    def test_each_is_well_formed_and_asked_once(self) -> None:
        others = [json.loads(line) for line in (ROOT / "data/evals/handbook.jsonl").read_text().splitlines()]
        asked = [row["question"].casefold() for row in (*ROWS, *others)]
        assert len(set(asked)) == len(asked)
        assert [row["id"] for row in ROWS] == [f"rt{number:03}" for number in range(1, len(ROWS) + 1)]
        for row in ROWS:
            assert set(row) == {"id", "question", "class", "kind", "sources"}
            assert row["class"] in LEVELS
            assert row["question"].strip() == row["question"] != ""

    def test_their_pages_are_in_the_manual(self) -> None:
        pages = {path.name for path in (ROOT / "data/handbook").glob("*.md")}
        assert {source for row in ROWS for source in row["sources"]} <= pages
        assert all(row["sources"] for row in ROWS)

    def test_the_kinds_vary(self) -> None:
        kinds = {kind for row in ROWS if (kind := row["kind"])}
        assert kinds >= {"look_up", "how_to", "conditions", "comparison", "multi_part", "reasoning", "code", "summary"}


def case(wanted: int, reasoning: int = 0, code: bool = False, tokens: int = 1000) -> Case:
    return Case(wanted, Features(reasoning=reasoning, code=code, confidence=1.0), tokens)


CASES = [case(0), case(0), case(1, 1), case(2, 3), case(2, 0, code=True), case(0, 3)]


def test_agreement_counts_by_label_and_by_level() -> None:
    found = judged(CASES, (0.5, 2.0))
    assert [score(one.features) for one in CASES] == pytest.approx([0, 0, 0.9, 2.7, 1.5, 2.7])
    assert (found["agreement"], found["below"], found["above"]) == (pytest.approx(4 / 6, abs=1e-4), 0.1667, 0.1667)
    assert found["confusion"]["complex"] == {"simple": 0, "medium": 1, "complex": 1}
    assert found["share"] == {"simple": 0.3333, "medium": 0.3333, "complex": 0.3333}
    assert sum(found["wanted"].values()) == pytest.approx(1, abs=1e-3)


def test_the_best_thresholds_agree_at_least_as_well_as_any_others() -> None:
    low, high = best_thresholds(CASES)
    assert low < high
    best = judged(CASES, (low, high))
    assert best["below"] * 2 + best["above"] <= 0.5
    for other in ((0.2, 0.3), (1.5, 3.5), (5.9, 6.0)):
        found = judged(CASES, other)
        assert best["agreement"] >= found["agreement"]


def test_without_labels_there_are_shares_and_costs(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [Case(None, case.features, case.tokens) for case in CASES]
    found = routed(cases, (0.5, 2.0), TIERS, 50)
    assert (found["labelled"], found["best_on_first_half"]) == (False, None)
    assert found["all"]["share"] == judged(CASES, (0.5, 2.0))["share"]
    assert found["cost"]["usd_per_1000"] == {
        name: usd for name, usd in costs(CASES, (0.5, 2.0), TIERS, 50)["usd_per_1000"].items() if name != "by_label"
    }
    assert shown(found, as_json=False) == 0
    assert "Taken for: 33.3% simple" in capsys.readouterr().out


def tier(name: str, price: str) -> TierSettings:
    return TierSettings(
        name=name, base_url="http://x/v1", model=name, price_input=Decimal(price), price_output=Decimal(price)
    )


TIERS = [tier("small", "1"), tier("medium", "4"), tier("large", "20")]


def test_cost_is_arithmetic() -> None:
    found = costs([case(0), case(2, 3)], (0.5, 2.0), TIERS, 50)
    assert found["input_tokens"] == 1450
    assert found["usd_per_1000"] == {"small": 1.5, "medium": 6.0, "large": 30.0, "routed": 15.75, "by_label": 15.75}
    assert found["saving"] == found["saving_by_label"] == 0.475


def outcome(text: str, finish: str = "stop", nano: int = 1000, tier: str = "small", **more: Any) -> Outcome:
    end = Finished(
        finish,  # type: ignore[arg-type]
        "a",
        "t",
        "m",
        tier=tier,
        usage=Usage(100, 10, 50),
        cost_nano_usd={"generate": nano},
        timings_ms={"total": 5.0},
        **more,
    )
    return Outcome(text=text, done=end)


QUESTIONS: list[dict[str, Any]] = [
    {"question": "A?", "answers": ["forty two"]},
    {"question": "B?", "answerable": False},
    {"question": "C?", "class": "simple"},
]


def test_right_is_what_holds_a_gold_answer_or_declines_where_there_is_none() -> None:
    right = [outcome("It is Forty-Two."), outcome("", "abstained"), outcome("Anything.")]
    wrong = [outcome("It is 41."), outcome("It is red."), outcome("", "abstained")]
    assert (figures(QUESTIONS, right)["accuracy"], figures(QUESTIONS, right)["judged"]) == (1.0, 2)
    assert (figures(QUESTIONS, wrong)["accuracy"], figures(QUESTIONS, wrong)["abstained"]) == (0.0, 0.3333)
    found = figures(QUESTIONS, right)
    assert found["tokens"] == {"input": 300, "cached_input": 150, "output": 30}
    assert (found["cost_usd"], found["cost_usd_per_1000"]) == (3e-06, 0.001)
    assert figures(QUESTIONS[2:], right[2:])["accuracy"] is None


def test_an_answer_that_another_wrote_is_a_failure_of_the_tier() -> None:
    failed = [outcome("", "error"), outcome("x", degraded=("generator",)), outcome("x")]
    assert figures(QUESTIONS, failed)["failed"] == 2


def test_the_mix_is_held_against_the_dearest_for_all() -> None:
    tiers = {
        "extractive": [outcome("forty two", nano=0)] * 3,
        "small": [outcome("forty two", nano=1000)] * 3,
        "large": [outcome("forty two", nano=10_000, tier="large")] * 3,
    }
    mix = [tiers["small"][0], tiers["small"][0], tiers["large"][0]]
    found = report(QUESTIONS, tiers, mix, ("small", "large"))
    assert (found["all_small"], found["all_large"]) == ("small", "large")
    assert found["routed"]["saving_beside_all_large"] == 0.6
    assert found["routed"]["times_all_small"] == 4.0
    assert found["routed"]["share"] == pytest.approx({"small": 2 / 3, "large": 1 / 3})
    lines = models_lines(found)
    assert any("saves 60.0%" in line for line in lines)
    assert sum(line.startswith("| `") for line in lines) == 4
    assert "routed" not in report(QUESTIONS, {"extractive": tiers["extractive"]}, None, ())


def routes_report() -> dict[str, Any]:
    part = judged(CASES, (0.5, 2.0))
    return {
        "routes": True,
        "n": 6,
        "labelled": True,
        "thresholds": [0.5, 2.0],
        "first_half": part,
        "second_half": part,
        "output_tokens": 50,
        "cost": costs(CASES, (0.5, 2.0), TIERS, 50),
    }


def test_reports_become_tables_of_the_manual(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, file = tmp_path / "routing.md", tmp_path / "routes.json"
    page.write_text("# Page\n<!-- routes:begin -->\nformer lines\n<!-- routes:end -->\nrest\n")
    file.write_text(json.dumps(routes_report()))
    assert asyncio.run(table([file], routing=page)) == 0
    text = page.read_text()
    assert "former lines" not in text
    assert text.endswith("rest\n")
    assert "| first half | 6 | 66.7% |" in text
    assert "by label" in text
    assert routes_lines(routes_report())
    capsys.readouterr()
    assert shown(routes_report(), as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 6


class TestMeasured:
    """The whole way, with two endpoints on real sockets."""

    def test_models(self, tmp_path: Path) -> None:
        write(
            tmp_path / "docs",
            {"refunds.txt": "Refunds take 14 days at most.", "cats.txt": "Cats sleep most of the day."},
        )
        rows = [
            {"question": "How many days do refunds take at most?", "answers": ["14 days"]},
            {
                "question": "Compare refunds with cats: why do they differ, and what would you choose?",
                "answers": ["days"],
            },
            {"question": "Which enzyme unwinds DNA?", "answerable": False},
        ]
        (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))

        async def main() -> dict[str, Any]:
            async with (
                upstream(*reply("Refunds and cats take most of the day. [1]")) as one,
                upstream(*reply("Refunds take 14 days at most. [1]")) as two,
            ):
                tiers = [
                    {"name": name, "base_url": server.url, "model": name, "price_input": price, "price_output": price}
                    for name, server, price in (("small", one, 1), ("large", two, 10))
                ]
                settings = settings_for(tmp_path / "state", tiers=tiers, context={"tokenizer": "estimate"})
                found = await measured(settings, tmp_path / "docs", tmp_path / "cases.jsonl", None, 0)
                assert (len(one.requests), len(two.requests)) == (3 + 2, 3 + 1)  # each alone, then as routed
                return found

        with fake_embedder(), structlog.testing.capture_logs():
            found = asyncio.run(main())
        accuracy = {name: way["accuracy"] for name, way in found["tiers"].items()}
        assert (accuracy["small"], accuracy["large"]) == (0.0, 0.6667)
        assert found["tiers"]["extractive"]["cost_usd"] == 0
        assert found["tiers"]["small"]["cost_usd"] == pytest.approx(3 * 129e-6)
        assert found["routed"]["share"] == pytest.approx({"small": 2 / 3, "large": 1 / 3})
        assert found["routed"]["saving_beside_all_large"] == 0.6
        assert found["routed"]["failed"] == 0

    def test_routes_by_a_model_that_is_the_classifier(self, tmp_path: Path) -> None:
        write(tmp_path / "docs", {"refunds.txt": "Refunds take 14 days at most."})
        row = {"question": "How many days do refunds take at most?", "class": "simple"}
        (tmp_path / "cases.jsonl").write_text(json.dumps(row))

        async def main(classifier: str) -> dict[str, Any]:
            async with upstream(*reply("complex")) as server:
                tiers = [tier.model_dump() | {"base_url": server.url} for tier in TIERS]
                routing, context = {"classifier": classifier}, {"tokenizer": "estimate"}
                settings = settings_for(tmp_path / "state", tiers=tiers, routing=routing, context=context)
                found = await routed_cases(settings, tmp_path / "docs", tmp_path / "cases.jsonl", 50)
                assert len(server.requests) == int(classifier == "small")
                return found

        with fake_embedder(), structlog.testing.capture_logs():
            assert asyncio.run(main("rules"))["all"]["share"]["simple"] == 1.0
            assert asyncio.run(main("small"))["all"]["share"]["complex"] == 1.0


def test_the_default_thresholds_are_two_and_rise() -> None:
    low, high = RoutingSettings().thresholds
    assert low < high
