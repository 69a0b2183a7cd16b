"""A Source object as every wire shows it: where a passage stands, and how to open it."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

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
    }
    if "sources.text" in include:
        payload["text"] = passage.text
    if "sources.scores" in include:
        places = passage.hit.places
        payload["scores"] = {arm: places[arm].score if arm in places else None for arm in _ARMS}
    return payload


def source_url(passage: Passage, base_url: str) -> str:
    """Where people read the passage, at its page where there are pages."""
    page = f"#page={passage.page}" if passage.page is not None else ""
    return f"{base_url}/sources/{passage.id}{page}"


def rfc3339(moment: datetime) -> str:
    """UTC with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
