"""What becomes of sentences that failed their check."""

from typing import Literal

from pydantic import Field

from app.settings_section import Section
from generation.bars import ATTRIBUTED_FROM, CONTRADICTED_FROM
from generation.model import Action

_DOES = (
    "mark sends them with their status; drop leaves them out; escalate has the answer written again, one tier up; abstain "
    "withdraws the whole answer."
)


class VerificationSettings(Section):
    """What is done about sentences that failed their check; see the chapter Policy."""

    unsupported: Action = Field("mark", description=f"Sentences that their passages do not carry: {_DOES}")
    contradicted: Action = Field("mark", description=f"Sentences of which their passages say the opposite: {_DOES}")
    uncited: Action = Field("escalate", description=f"Sentences that need a citation and have none: {_DOES}")
    none_carried: Literal["mark", "abstain"] = Field(
        "abstain",
        description="An answer in prose that asserts something, of which the passages carry no sentence even in part: abstain "
        "withdraws it; mark sends it with its sentences marked. With release sentence nothing is sent before one is carried.",
    )
    attribute: Literal["clear", "off"] = Field(
        "clear",
        description="clear cites a passage for a sentence that names none where it clearly carries it; off never does.",
    )
    attributed_from: float = Field(
        ATTRIBUTED_FROM,
        ge=0.9,
        le=1,
        description="Least probability that one passage carries such a sentence; below it there is no citation.",
    )
    contradicted_from: float = Field(
        CONTRADICTED_FROM,
        ge=0.5,
        le=1,
        description="Least probability that the passages say the opposite of a sentence, for it to be contradicted.",
    )
