"""The generator without a model: the sentences that answer, quoted word for word, each with its passage.

A sentence's score is a sum of four parts, fitted once on half of SQuAD 2.0's questions and on CLAP NQ (see `Weights`).
The main part is late interaction (ColBERT, Khattab & Zaharia 2020) between the question's tokens and the sentence's own,
where a question token counts by how much it tells the candidates apart: an inverse document frequency without a word
list, so it needs no language.
"""

import math
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from generation.model import Ask, Draft, DraftEnd, DraftSentence, DraftText, Quote
from generation.ports import SentenceScorer
from generation.quotable import Unit, is_source, quotable
from retrieval.errors import EmbedderUnavailable
from retrieval.model import Context

Floats = NDArray[np.float32]

_WORD = re.compile(r"\w+")
_LINK = re.compile(r"\[[^\[\]\n]{0,400}\]\([^()\s]{0,400}\)|https?://\S{1,400}")
_STEM = 5  # letters; cutting words there does as well as an English stemmer here, and works in more languages
_SAME = 0.8  # share of common words at which two sentences say the same
_A_QUESTION = 4  # words; fewer stand in many a sentence that answers
_NEAREST = 3  # sentences that a declined question is answered with instead


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts of a score beside the sentence's own match (1): its passage's match, the words it shares with the
    question, and its passage's place; `example` is for code in prose, which likes to repeat a question without answering
    it; `pointer` is for a sentence of nothing but links, which says where an answer stands and not what it is. `least` is
    the share of the best score that a further sentence must reach."""

    passage: float = 0.5
    words: float = 0.2
    place: float = 0.05
    example: float = -0.1
    pointer: float = -0.2
    least: float = 0.75


WEIGHTS = Weights()

# The confidence is the best mean match of a single sentence. At this bar 2 % of SQuAD 2.0's and of CLAP NQ's answerable
# questions are declined; of SQuAD's questions put to Cranfield's abstracts 96 %, put to CLAP NQ's passages, which tell of
# some of the same things, 82 %; of 20 everyday questions put to this product's manual or to FastAPI's all. A bar of 0.395
# declines 5 % and 90 %, at the cost of two right answers in a hundred. Near misses get through: AUROC of answerable against
# unanswerable is .88 on CLAP NQ, .59 on SQuAD 2.0, whose unanswerable questions are written to look answerable.
BAR_MATCH = 0.37

# Without token vectors: the best sentence's share of the question's words. At this bar under 1 % of answerable questions
# are declined, and only one in ten off-topic ones: words alone cannot tell, so this declines what shares next to nothing.
BAR_WORDS = 0.15


@dataclass(frozen=True, slots=True)
class _Scored:
    """Units with their scores, and how sure we are that one of them answers. `bar` is on the confidence's scale."""

    units: list[Unit]
    scores: Floats
    confidence: float
    bar: float


class ExtractiveGenerator:
    """The generator port by quoting. Costs no model call where the context carries token vectors.

    Without the question's vectors, or when they cannot be had, words alone decide: worse, but an answer.
    """

    name = "extractive"
    prompt_version = None

    def __init__(self, scorer: SentenceScorer | None, sentences: int = 3, abstain_below: float = 0.0) -> None:
        """At most `sentences` are quoted; `abstain_below` 0 is the built-in bar."""
        self._scorer = scorer
        self._sentences = sentences
        self._abstain_below = abstain_below

    async def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
        """Best sentence first. Below the bar nothing but a DraftEnd with the nearest sentences."""
        scored = await self._scored(ask.question, context)
        order = [scored.units[i] for i in np.argsort(-scored.scores, kind="stable")]
        if scored.confidence < (self._abstain_below or scored.bar):
            nearest = tuple(_quote(unit) for unit in order[:_NEAREST])
            yield DraftEnd(abstained="no_supported_sentence", confidence=scored.confidence, nearest=nearest)
            return
        before = None
        for unit in _chosen(scored, self._sentences):
            yield DraftText(_separator(before, unit) + unit.text)
            yield DraftSentence(unit.text, cited=(unit.n,), quotes=(_quote(unit),))
            before = unit
        yield DraftEnd(confidence=scored.confidence)

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    async def _scored(self, question: str, context: Context) -> _Scored:
        every = [unit for n, passage in enumerate(context.passages, 1) for unit in quotable(n, passage)]
        units = [unit for unit in every if not _repeats(question, unit.text)] or every
        words = _shared_words(question, [unit.text for unit in units])
        matches = await self._matches(context, units)
        place = np.array([_place(unit, context) for unit in units], dtype=np.float32)
        if matches is None:
            return _Scored(units, words + place, float(words.max(initial=0.0)), BAR_WORDS)
        scores = _token_scores(matches, [unit.n for unit in units]) + WEIGHTS.words * words + place
        confidence = min(max(float(matches.mean(axis=1).max()), 0.0), 1.0)
        return _Scored(units, scores, confidence, BAR_MATCH)

    async def _matches(self, context: Context, units: Sequence[Unit]) -> Floats | None:
        """Shape (units, t); None where token vectors cannot be had."""
        if self._scorer is None or context.query is None or not len(context.query.tokens) or not units:
            return None
        by_number = {n: [(unit.start, unit.end) for unit in group] for n, group in groupby(units, key=lambda u: u.n)}
        spans = [by_number.get(n, []) for n in range(1, len(context.passages) + 1)]
        try:
            return np.concatenate(await self._scorer.matches(context.query, context.passages, spans))
        except EmbedderUnavailable:
            return None


