"""Whether answers are kept and given again, how many, and to whom."""

from typing import Literal

from pydantic import Field

from app.settings_section import Section


class CacheSettings(Section):
    """The answer cache; see the chapter Cache."""

    mode: Literal["off", "exact", "semantic"] = Field(
        "off",
        description="exact gives an answer again to who may read the same and asks the same in the same words; semantic also "
        "where only harmless words differ. Questions and answers are then kept in the catalog's database; off keeps nothing.",
    )
    similarity: float = Field(
        0.9,
        ge=0.5,
        le=1,
        description="With semantic, least cosine of two questions. Whatever it is, their words must pass the guard too.",
    )
    entries: int = Field(10_000, ge=1, description="Answers kept at most; the oldest go first.")
    max_mb: int = Field(64, ge=1, description="Megabytes of kept answers at most.")
    max_age_h: float = Field(168.0, gt=0, description="Older answers are not given again.")
    timeout_s: float = Field(
        0.25, gt=0, description="A cache that takes longer is done without, and degraded names cache."
    )
    wait_s: float = Field(
        60.0,
        gt=0,
        description="Who asks what is being answered already waits so long for that answer, and then has one made.",
    )
