"""What can go wrong while an answer is made.

GroundedError
└── GenerationError
    ├── UpstreamUnavailable   the model endpoint cannot be reached, refuses or fails
    ├── UpstreamTimeout       the model endpoint took too long to begin, to go on, or to end
    ├── UpstreamTruncated     the stream broke off: no finish reason, or no end marker
    ├── ContextTooLong        question and passages do not fit the model's window
    ├── ModerationUnavailable the moderation cannot be asked, or its verdict cannot be read
    ├── VerifierUnavailable   the model that checks sentences cannot be loaded, fails or is too slow
    ├── BudgetSpent           the budget of whoever asks does not hold what the call may take
    ├── EndpointPaced         the tokens per minute that the endpoint may get are used up
    ├── StructuredOutputInvalid  the reply does not have the form that was asked for, not when asked again either
    └── UpstreamMisconfigured the key or the model name is refused
"""

from collections.abc import Mapping
from typing import Any, Self

from generation.model import Attempt, Usage
from ingest.errors import GroundedError


class GenerationError(GroundedError):
    """An answer could not be made or finished."""

    code = "generation_failed"
    # For whoever decides how to go on, and whoever bills:
    by_request = False  # the request is at fault, which says nothing about the endpoint
    usage = Usage()  # what is known to have been spent
    attempts: tuple[Attempt, ...] = ()  # every call that was made on the way

    def caused_by_request(self) -> Self:
        """The same error, held against the request and not against the endpoint."""
        self.by_request = True
        return self


class UpstreamUnavailable(GenerationError):
    """The model endpoint cannot be reached, refuses or fails."""

    code = "upstream_unavailable"
    next_step = "Try again shortly; the operator finds the endpoint's state with grounded doctor."
    again = True  # unless the endpoint said that asking once more is of no use
    retry_after_s: float | None = None  # how long it wants to be left alone, where it said so


class UpstreamTimeout(GenerationError):
    """The model endpoint took too long."""

    code = "upstream_timeout"
    next_step = (
        "Try again, or ask a shorter question; the operator can raise the limits that end in timeout_s, of the tier or "
        "under [generation]."
    )


class UpstreamTruncated(GenerationError):
    """The stream broke off in the middle: what was said so far is not a whole answer."""

    code = "upstream_truncated"
    next_step = "Ask again; do not rely on the part that arrived."


class ContextTooLong(GenerationError):
    """Question and passages do not fit the model's window."""

    code = "context_length_exceeded"
    by_request = True
    next_step = "Ask with a smaller top_k, or lower GROUNDED_CONTEXT__TOKEN_BUDGET."


class ModerationUnavailable(GenerationError):
    """The moderation cannot be asked, or its verdict cannot be read; nothing passes unseen (moderation.on_failure)."""

    code = "moderation_unavailable"
    by_request = True
    next_step = "Try again shortly; the operator finds its state with grounded doctor, or sets moderation.on_failure."


class VerifierUnavailable(GenerationError):
    """The model that checks sentences cannot be loaded, fails or is too slow; they stay unchecked, and the answer says so."""

    code = "verifier_unavailable"
    next_step = "Ask again shortly; the operator finds the cause in the log, or sets generation.verifier to embedded."


class BudgetSpent(GenerationError):
    """The budget of whoever asks does not hold what the call may take; who answers without a model still can."""

    code = "budget_exceeded"
    by_request = True
    next_step = "Wait for the next day or month, or have the operator raise the budget with grounded budgets set."
    details: Mapping[str, Any] | None = None
    retry_after: int | None = None


class EndpointPaced(GenerationError):
    """The tokens per minute that the endpoint may get are used up; another one, or who needs none, still can answer."""

    code = "upstream_unavailable"
    by_request = True
    next_step = "Try again shortly; the operator sets tokens_per_minute of the tier."


class StructuredOutputInvalid(GenerationError):
    """The model's reply does not have the form that was asked for, not when it was told what is wrong either."""

    code = "structured_output_invalid"
    by_request = True
    next_step = "Ask for a simpler schema, or of a larger model with tier."


class UpstreamMisconfigured(GenerationError):
    """The endpoint refuses the key or does not know the model."""

    code = "upstream_unavailable"
    next_step = "Check api_key and model of the tier, or under [generation], against what the endpoint offers."
