"""A Source object as every wire shows it: where a passage stands, and how to open it."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from ingest.metadata import Metadata
from retrieval.model import Arm, Passage

_ARMS: tuple[Arm, ...] = ("dense", "bm25", "fused", "rerank")


def source(passage: Passage, n: int, base_url: str, include: Collection[str] = ()) -> dict[str, Any]:
    """A Source object. `base_url` without a slash at its end."""
    payload: dict[str, Any] = {
        "n": n,
        "id": passage.id,
        "document_id": passage.document_id,
        "version": passage.version,
        "filename": passage.name,
        "title": passage.title,
        "url": source_url(passage, base_url),
        "media_type": passage.media_type,
        "page": passage.page,
        "heading_path": list(passage.heading_path),
        "start": passage.start,
        "end": passage.end,
        "bbox": None,
        "modified_at": rfc3339(passage.modified_at),
        "metadata": described(passage.metadata),
    }
    if "sources.text" in include:
        payload["text"] = passage.text
    if "sources.scores" in include:
        places = passage.hit.places
        payload["scores"] = {arm: places[arm].score if arm in places else None for arm in _ARMS}
        if "cross" in places:
            payload["scores"]["cross"] = places["cross"].score
    return payload


def source_url(passage: Passage, base_url: str) -> str:
    """Where people read the passage, at its page where there are pages."""
    page = f"#page={passage.page}" if passage.page is not None else ""
    return f"{base_url}/sources/{passage.id}{page}"


def described(metadata: Metadata) -> dict[str, Any]:
    """What is known about a document beside its text. What is not known is absent; the fields that all documents share
    stand above others of the same name."""
    known = {
        "author": metadata.author,
        "created_at": rfc3339(metadata.created_at) if metadata.created_at else "",
        "language": metadata.language,
        "tags": list(metadata.tags),
        "url": metadata.url,
    }
    return {**metadata.extra, **{name: value for name, value in known.items() if value}}


def rfc3339(moment: datetime) -> str:
    """UTC with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
