"""What the checks of an answer came to: its claims as they stand in the end, their counts, and one status for the whole."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from generation.model import Claim, DraftEnd, Fault

VerificationStatus = Literal["passed", "partly", "failed", "unchecked"]
_COUNTED = ("supported", "partial", "unsupported", "uncited", "unchecked")


@dataclass(frozen=True, slots=True)
class Verification:
    """Counts of the sentences that assert something. `contradicted` are those of the `unsupported` of which the passages say
    the opposite. `dropped` were left out by the policy, `withdrawn` says for what fault it took the whole answer back, and
    `escalated` why the answer was written once more; `unknown_marks` are citation marks that named no source.

    `passed`: every sentence that stands is supported. `failed`: none of those that were checked is carried even in part, or
    the answer was taken back. `unchecked`: there was nothing to check, or nobody to. `partly`: all else.
    """

    status: VerificationStatus = "unchecked"
    supported: int = 0
    partial: int = 0
    unsupported: int = 0
    uncited: int = 0
    unchecked: int = 0
    contradicted: int = 0
    dropped: int = 0
    withdrawn: Fault | None = None
    escalated: str | None = None
    unknown_marks: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Those that are not 0, by status."""
        names = (*_COUNTED, "contradicted", "dropped")
        return {name: count for name in names if (count := getattr(self, name))}


def verification_of(claims: Iterable[Claim], end: DraftEnd, escalated: str | None = None) -> Verification:
    """Of the claims that stand in the end."""
    asserting = [claim for claim in claims if claim.check_required or claim.citations]
    counts: Counter[str] = Counter(claim.status for claim in asserting)
    return Verification(
        status="failed" if end.withdrawn is not None else _status(counts),
        **{name: counts[name] for name in _COUNTED},
        contradicted=sum(claim.contradicted for claim in asserting),
        dropped=end.dropped,
        withdrawn=end.withdrawn,
        escalated=escalated,
        unknown_marks=end.unknown_marks,
    )


class Standing:
    """The claims as a client has them that follows every event."""

    def __init__(self) -> None:
        self._claims: dict[int, Claim] = {}

    @property
    def claims(self) -> tuple[Claim, ...]:
        """In the order of the text."""
        return tuple(self._claims[index] for index in sorted(self._claims))

    def judged(self, claim: Claim) -> None:
        """A later verdict replaces an earlier one."""
        self._claims[claim.index] = claim

    def retracted(self, start: int, end: int, replaced_by: int) -> None:
        """Text was taken back, `replaced_by` code points came in its place. Claims that touch it are gone."""
        shift = replaced_by - (end - start)
        kept: dict[int, Claim] = {}
        for index, claim in self._claims.items():
            if claim.start >= end:
                kept[index] = replace(claim, start=claim.start + shift, end=claim.end + shift)
            elif claim.end <= start:
                kept[index] = claim
        self._claims = kept


def _status(counts: Counter[str]) -> VerificationStatus:
    checked = counts.total() - counts["unchecked"]
    if not checked:
        return "unchecked"
    if counts["supported"] == counts.total():
        return "passed"
    return "partly" if counts["supported"] or counts["partial"] else "failed"
