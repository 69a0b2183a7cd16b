"""The generator without a model: the sentences that answer, quoted word for word, each with its passage.

A sentence's score is a sum of four parts, fitted once on half of SQuAD 2.0's questions and on CLAP NQ (see `Weights`).
The main part is late interaction (ColBERT, Khattab & Zaharia 2020) between the question's tokens and the sentence's own,
where a question token counts by how much it tells the candidates apart: an inverse document frequency without a word
list, so it needs no language.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from generation.abstention import BAR_WORDS, SHIPPED, Bars, doubt, is_hopeless, sufficiency
from generation.announced import shown_by, with_announced
from generation.dates import asks_for_date, tells_date
from generation.errors import UpstreamUnavailable
from generation.model import Ask, Draft, DraftEnd, DraftSentence, DraftText, Quote
from generation.ports import SentenceScorer
from generation.quotable import Unit, as_markdown, is_source, quotable, typed
from generation.signposts import instructs, is_changelog, is_pointer, is_scenario, leans, linked, marked_up
from retrieval.errors import EmbedderUnavailable
from retrieval.identifiers import identifiers
from retrieval.model import Context, Passage
from retrieval.topics import fits

Floats = NDArray[np.float32]

_WORD = re.compile(r"\w+")
_STEM = 5  # letters; cutting words there does as well as an English stemmer here, and works in more languages
_SAME = 0.8  # share of common words at which two sentences say the same
_A_QUESTION = 4  # words; fewer stand in many a sentence that answers
_NEAREST = 3  # sentences that a declined question is answered with instead
_HOW = re.compile(
    r"\bhow (?:do|does|can|could|should|would|to|is|are)\b|\b(?:code|command|example|snippet)s?\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts of a score beside the sentence's own match (1).

    `passage`, `words`, `heading`, `place`: its passage's match, the words it shares with the question, those that the
    passage's name, title and headings share, and the passage's place; `topic`: a heading that names what is asked about, and
    nothing else. `date` is for a sentence with a date where the
    question asks for one. `example` is for code in prose, which likes to repeat a question without answering it; `shown` is
    for all code where the question asks how. `linked`, `pointer` and `change` are
    for links, and markup, for sentences that say where an answer stands, and for entries of a changelog; `scenario`, as much
    as `example`, for sentences that only picture when one would ask. `least` is the share of the best score that a further
    sentence must reach.
    """

    passage: float = 0.5
    words: float = 0.2
    heading: float = 0.1
    topic: float = 0.1
    place: float = 0.05
    date: float = 0.1
    example: float = -0.1
    shown: float = 0.06
    told: float = 0.06
    leaning: float = -0.06
    linked: float = -0.2
    pointer: float = -0.2
    scenario: float = -0.1
    change: float = -0.1
    least: float = 0.75


WEIGHTS = Weights()


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

    def __init__(
        self,
        scorer: SentenceScorer | None,
        sentences: int = 3,
        abstain_below: float = 0.0,
        bars: Callable[[], Bars] = lambda: SHIPPED,
    ) -> None:
        """At most `sentences` are quoted; `bars` are those of the embedder that is live, and an `abstain_below` that is not
        0 stands in for the one of answers."""
        self._scorer = scorer
        self._sentences = sentences
        self._abstain_below = abstain_below
        self._bars = bars

    async def draft(self, ask: Ask, context: Context) -> AsyncIterator[Draft]:
        """Best sentence first. Below the bar nothing but a DraftEnd with the nearest sentences. Raises UpstreamUnavailable
        for an answer that is to be data: sentences that are quoted are none."""
        if ask.response_format is not None:
            raise UpstreamUnavailable(
                "No chat model can be asked, and only those write answers with a response_format."
            )
        asked = ask.standalone or ask.question
        bars = self._bars()
        scored = await self._scored(asked, context, bars.answer)
        if scored.confidence < (self._abstain_below or scored.bar):
            yield _declined(scored, hopeless=is_hopeless(context, bars))
            return
        before = None
        for unit in _chosen(scored, self._sentences, asked, context):
            yield DraftText(_separator(before, unit) + as_markdown(unit, context.passages[unit.n - 1]))
            yield DraftSentence(unit.text, cited=(unit.n,), quotes=(_quote(unit),))
            before = unit
        yield DraftEnd(confidence=scored.confidence)

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    async def _scored(self, question: str, context: Context, bar: float) -> _Scored:
        """In steps of about a millisecond: between them others get their turn on the loop."""
        every = _evidence(question, context)
        await asyncio.sleep(0)
        units = [unit for unit in every if not _repeats(question, unit.text)] or every
        heads = [" ".join((passage.title, *passage.heading_path)) for passage in context.passages]
        taken = doubt(question, [f"{heads[unit.n - 1]}\n{unit.text}" for unit in every])
        await asyncio.sleep(0)
        texts = [unit.text for unit in units]
        words = _shared_words(question, texts)
        place = _places(question, units, context) + _dates(question, units)
        matches = await self._matches(context, units)
        if matches is None:
            return _Scored(units, words + place, _sure(float(words.max(initial=0.0)) - taken), BAR_WORDS)
        scores = _token_scores(matches, [unit.n for unit in units]) + WEIGHTS.words * words + place
        if _is_named(question, texts):
            return _Scored(units, scores, 1.0, bar)
        return _Scored(units, scores, _sure(sufficiency(question, texts, matches.mean(axis=1)) - taken), bar)

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


