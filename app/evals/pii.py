"""`grounded eval pii`: what the output filter finds of labelled personal data, kind by kind, whatever the settings do with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.commands.output import emit_json
from app.evals.rows import BadEvalData, read_rows
from generation.filters.pii import PiiKind, items

# What data sets call the kinds; the rest of a name, as in US_SSN or CREDIT_CARD_NUMBER, is read by its words.
_WORDS: tuple[tuple[PiiKind, tuple[str, ...]], ...] = (
    ("url_credentials", ("URL_CREDENTIALS", "URL_WITH_CREDENTIALS", "CONNECTION_STRING", "URL_PASSWORD", "BASIC_AUTH")),
    ("iban", ("IBAN",)),
    ("us_ssn", ("SSN", "SOCIAL_SECURITY")),
    ("email", ("EMAIL", "E_MAIL")),
    ("phone", ("PHONE", "TELEPHONE", "MOBILE")),
    ("ip_address", ("IP_ADDRESS", "IPV4", "IPV6", "IP")),
    ("secret", ("KEY", "TOKEN", "SECRET", "JWT", "AWS", "GITHUB", "OPENAI")),
    ("credit_card", ("CARD", "CREDIT_CARD", "PAN")),
)


@dataclass(slots=True)
class _Count:
    labelled: int = 0
    recalled: int = 0
    found: int = 0
    right: int = 0

    def told(self) -> dict[str, Any]:
        return {
            "n": self.labelled,
            "precision": round(self.right / self.found, 4) if self.found else None,
            "recall": round(self.recalled / self.labelled, 4) if self.labelled else None,
        }


@dataclass(slots=True)
class _Tally:
    kinds: dict[str, _Count] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)  # that the data has for a kind
    unmapped: set[str] = field(default_factory=set)


def kind_of(label: str) -> PiiKind | None:
    """The kind that a data set's label means, if we look for such a thing."""
    name = f"_{label.upper().replace('-', '_').replace(' ', '_')}_"
    return next((kind for kind, words in _WORDS if any(f"_{word}_" in name for word in words)), None)


async def pii(file: Path, limit: int | None) -> int:
    """Print one JSON document. A label is recalled where something of its kind covers it whole; what is found is right where
    it lies on a label of its kind. Labels of one kind are reported under each name that the data gives them."""
    rows = read_rows(file, text=str, spans=list)[:limit]
    tally = _Tally()
    for row in rows:
        _count(row["text"], _spans(row["spans"], file), tally)
    types = {
        name: count.told()
        for kind, count in sorted(tally.kinds.items())
        for name in sorted(tally.names.get(kind, {kind}))
    }
    emit_json({"n": len(rows), "types": types, "unmapped": sorted(tally.unmapped)})
    return 0


def _spans(spans: Sequence[Any], file: Path) -> list[tuple[str, int, int]]:
    try:
        return [(str(span["type"]), int(span["start"]), int(span["end"])) for span in spans]
    except (KeyError, TypeError, ValueError) as error:
        raise BadEvalData(f"{file.name}: a span needs type, start and end.") from error


def _count(text: str, spans: Sequence[tuple[str, int, int]], tally: _Tally) -> None:
    found = items(text)
    labelled: dict[str, list[tuple[int, int]]] = {}
    for name, start, end in spans:
        kind = kind_of(name)
        if kind is None:
            tally.unmapped.add(name)
            continue
        tally.names.setdefault(kind, set()).add(name)
        labelled.setdefault(kind, []).append((start, end))
        count = tally.kinds.setdefault(kind, _Count())
        count.labelled += 1
        count.recalled += any(item.kind == kind and item.start <= start and end <= item.end for item in found)
    for item in found:
        count = tally.kinds.setdefault(item.kind, _Count())
        count.found += 1
        count.right += any(start < item.end and item.start < end for start, end in labelled.get(item.kind, ()))
