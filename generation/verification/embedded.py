"""The verifier that needs no second model: the sentence is encoded once, and held against the stored token vectors of the
passages that it cites."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from generation.model import DraftSentence, Quote
from generation.ports import UNCHECKED, Judged, SentenceReader, SentenceScorer, Verdict
from generation.verification.evidence import headings, statements
from generation.verification.features import Reading, measured
from generation.verification.judgement import Judge, packaged
from generation.verify import find_verbatim
from retrieval.errors import EmbedderUnavailable
from retrieval.model import Context, Passage

_LONGEST = 2000  # characters; what is longer is no sentence


@dataclass(frozen=True, slots=True)
class Judgement:
    """`support` is the probability that the passages carry the sentence, `contradiction` the probability that they say the
    opposite rather than the same; `evidence` are the spans that carry it, the best first."""

    verdict: Verdict
    support: float
    contradiction: float
    evidence: tuple[Quote, ...]


class EmbeddedVerifier:
    """The verifier port by features. Without token vectors words alone decide, and that is counted in the probability."""

    name = "embedded"

    def __init__(self, reader: SentenceReader, scorer: SentenceScorer, judge: Judge | None = None) -> None:
        self._reader = reader
        self._scorer = scorer
        self._judge = judge or packaged()

    async def judge(self, sentence: DraftSentence, context: Context) -> Judged:
        """See ports.Verifier. Only the passages that are cited, or quoted, are looked at."""
        numbers = dict.fromkeys((*sentence.cited, *(quote.n for quote in sentence.quotes)))
        cited = [(n, context.passages[n - 1]) for n in numbers if 1 <= n <= len(context.passages)]
        found = await self.examined(sentence.text, cited)
        return UNCHECKED if found is None else Judged(found.verdict, found.support, found.contradiction, found.evidence)

    async def examined(self, text: str, cited: Sequence[tuple[int, Passage]]) -> Judgement | None:
        """None where nothing can be told: without passages, or of what is no sentence. What stands there word for word is
        supported for certain."""
        if not cited or not any(c.isalnum() for c in text):
            return None
        for n, passage in cited:
            if (span := find_verbatim(text, passage.text)) is not None:
                return Judgement("supported", 1.0, 0.0, (Quote(n, *span),))
        if len(text) > _LONGEST:
            return None
        reading = await asyncio.to_thread(_read, cited)
        if not reading.statements:
            return None
        return await asyncio.to_thread(self._judged, text, await self._matched(text, cited, reading))

    async def _matched(self, text: str, cited: Sequence[tuple[int, Passage]], reading: Reading) -> Reading:
        """With the token vectors' part, where they can be had."""
        try:
            read = await self._reader.read(text)
            if not len(read.query.tokens) or len(read.query.tokens) != len(read.spans):
                return reading
            spans = [reading.spans_of(n) for n, _ in cited]
            found = await self._scorer.matches(read.query, [passage for _, passage in cited], spans)
        except EmbedderUnavailable:
            return reading
        return reading.with_matches(found, read.spans)

    def _judged(self, text: str, reading: Reading) -> Judgement:
        found = measured(text, reading)
        support = self._judge.support(found.features)
        evidence = tuple(Quote(statement.n, statement.start, statement.end) for statement in found.evidence)
        return Judgement(self._judge.verdict(support), support, self._judge.contradiction(found.features), evidence)


def _read(cited: Sequence[tuple[int, Passage]]) -> Reading:
    return Reading(tuple(statements(cited)), headings([passage for _, passage in cited]))
