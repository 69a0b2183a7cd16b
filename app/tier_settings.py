"""The tiers: endpoints with a model each, from the cheapest to the dearest, and who of them answers which question."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from app.settings_section import Section
from ingest.model import COLLECTION_NAME

EXTRACTIVE = "extractive"  # the tier that is always there: it quotes, and costs nothing
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Collection = Annotated[str, StringConstraints(pattern=f"^{COLLECTION_NAME}$")]
Price = Annotated[Decimal, Field(ge=0, le=1_000_000)]


class TierTokens(Section):
    """Longest replies, in tokens of the model, by what it is asked for."""

    answer: int = Field(512, ge=1, description="Of an answer.")
    rewrite: int = Field(160, ge=1, description="Of a follow-up question made standalone.")
    verify: int = Field(16, ge=1, description="Of a verdict on a sentence; more for models that think aloud.")
    classify: int = Field(16, ge=1, description="Of a verdict on how hard a question is; as above.")


class TierSettings(Section):
    """One `[[tiers]]` table: any OpenAI-compatible endpoint with one model."""

    name: Name = Field(description="What requests, logs and reports call it; `extractive` is taken.")
    base_url: str = Field(min_length=1, description="The endpoint, for example http://127.0.0.1:8001/v1 for vLLM.")
    model: str = Field(min_length=1, description="The model's name at the endpoint.")
    api_key: SecretStr = Field(SecretStr(""), description="The endpoint's key, where it wants one.")
    api_key_file: Path | None = Field(None, description="A file that holds the key, instead of the key itself.")
    context_window: int = Field(
        0,
        ge=0,
        description="Tokens of prompt and answer together; a question that needs more skips the tier. 0: unknown.",
    )
    price_input: Price = Field(description="USD per million input tokens; 0 for your own hardware.")
    price_cached_input: Price | None = Field(
        None, description="USD per million input tokens that the endpoint had in its cache; without it, `price_input`."
    )
    price_output: Price = Field(description="USD per million output tokens; 0 for your own hardware.")
    max_tokens: TierTokens = Field(
        TierTokens(),
        description="Longest replies by task, as in { answer = 512, rewrite = 160, verify = 16, classify = 16 }.",
    )
    structured_output: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema",
        description="What the endpoint can hold the model to for answers with a response_format: a schema, any object, or "
        "nothing; the reply is checked in any case.",
    )
    tokens_per_minute: int = Field(
        0,
        ge=0,
        description="Tokens that the endpoint gets in any minute, of prompts and of the longest replies; a call beyond goes to "
        "the next tier. 0: any number.",
    )
    temperature: float = Field(0.0, ge=0, le=2, description="0 gives the same answer again where the model allows it.")
    connect_timeout_s: float = Field(5.0, gt=0, description="Time to reach the endpoint.")
    first_token_timeout_s: float = Field(30.0, gt=0, description="Time until the model says its first word.")
    between_tokens_timeout_s: float = Field(15.0, gt=0, description="Longest silence within an answer.")
    timeout_s: float = Field(120.0, gt=0, description="Time for a whole answer.")
    self_hosted: bool = Field(
        False, description="Whether what is sent there stays yours; sensitive collections go nowhere else."
    )
    pii: Literal["send", "placeholders"] = Field(
        "send",
        description="placeholders sends words such as EMAIL_1 for the personal data and secrets of questions and passages, and "
        "puts the values back into what the model says.",
    )
    data_policy: Literal["all"] | tuple[Collection, ...] = Field(
        "all", description="The collections whose questions and passages may be sent there, or `all`."
    )

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name == EXTRACTIVE:
            raise ValueError("'extractive' is the tier that is always there; choose another name")
        return name

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key.get_secret_value() and self.api_key_file is not None:
            raise ValueError("api_key and api_key_file contradict each other")
        return self


class RoutingSettings(Section):
    """Which tier does what."""

    sensitive: tuple[Collection, ...] = Field(
        (), description="Collections whose questions and passages are sent to tiers with self_hosted alone."
    )
    thresholds: tuple[float, ...] = Field(
        (0.5, 2.1),
        description="Complexity from which the second tier answers, the third, and so on. A tier without a threshold "
        "answers only when it is asked for, when a cheaper one's answer fails its checks, or when others are down.",
    )
    classifier: str = Field(
        "rules",
        description="Who says how complex a question is: rules, or the name of a tier whose model is asked, beside the "
        "search. Where the model fails the rules stand in.",
    )
    escalate: bool = Field(
        True,
        description="Whether an answer of which a sentence fails its check, where verification.* says escalate, is written "
        "once more, one tier up.",
    )
    extractive: bool = Field(
        False,
        description="Whether look-ups that the search is sure of are answered by quoting, without any model. The cheapest "
        "tier answers where quoting cannot.",
    )
    extractive_confidence: float = Field(
        0.8, ge=0, le=1, description="With routing.extractive, the least agreement of the searches for it."
    )
    answer_tier: str = Field("", description="The tier that answers every question; empty to route by complexity.")
    rewrite_tier: str = Field(
        "", description="The tier that makes follow-ups standalone, see query.rewrite; empty for the cheapest."
    )
    verify_tier: str = Field(
        "",
        description="With generation.verifier judge, the tier whose model judges sentences that do not stand word for word in "
        "what they cite; empty for the cheapest. A tier here alone, with generation.verifier left out, chooses judge.",
    )
    classify_timeout_s: float = Field(
        2.0, gt=0, description="Time for the classifier's word; without it the rules decide."
    )
    verify_timeout_s: float = Field(
        10.0, gt=0, description="Time for all verdicts of an answer together; sentences behind it are unchecked."
    )

    @field_validator("thresholds")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if list(values) != sorted(values):
            raise ValueError("thresholds must rise: each tier is for harder questions than the one before it")
        return values
