"""The models that search: which embedder, and which reranker beside late interaction."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from app.settings_section import Section


class EmbedderSettings(Section):
    """The model that turns text into vectors."""

    backend: Literal["sentence_transformers", "openai"] = Field(
        "sentence_transformers",
        description="sentence_transformers runs a model within the service; openai asks any OpenAI-compatible "
        "/v1/embeddings, which gives no token vectors: late interaction is then left out.",
    )
    model: str = Field(
        "",
        description="A folder, the name of a model that was fetched before, or the model's name at the endpoint; empty for "
        "the packaged all-MiniLM-L6-v2. Nothing is ever fetched.",
    )
    query_prefix: str | None = Field(
        None, description="Put before each question, where the model wants that; not set, what its folder says."
    )
    passage_prefix: str | None = Field(
        None, description="Put before each passage, where the model wants that; not set, what its folder says."
    )
    dimensions: int = Field(
        0,
        ge=0,
        le=65_536,
        multiple_of=8,
        description="Numbers in a vector. Less than the model has takes the first of them, for models trained for it "
        "(Matryoshka); 0 takes all. With openai, as many as the endpoint gives.",
    )
    threads: int = Field(0, ge=0, le=256, description="CPU threads of the model; 0 takes one per core.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Number format: auto takes bf16 on CPUs that compute in it (AMX or AVX-512 BF16), fp16 on a GPU, "
        "else fp32. bf16 is up to three times faster and moves vectors by less than 0.002 in cosine.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model runs; auto takes a GPU if there is one."
    )
    batch_tokens: int = Field(
        2048, ge=256, le=262_144, description="Word pieces in one batch, or tokens in one request; more costs memory."
    )
    base_url: str = Field("", description="With openai, the endpoint, for example http://127.0.0.1:8001/v1.")
    api_key: SecretStr = Field(
        SecretStr(""), description="The endpoint's key; may be given as GROUNDED_EMBEDDER__API_KEY_FILE."
    )
    window: int = Field(
        512,
        ge=16,
        description="With openai, tokens of a text that the model reads; a longer one is refused or cut there.",
    )
    tokenizer: Path | None = Field(
        None,
        description="With openai, the model's tokenizer.json, to count by. Without it tiktoken counts for OpenAI's models "
        "where its file is at hand; else four letters of a word are taken for a token, which is a third too many in English.",
    )
    ask_dimensions: bool = Field(
        False, description="With openai, send dimensions along; only Matryoshka models accept that."
    )
    batch_texts: int = Field(64, ge=1, le=2048, description="With openai, texts in one request at most.")
    timeout_s: float = Field(30.0, gt=0, description="With openai, time for one request with its answer.")
    attempts: int = Field(
        5,
        ge=1,
        le=20,
        description="With openai, how often a request is tried when the endpoint is busy, fails or cannot be reached; "
        "waits grow from half a second, or are as long as the endpoint says, up to 30 seconds.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.backend == "openai" and not (self.base_url and self.model and self.dimensions):
            raise ValueError("backend openai needs base_url, model and dimensions")
        return self


class RerankerSettings(Section):
    """Who reads the best passages once more, after late interaction."""

    backend: Literal["none", "cross_encoder", "http"] = Field(
        "none",
        description="cross_encoder runs a sentence-transformers CrossEncoder within the service; http asks an endpoint; none "
        "leaves it at late interaction.",
    )
    model: str = Field(
        "", description="A folder or the name of a model that was fetched before; with http, its name at the endpoint."
    )
    base_url: str = Field(
        "", description="With http, what stands before /rerank, for example http://127.0.0.1:8002/v1."
    )
    api_key: SecretStr = Field(
        SecretStr(""), description="The endpoint's key; may be given as GROUNDED_RERANKER__API_KEY_FILE."
    )
    dialect: Literal["v1", "tei"] = Field(
        "v1",
        description="How the endpoint is spoken to: v1 as vLLM, Jina and Cohere are, tei as text-embeddings-inference is.",
    )
    reads: int = Field(20, ge=1, le=200, description="How many of the best passages it reads; more costs time.")
    weight: float = Field(
        5.0,
        ge=0,
        description="Weight of its order in the fusion. The default is that of all other lists together: both searches 1 "
        "each, late interaction 3.",
    )
    timeout_s: float = Field(
        1.0, gt=0, description="An answer does without it when it takes longer, and says so in degraded."
    )
    threads: int = Field(0, ge=0, le=256, description="CPU threads of the cross-encoder; 0 takes one per core.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Number format of the cross-encoder; see embedder.precision."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the cross-encoder runs; auto takes a GPU if there is one."
    )
    batch_tokens: int = Field(
        8192, ge=256, le=262_144, description="Tokens in one batch of the cross-encoder, padding included."
    )
    window: int = Field(
        0,
        ge=0,
        description="Tokens of question and passage that the cross-encoder reads together; 0 is all that it can. Only "
        "passages are cut.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.backend == "cross_encoder" and not self.model:
            raise ValueError("backend cross_encoder needs model")
        if self.backend == "http" and not self.base_url:
            raise ValueError("backend http needs base_url")
        return self
