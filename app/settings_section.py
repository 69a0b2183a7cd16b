"""What the sections of the settings have in common: a name nobody knows is refused, and values are frozen."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """The settings of one subject."""

    model_config = ConfigDict(extra="forbid", frozen=True)