def _evidence(question: str, context: Context) -> list[Unit]:
    """What may be quoted. That something was added or mended once, in a line of a changelog, tells nobody how to do it."""
    every = [unit for n, passage in enumerate(context.passages, 1) for unit in quotable(n, passage)]
    if _HOW.search(question) is None:
        return every
    changes = {n for n, passage in enumerate(context.passages, 1) if is_changelog(passage)}
    return [unit for unit in every if not (unit.kind == "item" and unit.n in changes)] or every


def _repeats(question: str, text: str) -> bool:
    """Whether the text says the question itself: an example of asking it, or a heading, comes nearer than any answer."""
    asked = _WORD.findall(question.casefold())
    return len(asked) >= _A_QUESTION and " ".join(asked) in " ".join(_WORD.findall(text.casefold()))


def _is_named(question: str, texts: Sequence[str]) -> bool:
    """Whether the question is an identifier and nothing else, such as an error code, and a text has it as it is. A lone
    identifier is near to no sentence, however much that tells of it."""
    asked = question.split()
    wanted = next(identifiers(asked[0]), None) if len(asked) == 1 else None
    return wanted is not None and any(wanted in identifiers(text) for text in texts)


def _sure(confidence: float) -> float:
    return min(max(confidence, 0.0), 1.0)


def _declined(scored: _Scored, *, hopeless: bool) -> DraftEnd:
    order = np.argsort(-scored.scores, kind="stable")[:_NEAREST]
    return DraftEnd(
        abstained="below_threshold" if hopeless else "no_supported_sentence",
        confidence=scored.confidence,
        nearest=tuple(_quote(scored.units[i]) for i in order),
    )


def _places(question: str, units: Sequence[Unit], context: Context) -> Floats:
    """What a unit's place and form add to its score, whatever it says."""
    heading = _shared_words(question, [unit.text for unit in units], [_names_of(p) for p in context.passages])
    fit = [fits(question, passage.heading_path) for passage in context.passages]
    asks_how = _HOW.search(question) is not None
    added = [
        WEIGHTS.place / unit.n
        + WEIGHTS.heading * heading[unit.n - 1]
        + WEIGHTS.topic * fit[unit.n - 1]
        + _form(unit, context.passages[unit.n - 1], asks_how)
        for unit in units
    ]
    return np.array(added, dtype=np.float32)


def _names_of(passage: Passage) -> str:
    return " ".join((passage.name, passage.title, *passage.heading_path))


def _form(unit: Unit, passage: Passage, asks_how: bool) -> float:
    change = WEIGHTS.change * is_changelog(passage)
    if unit.kind == "code":
        return change + WEIGHTS.shown * asks_how + WEIGHTS.example * (not is_source(passage))
    marks = WEIGHTS.linked * max(linked(unit.text), marked_up(unit.text))
    told = asks_how * (WEIGHTS.told * instructs(unit.text) + WEIGHTS.leaning * leans(unit.text))
    return change + told + marks + WEIGHTS.pointer * is_pointer(unit.text) + WEIGHTS.scenario * is_scenario(unit.text)


def _dates(question: str, units: Sequence[Unit]) -> Floats:
    if not asks_for_date(question):
        return np.zeros(len(units), dtype=np.float32)
    return np.array([WEIGHTS.date * tells_date(unit.text, question) for unit in units], dtype=np.float32)


