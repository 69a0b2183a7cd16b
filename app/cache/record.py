"""An answer as bytes and back: sources, text and claims in the order in which they were sent. JSON, nothing else. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

import orjson

from generation.dossier import Verification
from generation.events import AnswerEvent, ClaimJudged, Finished, SourcesFound, TextAdded
from generation.model import Citation, Claim
from ingest.metadata import as_json, from_json
from retrieval.model import Candidate, Explanation, Fusion, Hit, Passage, Place, Query

Said = TextAdded | ClaimJudged
_BY_HAND = ("hit", "metadata", "modified_at", "bits", "parts", "heading_path")
_OF_END = ("model", "prompt_version", "tier", "confidence")


class DamagedRecordError(ValueError):
    """These bytes are no answer that this release has written."""


@dataclass(frozen=True, slots=True)
class Record:
    """An answer that can be given again. `fusion` and `close` (ids of passages that were read closely) explain its sources;
    `answer_id` is the one that it was first given under."""

    answer_id: str
    passages: tuple[Passage, ...]
    said: tuple[Said, ...]
    model: str
    prompt_version: str | None
    tier: str | None
    confidence: float | None
    verification: Verification
    fusion: Fusion | None = None
    close: frozenset[str] = frozenset()

    @property
    def rests_on(self) -> tuple[tuple[str, int], ...]:
        """Every document that the model was shown, with its version: also one that is not cited had its share."""
        return tuple(sorted({(passage.document_id, passage.version) for passage in self.passages}))

    def explained(self, asked: Query) -> Explanation | None:
        """Where its sources stood when they were found; the rest of that search is not kept."""
        if self.fusion is None:
            return None
        fusion = self.fusion
        hits = [(passage.hit, passage.id in self.close) for passage in self.passages]
        kept = [Candidate(hit, fusion.shares(hit, close=close), "kept", close) for hit, close in hits]
        return Explanation(asked, fusion, tuple(kept), {}, ())


def record_of(events: Sequence[AnswerEvent], end: Finished, search: Explanation | None) -> Record | None:
    """What there is to keep of an answer that may be kept. None for one whose text was taken back in part: it cannot be sent
    to those who get whole sentences alone."""
    sources = [event for event in events if isinstance(event, SourcesFound)]
    said = _joined(events)
    if said is None or len(sources) != 1 or not sources[0].passages or end.verification is None:
        return None
    close = frozenset(c.hit.id for c in search.candidates if c.close) if search else frozenset[str]()
    return Record(
        answer_id=end.answer_id,
        passages=tuple(replace(passage, bits=None, parts=()) for passage in sources[0].passages),
        said=said,
        verification=end.verification,
        fusion=search.fusion if search else None,
        close=close,
        **{name: getattr(end, name) for name in _OF_END},
    )


def encoded(record: Record) -> bytes:
    """As bytes."""
    told = {name: getattr(record, name) for name in ("answer_id", *_OF_END)}
    return orjson.dumps(
        {
            **told,
            "verification": asdict(record.verification),
            "passages": [_told(passage) for passage in record.passages],
            "said": [event.text if isinstance(event, TextAdded) else asdict(event.claim) for event in record.said],
            "fusion": asdict(record.fusion) if record.fusion else None,
            "close": sorted(record.close),
        }
    )


def decoded(body: bytes) -> Record:
    """From bytes. Raises DamagedRecordError."""
    try:
        read = orjson.loads(body)
        return Record(
            passages=tuple(_passage(one) for one in read["passages"]),
            said=tuple(TextAdded(one) if isinstance(one, str) else ClaimJudged(_claim(one)) for one in read["said"]),
            verification=Verification(**read["verification"]),
            fusion=Fusion(**read["fusion"]) if read["fusion"] else None,
            close=frozenset(read["close"]),
            **{name: read[name] for name in ("answer_id", *_OF_END)},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedRecordError("this is no kept answer") from error


def _joined(events: Sequence[AnswerEvent]) -> tuple[Said, ...] | None:
    """Pieces of text between claims as one. None where text was taken back."""
    said: list[Said] = []
    for event in events:
        if isinstance(event, TextAdded) and said and isinstance(said[-1], TextAdded):
            said[-1] = TextAdded(said[-1].text + event.text)
        elif isinstance(event, TextAdded | ClaimJudged):
            said.append(event)
        elif event.type == "retract":
            return None
    return tuple(said)


def _told(passage: Passage) -> dict[str, Any]:
    """Without its token vectors: nobody reads a kept passage closely again."""
    plain = {f.name: getattr(passage, f.name) for f in fields(passage) if f.name not in _BY_HAND}
    places = {arm: [place.rank, place.score] for arm, place in passage.hit.places.items()}
    return {
        **plain,
        "hit": [passage.hit.id, places],
        "metadata": as_json(passage.metadata),
        "modified_at": passage.modified_at.isoformat(),
        "heading_path": passage.heading_path,
    }


def _passage(read: Mapping[str, Any]) -> Passage:
    id_, places = read["hit"]
    parts = {
        "hit": Hit(id_, {arm: Place(*place) for arm, place in places.items()}),
        "metadata": from_json(read["metadata"]),
        "modified_at": datetime.fromisoformat(read["modified_at"]),
        "heading_path": tuple(read["heading_path"]),
    }
    return Passage(**{**read, **parts})


def _claim(read: Mapping[str, Any]) -> Claim:
    return Claim(**{**read, "citations": tuple(Citation(**one) for one in read["citations"])})