def _repeats(question: str, text: str) -> bool:
    """Whether the text says the question itself: an example of asking it, or a heading, comes nearer than any answer."""
    asked = _WORD.findall(question.casefold())
    return len(asked) >= _A_QUESTION and " ".join(asked) in " ".join(_WORD.findall(text.casefold()))


def _place(unit: Unit, context: Context) -> float:
    example = unit.kind == "code" and not is_source(context.passages[unit.n - 1])
    linked = sum(len(link) for link in _LINK.findall(unit.text)) / len(unit.text)
    return WEIGHTS.place / unit.n + (WEIGHTS.example if example else 0.0) + WEIGHTS.pointer * linked


def _token_scores(matches: Floats, numbers: Sequence[int]) -> Floats:
    """The sentence's match, tokens weighted by how far the best candidate stands out, and half its passage's match."""
    weights = matches.max(axis=0) - matches.mean(axis=0) + 1e-6
    own = matches @ (weights / weights.sum())
    number = np.array(numbers)
    passage = {n: float(matches[number == n].max(axis=0).mean()) for n in set(numbers)}
    whole = np.array([passage[n] for n in numbers], dtype=np.float32)
    return np.asarray(own + WEIGHTS.passage * whole, dtype=np.float32)


def _shared_words(question: str, texts: Sequence[str]) -> Floats:
    """Share of the question's words in each text, each word weighted by its BM25 idf among the texts; within [0, 1]."""
    asked = _stems(question)
    said = [_stems(text) for text in texts]
    holders = {word: sum(word in words for words in said) for word in asked}
    idf = {word: math.log(1 + (len(said) - n + 0.5) / (n + 0.5)) for word, n in holders.items()}
    total = sum(idf.values()) or 1.0
    return np.array([sum(idf[word] for word in asked & words) / total for words in said], dtype=np.float32)


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in _WORD.findall(text.casefold()))


def _chosen(scored: _Scored, limit: int) -> list[Unit]:
    """The best units, best first, none twice. A sentence that ends in a colon brings along what it announces."""
    order = [int(i) for i in np.argsort(-scored.scores, kind="stable")]
    least = WEIGHTS.least * float(scored.scores[order[0]])
    chosen: list[Unit] = []
    for i in order:
        if scored.scores[i] < least or len(chosen) >= limit:
            break
        chosen += [unit for unit in _with_announced(scored.units, i) if not _is_said(unit, chosen)]
    return chosen[:limit]


def _with_announced(units: Sequence[Unit], i: int) -> list[Unit]:
    """A sentence such as "Run this:" says nothing without what follows it."""
    unit = units[i]
    following = [other for other in units[i + 1 : i + 2] if other.n == unit.n and unit.text.endswith(":")]
    return [unit, *following]


def _is_said(unit: Unit, chosen: Sequence[Unit]) -> bool:
    words = _stems(unit.text)
    return any(len(words & (said := _stems(other.text))) >= _SAME * len(words | said) for other in chosen)


def _separator(before: Unit | None, unit: Unit) -> str:
    if before is None:
        return ""
    return " " if before.is_prose and unit.is_prose else "\n\n"


def _quote(unit: Unit) -> Quote:
    return Quote(unit.n, unit.start, unit.end)
