"""The nouns of an answer: what a generator drafts, what a verifier makes of it, and how an answer ends.

A Draft is untrusted text on its way; a Claim is a finished sentence with a verdict. Offsets count code points of the
answer's own text, half open; a Citation's offsets count those of the cited document's stored text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ClaimStatus = Literal["supported", "partial", "unsupported", "uncited", "unchecked"]
Fault = Literal["unsupported", "contradicted", "uncited"]  # what a policy can act on
Action = Literal["mark", "drop", "escalate", "abstain"]
FinishReason = Literal["stop", "length", "abstained", "no_context", "filtered", "cancelled", "error"]
AbstentionReason = Literal[
    "collection_empty", "nothing_retrieved", "below_threshold", "not_in_passages", "no_supported_sentence"
]


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote and where it stands: `cited_text` equals `document_text[start:end]`, byte for byte."""

    source: str  # chunk id, one of the answer's sources
    start: int
    end: int
    cited_text: str
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One finished sentence of the answer. `score`, the probability that what it cites carries it, and `contradiction`, the
    probability that it says the opposite rather than the same, are None where nothing was measured. `contradicted` is set
    where that is likely enough; the status is `unsupported` then."""

    index: int
    start: int
    end: int
    text: str
    status: ClaimStatus
    score: float | None
    citations: tuple[Citation, ...]
    check_required: bool
    contradiction: float | None = None
    contradicted: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens over all model calls of an answer."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """A span of a passage, in the passage's own text: `passage.text[start:end]`. `n` is the passage's number, from 1."""

    n: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DraftText:
    """A piece of answer text without citation marks. White space between sentences leads the later piece."""

    text: str


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """Closes a sentence whose text was given by the DraftTexts since the last one (its leading white space left out).

    `cited` holds the passage numbers it names, all of them numbers of the context; `quotes` is filled by a generator
    that knows the spans it took its words from.
    """

    text: str
    cited: tuple[int, ...] = ()
    quotes: tuple[Quote, ...] = ()
    check_required: bool = True


@dataclass(frozen=True, slots=True)
class DraftRestarted:
    """All that was drafted so far is void, and the draft begins anew. `reason` is the error code of what broke off."""

    reason: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one model on the way to an answer. `outcome` is "ok" or an error code; `usage` holds what is known of
    the tokens, also of a call that failed; `ms` is the wall time from the call to its end."""

    model: str
    tier: str | None
    outcome: str
    usage: Usage = field(default_factory=Usage)
    ms: float = field(default=0.0, compare=False)


class Meter:
    """Calls that were left in the middle, as no end and no error of theirs tells any more. Whoever asks reads it once the
    draft is closed."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def left(self, *attempts: Attempt) -> None:
        """These were made for nothing, and are paid for all the same."""
        self.attempts += attempts

    @property
    def usage(self) -> Usage:
        return sum((attempt.usage for attempt in self.attempts), Usage())


@dataclass(frozen=True, slots=True)
class DraftEnd:
    """The last piece of every draft. `unknown_marks` counts citation marks that named no passage and were removed.

    `confidence` is the generator's own measure of whether the passages answer the question, higher is surer, on a scale
    of its own; None where it has none. With `abstained` set nothing was drafted.

    A generator that chose among several says which one wrote, `model`, `tier` and the `prompt_version` it wrote under;
    `attempts` has every call in order, the failed ones too, and `usage` is the sum over all of them. `degraded` names
    what the answer had to do without. With finish reason `filtered`, `filtered` holds the categories for which a moderator
    did not let the rest pass. `dropped` counts sentences that the policy left out, and `withdrawn` says for what fault it
    withdrew the whole answer.
    """

    finish_reason: Literal["stop", "length", "filtered"] = "stop"
    abstained: AbstentionReason | None = None
    usage: Usage = field(default_factory=Usage)
    confidence: float | None = None
    unknown_marks: int = 0
    nearest: tuple[Quote, ...] = ()
    model: str | None = None
    tier: str | None = None
    prompt_version: str | None = None
    attempts: tuple[Attempt, ...] = ()
    degraded: tuple[str, ...] = ()
    filtered: tuple[str, ...] = ()
    dropped: int = 0
    withdrawn: Fault | None = None


Draft = DraftText | DraftSentence | DraftRestarted | DraftEnd


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What a model made of a follow-up: the question as it stands alone, or None where the reply could not be one."""

    text: str | None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its sources, (title, text) each, and the answer that is wanted, as models are shown it."""

    question: str
    sources: tuple[tuple[str, str], ...]
    answer: str


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The form of an answer that is data: any JSON object, or what the caller's JSON Schema describes. `sent` is the schema
    that models are held to, which has a way to say that the sources do not answer, and `shown` the same as text, for the
    prompt; `name` and `strict` are passed on to endpoints."""

    schema: Mapping[str, Any] | None = None
    sent: Mapping[str, Any] | None = None
    name: str = "answer"
    strict: bool = False
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """A reply that could not be used, and what was wrong with it."""

    reply: str
    problem: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What a generator is asked: the question, the turns before it, and limits. `standalone` is the question as it was
    searched for, where it is a follow-up; a generator that reads no history goes by it.

    With a `response_format` the draft is the reply as it came, in DraftTexts alone: JSON is no prose, and nothing in it is
    taken for a sentence or a mark. `repair` says what was wrong with the reply before. A generator whose draft is closed
    before its end notes in `meter` what that took."""

    question: str
    history: tuple[tuple[Literal["user", "assistant"], str], ...] = ()
    max_tokens: int | None = None
    standalone: str | None = None
    examples: tuple[Example, ...] = ()
    response_format: ResponseFormat | None = None
    repair: Repair | None = None
    meter: Meter = field(default_factory=Meter, compare=False, repr=False)
