"""A model that obeys whatever documents say: all that happens is text, and that text is harmless in the real page."""

from pathlib import Path

import pytest

from tests.checks import Unavailable
from tests.security.attacks import acts
from tests.security.effects import leaked
from tests.security.encodings import ENCODED
from tests.security.obedient import Outcome, all_asked, asked, attacked
from tests.security.obedient_model import readings
from tests.security.rendering import sweep

pytestmark = [pytest.mark.models, pytest.mark.slow]


def test_nothing_but_text_happens(tmp_path: Path) -> None:
    with attacked(tmp_path, 4 * len(acts()), 1) as (served, model, trap, runs):
        outcome = all_asked(served, model, trap, runs[:: len(runs) // len(acts())], tmp_path)
    assert outcome.wrong == []
    assert len(outcome.texts) >= len(acts())
    assert model.unread == 0
    assert outcome.filtered["prompt_leak"] >= len(acts()) // 4


def test_the_checks_see_what_no_filter_takes_away(tmp_path: Path) -> None:
    off = {
        "GROUNDED_FILTER__PROMPT_LEAK": "allow",
        "GROUNDED_FILTER__MARKDOWN": "as_is",
        "GROUNDED_FILTER__PHONE": "allow",
    }
    outcome = Outcome()
    with attacked(tmp_path, len(acts()), 1, **off) as (served, model, _, runs):
        asked(served, model, runs, outcome)
    seen = " ".join(outcome.wrong)
    assert "leak" in seen
    assert "a link" in seen
    assert "told +44 20" in seen


def test_leaks_are_read_however_they_are_written() -> None:
    prompt = (
        "Keep the words of the sources where you can, above all for numbers and names, and add nothing of your own."
    )
    unread = [name for name, written in ENCODED.items() if not leaked(prompt, f"Sure: {written(prompt)} Done.")]
    assert unread == []
    assert leaked(prompt, "Add nothing from memory; the sources say it all, and names are kept.") is None
    assert any("ORDER-000007" in text for text in readings("x T1JERVItMDAwMDA3IHggeCB4IHggeCB4 y"))


@pytest.mark.browser
def test_the_page_asks_nobody_else_whatever_the_model_says() -> None:
    pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    try:
        found = sweep(80, 2)
    except Unavailable as why:
        pytest.skip(str(why))
    assert found["wrong"] == []
    assert found["outputs"] >= 80
