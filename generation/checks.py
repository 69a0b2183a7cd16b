"""From a finished sentence to its claim: who judges it, which spans it cites, and whether the passages say the opposite.

A citation quotes the spans that the verifier's alignment found to carry the sentence; where it found none, the sentence of
the cited passage that has most words in common. A sentence that names no passage gets a citation only where one passage alone
clearly carries it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from generation.bars import ATTRIBUTED_FROM, CONTRADICTED_FROM
from generation.model import Citation, Claim, ClaimStatus, DraftSentence, Quote
from generation.ports import UNCHECKED, Judged, Verifier
from generation.verify import carrying_words, place
from retrieval.model import Context

LEAST_WORDS = 3  # that carry meaning; "That is all." stands in many a passage, and is carried by none


@dataclass(frozen=True, slots=True)
class Checks:
    """`verifier` judges sentences that name passages. `attributor`, which costs nothing, looks for the passage of one that
    names none; the probability that it carries it must reach `attributed_from`. From the probability `contradicted_from` on
    a sentence that is not supported counts as contradicted."""

    verifier: Verifier
    attributor: Verifier | None = None
    attributed_from: float = ATTRIBUTED_FROM
    contradicted_from: float = CONTRADICTED_FROM


async def claim_of(sentence: DraftSentence, index: int, start: int, context: Context, checks: Checks) -> Claim:
    """The claim of a sentence that begins at `start` of the answer."""
    judged, quotes = await _judged(sentence, context, checks)
    citations = cite(quotes, context)
    contradicted = bool(citations) and _is_contradicted(judged, checks)
    status: ClaimStatus = "unchecked"
    if contradicted:
        status = "unsupported"  # a passage that says the opposite carries no part of it
    elif citations:
        status = judged.verdict
    elif sentence.check_required:
        status = "uncited"
    return Claim(
        index,
        start,
        start + len(sentence.text),
        sentence.text,
        status,
        judged.score if citations else None,
        citations,
        sentence.check_required,
        judged.contradiction if citations else None,
        contradicted,
    )


def cite(quotes: Iterable[Quote], context: Context) -> tuple[Citation, ...]:
    """Citations in document offsets, each quote once. A quote that is not a span of its passage is no citation."""
    citations: list[Citation] = []
    for quote in dict.fromkeys(quotes):
        if not 1 <= quote.n <= len(context.passages):
            continue
        passage = context.passages[quote.n - 1]
        if 0 <= quote.start < quote.end <= len(passage.text):
            start, end = passage.start + quote.start, passage.start + quote.end
            citations.append(Citation(passage.id, start, end, passage.text[quote.start : quote.end], passage.page))
    return tuple(citations)


async def _judged(sentence: DraftSentence, context: Context, checks: Checks) -> tuple[Judged, tuple[Quote, ...]]:
    """The verdict, and the spans to cite."""
    if not sentence.cited and not sentence.quotes:
        return await _attributed(sentence, context, checks) if sentence.check_required else (UNCHECKED, ())
    quotes = sentence.quotes or place(sentence.text, sentence.cited, context)
    # A sentence without a word of what it cites is not worth a model's call.
    verifier = checks.verifier if quotes else checks.attributor
    if verifier is None:
        return UNCHECKED, ()
    judged = await verifier.judge(sentence, context)
    return judged, sentence.quotes or _spans(judged, sentence.cited, quotes)


def _spans(judged: Judged, cited: Iterable[int], placed: tuple[Quote, ...]) -> tuple[Quote, ...]:
    """For each passage that is cited what carries the sentence, else what comes nearest."""
    evidence = judged.evidence if judged.verdict in ("supported", "partial") else ()
    spans: list[Quote] = []
    for n in dict.fromkeys(cited):
        own = [quote for quote in evidence if quote.n == n]
        spans += own or [quote for quote in placed if quote.n == n]
    return tuple(spans)


async def _attributed(sentence: DraftSentence, context: Context, checks: Checks) -> tuple[Judged, tuple[Quote, ...]]:
    """The one passage that clearly carries a sentence which names none. All are looked at for where its best evidence
    stands; that passage alone must then reach the bar, since two passages together may say what neither does."""
    if checks.attributor is None or len(carrying_words(sentence.text)) < LEAST_WORDS:
        return UNCHECKED, ()
    every = tuple(range(1, len(context.passages) + 1))
    for _ in range(2):
        judged = await checks.attributor.judge(replace(sentence, cited=every), context)
        if not judged.evidence or judged.verdict != "supported" or (judged.score or 0.0) < checks.attributed_from:
            return UNCHECKED, ()
        if every == (judged.evidence[0].n,):
            break
        every = (judged.evidence[0].n,)
    return judged, judged.evidence


def _is_contradicted(judged: Judged, checks: Checks) -> bool:
    against = judged.contradiction
    return judged.verdict in ("partial", "unsupported") and against is not None and against >= checks.contradicted_from
