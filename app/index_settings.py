"""The index: which engine keeps it, and what a new one is measured by."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from app.settings_section import Section


class IndexSettings(Section):
    """Where vectors and words are searched."""

    engine: Literal["qdrant_edge", "qdrant_server"] = Field(
        "qdrant_edge",
        description="qdrant_edge searches within the service and needs nothing else; qdrant_server asks a Qdrant server or "
        "cluster, for an index that is too large for one machine.",
    )
    url: str = Field("http://127.0.0.1:6333", description="Address of the Qdrant server.")
    api_key: SecretStr = Field(
        SecretStr(""), description="The key of the Qdrant server; may be given as GROUNDED_INDEX__API_KEY_FILE."
    )
    grpc: bool = Field(
        True, description="Send points and searches over gRPC, which is faster; off where only HTTP gets through."
    )
    grpc_port: int = Field(6334, ge=1, le=65535, description="Port of Qdrant for gRPC.")
    collection: str = Field(
        "grounded",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Alias of the index in Qdrant, and what the names of its collections begin with. Two services that "
        "share one Qdrant need two.",
    )
    shard_number: int = Field(
        1, ge=1, le=256, description="Parts that the index is spread over, for several machines; fixed once it is made."
    )
    replication_factor: int = Field(
        1, ge=1, le=16, description="Copies of each part, so that a machine may fail; fixed once the index is made."
    )
    write_consistency_factor: int = Field(
        1,
        ge=1,
        le=16,
        description="Copies that must have a write before it counts as done; replication_factor at most.",
    )
    quantization: Literal["off", "scalar"] = Field(
        "off",
        description="scalar searches 8-bit copies of the vectors and looks at the best again in full: a quarter of the "
        "memory; fixed once the index is made.",
    )
    timeout_s: float = Field(
        1.0, gt=0, le=60, description="A search that Qdrant has not answered by then is done without."
    )
    write_timeout_s: float = Field(
        30.0, gt=0, le=600, description="A write or a count that Qdrant has not answered by then has failed."
    )
    check_s: float = Field(
        30.0, ge=1, le=3600, description="Time between two counts of what Qdrant holds; see on_failure."
    )
    on_failure: Literal["degrade", "refuse"] = Field(
        "degrade",
        description="While the engine answers in part or lacks passages: degrade answers from what is left and says so, "
        "refuse gives index_unavailable.",
    )

    @model_validator(mode="after")
    def _enough_copies(self) -> Self:
        if self.write_consistency_factor > self.replication_factor:
            raise ValueError("write_consistency_factor is larger than replication_factor: no write would ever be done")
        return self


class ReindexSettings(Section):
    """What `grounded reindex` measures a new index by."""

    golden: Path = Field(
        Path("data/evals"),
        description="Golden questions, a file of JSON lines or a folder of them: each with a question and the file that "
        "answers it. A new index is swapped in only if it finds them as well as the live one.",
    )
    allowed_drop: float = Field(
        0.01,
        ge=0,
        le=1,
        description="By how much the mean nDCG@10 on the golden set may fall; 0 allows no loss at all.",
    )
