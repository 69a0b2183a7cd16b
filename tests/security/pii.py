"""Recall and precision of the output filter on items that are made, valid and nearly so, at every cut of the stream."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from generation.filters.hold_back import HoldBack
from generation.filters.pii import KINDS, PiiScanner, items
from tests.security.made_pii import FRAMES, MADE

ASKED_RECALL, ASKED_PRECISION = 0.995, 0.99
_MASK_ALL = dict.fromkeys(KINDS, "mask")


@dataclass
class Count:
    """Of one kind. `unlike` holds texts of which a cut stream made something else than the whole."""

    valid: int = 0
    found: int = 0
    missed: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)
    cuts: int = 0

    @property
    def recall(self) -> float:
        return self.found / self.valid

    @property
    def precision(self) -> float:
        return self.found / max(self.found + len(self.alarms), 1)


def recall_and_precision(n: int, seed: int) -> dict[str, Count]:
    """`n` valid items and as many near misses, over all kinds."""
    draw = Random(seed)
    counts = {kind: Count() for kind in MADE}
    for nth in range(n):
        kind = list(MADE)[nth % len(MADE)]
        valid, near = (make(draw) for make in MADE[kind])
        frame = draw.choice(FRAMES)
        _look(counts[kind], kind, frame.format(valid), valid)
        text = frame.format(near)
        if any(item.kind == kind for item in _over(text, near)):
            counts[kind].alarms.append(text)
    return counts


def _look(count: Count, kind: str, text: str, made: str) -> None:
    count.valid += 1
    digits = _rest(made)
    found = any(item.kind == kind and _covers(text, item.start, item.end, digits, kind) for item in _over(text, made))
    count.found += found
    if not found:
        count.missed.append(text)
    whole = _masked(text, len(text))
    for cut in range(len(text)):
        count.cuts += 1
        if _masked(text, cut) != whole:
            count.unlike.append(f"{cut}: {text}")
            return


def _covers(text: str, start: int, end: int, made: str, kind: str) -> bool:
    """Whether all of it is found; a secret may go on, and what stands around a number may be words."""
    begin = text.index(made)
    return start <= begin and (end >= begin + len(made) or kind == "secret")


def _rest(made: str) -> str:
    """The item without the words that say what it is."""
    for word in ("Phone:", "Tel.", "call me on", "fax:", "reach us at", "my number is"):
        made = made.removeprefix(word).strip()
    for word in (" office", " fax", " mobile"):
        made = made.removesuffix(word)
    return made


def _over(text: str, made: str) -> Iterator[Any]:
    start = text.index(made)
    return (item for item in items(text) if item.start < start + len(made) and start < item.end)


def _masked(text: str, cut: int) -> str:
    stream = HoldBack(PiiScanner(_MASK_ALL))  # type: ignore[arg-type]
    return stream.feed(text[:cut]) + stream.feed(text[cut:], final=True)


def sweep(n: int, seed: int) -> dict[str, Any]:
    """Numbers by kind, and what was wrong."""
    counts = recall_and_precision(n, seed)
    wrong = [
        f"{kind}: recall {c.recall:.4f}, as in {c.missed[:1]}" for kind, c in counts.items() if c.recall < ASKED_RECALL
    ]
    wrong += [
        f"{kind}: precision {c.precision:.4f}, as in {c.alarms[:1]}"
        for kind, c in counts.items()
        if c.precision < ASKED_PRECISION
    ]
    wrong += [f"{kind}: {c.unlike[:1]} depends on the cut" for kind, c in counts.items() if c.unlike]
    return {
        "items": sum(c.valid for c in counts.values()),
        "near_misses": sum(c.valid for c in counts.values()),
        "cuts": sum(c.cuts for c in counts.values()),
        "types": {k: {"recall": round(c.recall, 4), "precision": round(c.precision, 4)} for k, c in counts.items()},
        "wrong": wrong,
    }
