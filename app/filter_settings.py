"""What may not leave in an answer."""

from typing import Literal

from pydantic import Field

from app.settings_section import Section
from generation.filters.pii import KINDS, Action

_DOES = "mask puts its name in its place, block ends the answer in front of it, allow lets it through."


class FilterSettings(Section):
    """What is done about what stands in an answer, whoever wrote it; see the chapter Filters."""

    credit_card: Action = Field("mask", description=f"Card numbers that an issuer could have given out: {_DOES}")
    iban: Action = Field("mask", description=f"Account numbers with the right checksum: {_DOES}")
    us_ssn: Action = Field("mask", description=f"US social security numbers: {_DOES}")
    email: Action = Field("mask", description=f"E-mail addresses: {_DOES}")
    phone: Action = Field("mask", description=f"Telephone numbers: {_DOES}")
    ip_address: Action = Field("mask", description=f"IP addresses but those of the machine itself: {_DOES}")
    secret: Action = Field("mask", description=f"API keys, access tokens and private keys: {_DOES}")
    url_credentials: Action = Field("mask", description=f"User and password inside an address: {_DOES}")
    quoted: Literal["allow", "as_set"] = Field(
        "allow",
        description="What stands in a source of the answer or in the question may be said: who reads the answer may read "
        "those. as_set treats it like anything else, and cuts it out of quotes.",
    )
    prompt_leak: Literal["block", "allow"] = Field(
        "block",
        description="An answer that begins to repeat the model's instructions, straight or encoded, ends there; allow lets "
        "them be said.",
    )
    markdown: Literal["safe", "as_is"] = Field(
        "safe",
        description="safe leaves no image, link, autolink or HTML in an answer; as_is is for readers that show plain text.",
    )
    phrases: tuple[str, ...] = Field((), description="Phrases that may not be said, as whole words in any case.")
    on_phrase: Literal["mask", "block"] = Field(
        "mask", description="mask leaves a phrase out; block ends the answer in front of it."
    )

    off_topic: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The cosine that the nearest passage must reach with the question, by the embedder in use; a question "
        "below it is off topic and abstained from, whoever would answer. 0 lets every question be answered.",
    )

    def actions(self) -> dict[str, Action]:
        """What is done about each kind."""
        return {kind: getattr(self, kind) for kind in KINDS}
