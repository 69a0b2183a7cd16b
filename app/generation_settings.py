"""Who writes the answer, and within which limits."""

from typing import Literal

from pydantic import Field, SecretStr

from app.settings_section import Section


class GenerationSettings(Section):
    """Who writes the answer."""

    backend: Literal["extractive", "openai_chat"] = Field(
        "extractive",
        description="extractive quotes the sentences that answer; openai_chat asks any OpenAI-compatible endpoint.",
    )
    base_url: str = Field("", description="The endpoint, for example http://127.0.0.1:8001/v1 for vLLM.")
    model: str = Field("", description="The model's name at the endpoint.")
    api_key: SecretStr = Field(
        SecretStr(""), description="The endpoint's key; may be given as GROUNDED_GENERATION__API_KEY_FILE."
    )
    structured_output: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema",
        description="What the endpoint can hold the model to for answers with a response_format: a schema, any object, or "
        "nothing; the reply is checked in any case.",
    )
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens of the model.")
    temperature: float = Field(
        0.0, ge=0, le=2, description="0 gives the same answer to the same question where the model allows it."
    )
    connect_timeout_s: float = Field(5.0, gt=0, description="Time to reach the endpoint.")
    first_token_timeout_s: float = Field(30.0, gt=0, description="Time until the model says its first word.")
    between_tokens_timeout_s: float = Field(15.0, gt=0, description="Longest silence within an answer.")
    timeout_s: float = Field(120.0, gt=0, description="Time for the whole answer, over all tiers and tries.")
    fallback: Literal["extractive", "none"] = Field(
        "extractive",
        description="What answers when no endpoint does: extractive quotes the sentences that answer and says generator "
        "in degraded; with none the question fails.",
    )
    attempts: int = Field(3, ge=1, le=10, description="Calls to endpoints for one answer at most, retries included.")
    restart: bool = Field(
        True,
        description="Whether an answer whose model breaks off in the middle begins anew with the next one, which takes "
        "back what was sent with release token. With release sentence it begins anew only while nothing was sent. "
        "Otherwise it ends with the error.",
    )
    price_input: float | None = Field(
        None, ge=0, description="USD per million input tokens; needed with openai_chat, 0 for your own hardware."
    )
    price_output: float | None = Field(
        None, ge=0, description="USD per million output tokens; needed with openai_chat, 0 for your own hardware."
    )
    verifier: Literal["embedded", "verbatim", "nli", "judge"] = Field(
        "embedded",
        description="Who checks a model's sentences against the passages they cite: embedded tells how likely these carry "
        "them; verbatim supports what stands there word for word and leaves all else unchecked; nli asks the model of "
        "nli_model, and judge a chat model, see routing.verify_tier, about what does not stand there word for word.",
    )
    nli_model: str = Field(
        "",
        description="With verifier nli, a folder with a CrossEncoder whose labels are entailment, neutral and contradiction, or "
        "the name of one that was fetched before.",
    )
    nli_supported: float = Field(
        0.9,
        ge=0.5,
        le=1,
        description="With verifier nli, the least probability of an entailment that counts as support.",
    )
    nli_threads: int = Field(1, ge=1, le=256, description="With verifier nli, the threads that its model computes on.")
    sentences: int = Field(3, ge=1, le=10, description="Sentences that the extractive answer quotes at most.")
    abstain_below: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The extractive answer abstains when its best sentence scores lower; 0 takes the built-in bar.",
    )
