"""Every reason for which there is no answer is said in words, in the answer and in the manual, with a suggestion on the page."""

import re
from pathlib import Path
from typing import get_args

import pytest

from app.course import Course
from generation.events import Finished, TextAdded
from generation.model import AbstentionReason
from tests.manual import HANDBOOK

TEXTS = (Path(__file__).parents[2] / "app" / "web" / "texts.js").read_text("utf-8")
REASONS: tuple[AbstentionReason, ...] = get_args(AbstentionReason)


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_has_its_own_words(reason: AbstentionReason) -> None:
    said, end = Course("extractive").abstained("abstained", reason, ())
    assert isinstance(said, TextAdded)
    assert isinstance(end, Finished)
    assert end.abstention is not None
    assert (end.abstention.message, end.abstention.reason) == (said.text, reason)
    others = {Course("x").abstained("abstained", other, ())[0].text for other in REASONS if other != reason}  # type: ignore[union-attr]
    assert said.text not in others
    told = re.findall(rf'\b{reason}: "([^"]+)"', TEXTS)
    assert len(told) == 1, "one suggestion; the reason is told by the answer itself"
    assert all(text.endswith(".") for text in told)
    assert f"`{reason}`" in (HANDBOOK / "asking.md").read_text("utf-8")
