"""What models are told, and who looks at questions and answers before anybody else does."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from app.settings_section import Section

Version = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}(@[1-9]\d{0,5})?$")]


class PromptSettings(Section):
    """What chat models are told."""

    folder: Path | None = Field(
        None,
        description="A folder with prompts of your own, looked into before the shipped ones. A change there counts for the "
        "next question.",
    )
    answer: Version = Field(
        "answer",
        description="The prompt that answers are written by; answer@1 pins a version, answer takes the newest.",
    )
    structured: Version = Field("structured", description="The prompt for answers with a response_format.")
    rewrite: Version = Field("rewrite", description="The prompt that makes follow-ups standalone.")
    route: Version = Field("route", description="The prompt that says how hard a question is; see routing.classifier.")
    verify: Version = Field("verify", description="The prompt that judges sentences; see routing.verify_tier.")
    examples: int = Field(
        0,
        ge=0,
        le=4,
        description="Examples that the model is shown in front of the question, chosen by likeness, one of them always of a "
        "question that the sources do not answer. Each takes about a hundred tokens of every question; 0 for none.",
    )

    @field_validator("examples")
    @classmethod
    def _with_both_kinds(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one example would be of a refusal alone; take 0, or 2 to 4")
        return value

    def chosen(self) -> dict[str, str]:
        """Which version stands for each name."""
        return {name: getattr(self, name) for name in ("answer", "structured", "rewrite", "route", "verify")}


class ModerationSettings(Section):
    """Who looks at questions before any model does, and at answers before anybody else."""

    backend: Literal["off", "openai", "classifier"] = Field(
        "off",
        description="openai asks an OpenAI-compatible /v1/moderations; classifier runs a text-classification model from a "
        "folder within the service; off lets everything through.",
    )
    base_url: str = Field("", description="With openai, the endpoint, for example https://api.openai.com/v1.")
    model: str = Field("", description="The model's name at the endpoint, or the folder of the classifier.")
    api_key: SecretStr = Field(
        SecretStr(""), description="The endpoint's key; may be given as GROUNDED_MODERATION__API_KEY_FILE."
    )
    self_hosted: bool = Field(
        False,
        description="Whether what is sent to the endpoint stays yours. Where it does not, questions about the collections of "
        "routing.sensitive are not sent there, which counts as a failure.",
    )
    labels: tuple[str, ...] = Field(
        (),
        description="Categories that block, as the model names them. Empty: with openai whatever the endpoint flags; a "
        "classifier needs them named.",
    )
    threshold: float = Field(
        0.5, gt=0, le=1, description="The score from which a label blocks; with openai only where labels are named."
    )
    question: bool = Field(True, description="Look at questions, before any other model does.")
    answer: bool = Field(
        True, description="Look at answers: each sentence before it is released, or the whole at its end."
    )
    on_failure: Literal["closed", "open"] = Field(
        "closed",
        description="When it fails: closed gives an error instead of an answer that nobody has looked at; open lets it "
        "through and names moderator in degraded.",
    )
    timeout_s: float = Field(2.0, gt=0, description="Time for one look; later is a failure.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.backend == "openai" and not self.base_url:
            raise ValueError("backend openai needs base_url")
        if self.backend == "classifier" and not (self.model and self.labels):
            raise ValueError("backend classifier needs model and labels")
        return self
