"""Questions put to the pipeline that serves, and what the answers are worth.

`contains_gold`: a gold answer stands in the answer, after folding; `first_two` looks at its first two sentences alone.
`auroc` is of the generator's confidence over answerable against unanswerable questions.
"""

import random
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from app.evals.corpus import Corpus, progress
from app.evals.scores import auroc, holds, mean, percentiles
from app.pipeline import Question
from generation.events import ClaimJudged, Finished, SourcesFound, TextAdded
from generation.model import Citation, Claim
from retrieval.model import Passage

Row = Mapping[str, Any]

_NO_CONFIDENCE = float("-inf")  # nothing was found, so nothing was surer
_WARM_UP = 5  # questions that are asked before the clock runs
_WARMS_UP = "extractive"  # the tier that takes no money for it
_TOLD = 250  # questions between two lines of progress


@dataclass(slots=True)
class Outcome:
    """What came back for one question."""

    text: str = ""
    claims: list[Claim] = field(default_factory=list)
    sources: dict[str, Passage] = field(default_factory=dict)  # by source id, best first
    done: Finished | None = None

    @property
    def answered(self) -> bool:
        return self.done is not None and self.done.finish_reason in ("stop", "length")

    @property
    def confidence(self) -> float:
        found = self.done.confidence if self.done else None
        return _NO_CONFIDENCE if found is None else found

    @property
    def citations(self) -> list[Citation]:
        """In the order of the answer."""
        return [citation for claim in self.claims for citation in claim.citations]


def drawn(questions: list[dict[str, Any]], limit: int | None, seed: int) -> list[dict[str, Any]]:
    """At most `limit` of the questions, drawn with the seed."""
    if limit is None:
        return questions
    return random.Random(seed).sample(questions, min(limit, len(questions)))  # noqa: S311  a sample, no secret


async def ask_all(corpus: Corpus, questions: Sequence[Row], tier: str | None = None) -> list[Outcome]:
    """The outcomes in order, asked one by one in a warm process; by `tier`, or as routed."""
    for row in questions[:_WARM_UP]:
        await ask(corpus, row["question"], _WARMS_UP)
    outcomes = []
    for number, row in enumerate(questions, start=1):
        outcomes.append(await ask(corpus, row["question"], tier))
        if number % _TOLD == 0:
            progress(f"{number} of {len(questions)} questions")
    return outcomes


async def ask(corpus: Corpus, question: str, tier: str | None = None) -> Outcome:
    """One question's outcome."""
    outcome = Outcome()
    asked = Question(question, corpus.scope.collection, tier=tier)
    async with aclosing(corpus.grounded.pipeline.ask(asked)) as events:
        async for event in events:
            match event:
                case SourcesFound():
                    outcome.sources = {passage.id: passage for passage in event.passages}
                case TextAdded():
                    outcome.text += event.text
                case ClaimJudged():
                    outcome.claims.append(event.claim)
                case Finished():
                    outcome.done = event
                case _:
                    pass
    return outcome


async def report(corpus: Corpus, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of section *Numbers* of the manual."""
    pairs = list(zip(rows, outcomes, strict=True))
    answerable = [(row, outcome) for row, outcome in pairs if row["answerable"]]
    others = [outcome for row, outcome in pairs if not row["answerable"]]
    return {
        "n": len(rows),
        "answerable": _answerable(answerable),
        "unanswerable": {"n": len(others), "abstained": mean([not outcome.answered for outcome in others])},
        "auroc": auroc([o.confidence for _, o in answerable], [o.confidence for o in others]),
        "citation": await _citations(corpus, answerable),
        "latency_ms": percentiles([o.done.timings_ms["total"] for o in outcomes if o.done]),
        "generator": corpus.grounded.router.name,
    }


def _answerable(pairs: Sequence[tuple[Row, Outcome]]) -> dict[str, Any]:
    golden = [(row["gold_sentences"], o) for row, o in pairs if row.get("gold_sentences")]
    return {
        "n": len(pairs),
        "answered": mean([outcome.answered for _, outcome in pairs]),
        "contains_gold": mean([_contains(outcome.text, row["answers"]) for row, outcome in pairs]),
        "contains_gold_first_two": mean([_contains(_first(outcome, 2), row["answers"]) for row, outcome in pairs]),
        "gold_sentence": mean([_contains(outcome.text, wanted) for wanted, outcome in golden]) if golden else None,
    }


def _contains(text: str, wanted: Sequence[str]) -> bool:
    return any(holds(text, answer) for answer in wanted)


def _first(outcome: Outcome, n: int) -> str:
    return " ".join(claim.text for claim in outcome.claims[:n])


async def _citations(corpus: Corpus, pairs: Sequence[tuple[Row, Outcome]]) -> dict[str, Any]:
    """`valid`: the cited source is one of this answer; `quote_exact`: the quote stands in the stored text where it says;
    `gold_document`: an answered question cites a document that is known to answer it."""
    valid: list[float] = []
    exact: list[float] = []
    gold: list[float] = []
    for row, outcome in pairs:
        for citation in outcome.citations:
            passage = outcome.sources.get(citation.source)
            valid.append(passage is not None)
            text = await corpus.grounded.catalog.text(passage.document_id) if passage else None
            exact.append(text is not None and text[citation.start : citation.end] == citation.cited_text)
        if outcome.answered and row.get("doc_ids"):
            gold.append(bool(_cited(corpus, outcome) & set(row["doc_ids"])))
    return {"valid": mean(valid), "quote_exact": mean(exact), "gold_document": mean(gold)}


def _cited(corpus: Corpus, outcome: Outcome) -> set[str]:
    passages = (outcome.sources.get(citation.source) for citation in outcome.citations)
    return {corpus.rows[passage.document_id] for passage in passages if passage is not None}