def _token_scores(matches: Floats, numbers: Sequence[int]) -> Floats:
    """The sentence's match, tokens weighted by how far the best candidate stands out, and half its passage's match."""
    weights = matches.max(axis=0) - matches.mean(axis=0) + 1e-6
    own = matches @ (weights / weights.sum())
    number = np.array(numbers)
    passage = {n: float(matches[number == n].max(axis=0).mean()) for n in set(numbers)}
    whole = np.array([passage[n] for n in numbers], dtype=np.float32)
    return np.asarray(own + WEIGHTS.passage * whole, dtype=np.float32)


def _shared_words(question: str, texts: Sequence[str], of: Sequence[str] | None = None) -> Floats:
    """Share of the question's words in each text, each word weighted by its BM25 idf among the texts; within [0, 1].
    With `of` the shares are of those, and the idf is still of the texts."""
    asked = _stems(question)
    said = [_stems(text) for text in texts]
    holders = {word: sum(word in words for words in said) for word in asked}
    idf = {word: math.log(1 + (len(said) - n + 0.5) / (n + 0.5)) for word, n in holders.items()}
    total = sum(idf.values()) or 1.0
    held = said if of is None else [_stems(text) for text in of]
    return np.array([sum(idf[word] for word in asked & words) / total for words in held], dtype=np.float32)


@lru_cache(maxsize=2048)  # each sentence is asked for several times in an answer
def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in _WORD.findall(text.casefold()))


def _chosen(scored: _Scored, limit: int, asked: str, context: Context) -> list[Unit]:
    """The best units, best first, none twice, each with what it announces."""
    order = [int(i) for i in np.argsort(-scored.scores, kind="stable")]
    least = WEIGHTS.least * float(scored.scores[order[0]])
    shows = _HOW.search(asked) is not None
    chosen: list[Unit] = []
    for i in order:
        if scored.scores[i] < least or len(chosen) >= limit:
            break
        text = context.passages[scored.units[i].n - 1].text
        brought = with_announced(scored.units, i, text, shows=shows)
        if shows and len(brought) == 1 and brought[0].is_prose:
            brought += shown_by(brought[0], context.passages)[:1]
        if brought[0].text.endswith(":") and 0 < len(chosen) <= limit < len(chosen) + len(brought):
            continue  # what it announces would be cut off
        for unit in brought:
            chosen = _with(chosen, unit)
    chosen = _mixed(chosen[:limit], [scored.units[i] for i in order if scored.scores[i] >= least])
    return [typed(unit) for unit in chosen]


def _with(chosen: list[Unit], unit: Unit) -> list[Unit]:
    """Nothing is said twice: a list takes the place of items of its own that were chosen before it."""
    if _is_said(unit, chosen) or any(_holds(other, unit) for other in chosen):
        return chosen
    return [*(other for other in chosen if not _holds(unit, other)), unit]


def _mixed(chosen: list[Unit], candidates: Sequence[Unit]) -> list[Unit]:
    """Code alone leaves open what it does: one of several pieces makes way for the best sentence."""
    if len(chosen) < 2 or any(unit.kind != "code" for unit in chosen):
        return chosen
    prose = next((unit for unit in candidates if unit.kind != "code"), None)
    return chosen if prose is None else [*chosen[:-1], prose]


def _holds(outer: Unit, inner: Unit) -> bool:
    return outer.n == inner.n and outer.start <= inner.start and inner.end <= outer.end


def _is_said(unit: Unit, chosen: Sequence[Unit]) -> bool:
    return any(_same(unit, other) for other in chosen)


def _same(unit: Unit, other: Unit) -> bool:
    """Whether two units share nearly all their words. Of code it is enough that the shorter has nothing of its own: a
    variant of an example shows no second thing."""
    words, said = _stems(unit.text), _stems(other.text)
    both = unit.kind == other.kind == "code"
    return len(words & said) >= _SAME * (min(len(words), len(said)) if both else len(words | said))


def _separator(before: Unit | None, unit: Unit) -> str:
    if before is None:
        return ""
    runs_on = (
        before.is_prose and unit.is_prose and not before.text.endswith(":")
    )  # else it would seem to announce this one
    return " " if runs_on else "\n\n"


def _quote(unit: Unit) -> Quote:
    return Quote(unit.n, unit.start, unit.end)
