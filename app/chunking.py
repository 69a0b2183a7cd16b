"""One rule of `[[ingest.chunking]]`, as it is written in grounded.toml."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ingest.split import Strategy
from ingest.strategies.plans import LEAST_TARGET


class ChunkingRule(BaseModel):
    """How files that match a glob are cut. Sizes count word pieces of the embedding model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    glob: str = Field(min_length=1)
    strategy: Strategy = "structure"
    target_tokens: int = Field(0, ge=0)
    overlap_tokens: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if 0 < self.target_tokens < LEAST_TARGET:
            raise ValueError(f"target_tokens is 0, for as many as fit, or at least {LEAST_TARGET}")
        if self.overlap_tokens is not None and self.strategy != "fixed":
            raise ValueError("only the strategy fixed has overlap_tokens")
        return self
