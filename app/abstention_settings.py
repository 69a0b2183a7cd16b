"""When a question is not answered."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from app.settings_section import Section


class AbstentionSettings(Section):
    """When a question is not answered; see the chapter Abstention."""

    calibration: Path | None = Field(
        None,
        description="A file that grounded eval calibrate wrote for your own questions; its bars stand in for the shipped "
        "ones while the embedder is the one it was fitted for.",
    )
    before_model: Literal["decline", "ask"] = Field(
        "decline",
        description="decline asks no chat model, and pays none, where even the nearest passage is too far from the question; "
        "ask always asks one.",
    )
