"""Whether a question is answered at all. Decided on this question alone: no turn before it is looked at. Pure.

Three kinds of evidence, each weighed where it is known. Before anybody is asked: how near the passages come (`nearness`).
Before a sentence is quoted: how much of the question one sentence holds (`sufficiency`), less what names, numbers and a
negation of the question take off. Behind a model's draft: whether its passages carry any of its sentences, which is for
`generation.policy`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generation.negation import asks_what_is_not, says_no
from generation.telling import lost
from retrieval.model import Context

Floats = NDArray[np.float32]

# Taken off where the passages lack a name or a number of the question. A name may be told of in other words, "Holland" as
# "the Netherlands", so a very good match still answers; a number may not.
LOST_NAME = 0.14
LOST_NUMBER = 0.3
# Taken off a sentence that says no nowhere, where the question asks for what is not so. It could say so in other words.
NOT_TURNED = 0.1
# The best of many words matches better by chance than the best of few: taken off per unit of the logarithm of a sentence's
# length, against one of some twenty words, which keeps its match.
LENGTH = 0.02
_USUAL_LOG = 3.0
_SHORTEST = 3  # words
_LOOKED_AT = 5  # sentences, the nearest, that are read for a negation


@dataclass(frozen=True, slots=True)
class Bars:
    """From where on the evidence is enough. `near` and `answer` are on the scale of one embedder's token vectors: at less
    than `near`, which None leaves out, nobody is asked, and at less than `answer` nothing is quoted."""

    near: float | None
    answer: float


# Set by the 163 questions about the manual (`data/evals/handbook.jsonl`): no passage of a question that the manual answers is
# further away than .41, and a quarter of those that it does not answer are below .33; of the latter nine in ten are below
# .363, which all but one of the former reach.
SHIPPED = Bars(near=0.33, answer=0.363)

# Without token vectors: the best sentence's share of the question's words. At this bar under 1 % of answerable questions
# are declined, and only one in ten off-topic ones: words alone cannot tell, so this declines what shares next to nothing.
BAR_WORDS = 0.15


def nearness(context: Context) -> float | None:
    """The late interaction of the nearest passage with the question, within [-1, 1]; None where none was read so."""
    places = (passage.hit.places.get("rerank") for passage in context.passages)
    return max((place.score for place in places if place is not None), default=None)


def is_hopeless(context: Context, bars: Bars) -> bool:
    """Whether even the nearest passage is too far away for anybody to answer from it."""
    near = nearness(context)
    return near is not None and bars.near is not None and near < bars.near


def sufficiency(question: str, texts: Sequence[str], matches: Floats) -> float:
    """The best that a single sentence reaches of `matches`, which has one entry for each of the texts; 0 without any."""
    if not len(texts):
        return 0.0
    lengths = np.log([max(_SHORTEST, len(text.split())) for text in texts])
    held = matches - LENGTH * (lengths - _USUAL_LOG)
    best = np.argsort(-held, kind="stable")[:_LOOKED_AT]
    turned = asks_what_is_not(question)
    return max(float(held[i]) - NOT_TURNED * (turned and not says_no(texts[i])) for i in best)


def doubt(question: str, texts: Sequence[str]) -> float:
    """What is taken off for names and numbers of the question that no text has; texts as for `telling.lost`."""
    gone = lost(question, texts)
    return LOST_NUMBER if gone.numbers else LOST_NAME if gone.names else 0.0
