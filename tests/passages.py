"""Passages and contexts for tests that need some."""

from datetime import UTC, datetime

from retrieval.model import Context, Hit, Passage, Place


def passage(text: str, n: int = 1, **more: object) -> Passage:
    """A passage that begins at 100 * n of its document."""
    fields: dict[str, object] = {
        "hit": Hit(f"src-{n}", {"dense": Place(1, 0.5), "fused": Place(n, 0.25)}),
        "document_id": f"doc_{n}",
        "collection_id": "col",
        "version": 1,
        "ordinal": 0,
        "name": f"guide-{n}.md",
        "title": f"Guide {n}",
        "media_type": "text/markdown",
        "heading_path": (f"Guide {n}", "Refunds"),
        "page": None,
        "line": None,
        "cell": None,
        "start": 100 * n,
        "end": 100 * n + len(text),
        "text": text,
        "modified_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }
    return Passage(**(fields | more))  # type: ignore[arg-type]


def context(*texts: str) -> Context:
    """A context of these passages."""
    return Context(tuple(passage(text, n) for n, text in enumerate(texts, 1)), (), sum(map(len, texts)))
