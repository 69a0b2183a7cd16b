"""Batches of questions, and who is told of their end."""

import base64
import binascii
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from app.settings_section import Section

_SECRET_PREFIX = "whsec_"  # noqa: S105  what every such secret begins with


class BatchSettings(Section):
    """How batches of questions are answered."""

    max_questions: int = Field(10_000, ge=1, le=100_000, description="Questions in one batch; more are refused.")
    max_mb: int = Field(16, ge=1, le=256, description="Larger batches are refused with 413 while they are read.")
    max_pending: int = Field(
        50_000,
        ge=1,
        description="Questions that wait in all batches together; a batch beyond that gets 503 overloaded.",
    )
    running: int = Field(
        2,
        ge=1,
        description="Questions of batches that are answered at the same time. They take only places of max_running that "
        "nobody wants, so no other question ever waits for one.",
    )
    attempts: int = Field(
        3,
        ge=1,
        le=20,
        description="How often a question of a batch is asked when what it needs is not there for a while.",
    )
    retry_s: float = Field(
        5.0, ge=0, description="Wait before the second attempt; before each further one four times as long."
    )
    through: Literal["queue", "api"] = Field(
        "queue",
        description="queue asks one question after another; api hands the prompts to the batch API of a tier's endpoint "
        "(/v1/files and /v1/batches), which is cheaper and takes up to a day. What comes back from there without "
        "an answer goes through the queue.",
    )
    tier: str = Field(
        "",
        description="With api, the tier whose endpoint it is; it answers the batch's questions. Empty for the first.",
    )
    poll_s: float = Field(30.0, gt=0, description="With api, time between two looks at how far the provider is.")
    give_up_h: float = Field(
        25.0, gt=0, description="With api, hours until a provider's batch is given up and its questions are queued."
    )


class WebhookSettings(Section):
    """Who may be told of the end of a batch, and how often that is tried."""

    allow: tuple[str, ...] = Field(
        (),
        description="Where webhooks may go: host names (https on port 443) or whole addresses (https, any port). Empty: "
        "nowhere.",
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="Signs webhooks by the Standard Webhooks scheme: whsec_ and 24 to 64 bytes in base64; may be given as "
        "GROUNDED_WEBHOOKS__SECRET_FILE.",
    )
    timeout_s: float = Field(
        10.0, gt=0, le=120, description="Time for one attempt, from the name's look-up to the status."
    )
    retries_s: tuple[float, ...] = Field(
        (5, 60, 300, 1800, 7200, 18_000, 36_000),
        max_length=20,
        description="Waits before each further attempt, give or take a fifth; after the last the webhook is a dead letter.",
    )
    loopback: bool = Field(
        False,
        description="Allow receivers on this very machine, also with http; for trying out. Private networks stay closed.",
    )

    @field_validator("secret")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            secret_bytes(value)
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.allow and not self.secret.get_secret_value():
            raise ValueError("webhooks.allow needs webhooks.secret, which signs what is sent")
        return self


def secret_bytes(secret: SecretStr) -> bytes:
    """What the secret stands for. Raises ValueError when it is none; the message does not repeat it."""
    text = secret.get_secret_value()
    try:
        found = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("is not whsec_ followed by base64") from error
    if not text.startswith(_SECRET_PREFIX) or not 24 <= len(found) <= 64:
        raise ValueError("is not whsec_ followed by 24 to 64 bytes in base64")
    return found
