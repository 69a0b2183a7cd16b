"""`python -m tests.attribution`: sentences of the manual without a mark, in the context that a question for them finds, and
which passages they are given. One JSON document.

A sentence as it stands, or told in other words, is given rightly where the passage holds it. One that was changed in one thing,
and one whose own passages were taken out of the context, is given none rightly.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.evals.claims import SyntheticClaim
from app.pipeline import Question
from app.wiring import Grounded
from generation.checks import Checks, claim_of
from generation.model import DraftSentence
from retrieval.model import Context
from tests.manual import manual
from tests.verification.suite import drawn, passages

_MARKUP = re.compile(r"[`*]|\[([^\]]*)\]\([^)]*\)")


async def measured(n: int, seed: int) -> dict[str, Any]:
    """Counts by kind of sentence, and the share of the citations that are right."""
    plain = drawn(passages(), n, seed, reworded=False)
    told = drawn(passages(), n, seed + 1, reworded=True)
    counts: dict[str, Counter[str]] = {
        kind: Counter() for kind in ("as it stands", "reworded", "changed", "its own gone")
    }
    with tempfile.TemporaryDirectory() as folder:
        async with manual(Path(folder)) as grounded:
            for claim in plain:
                counts["as it stands"][await _given(grounded, claim.twin or "", claim)] += 1
                counts["changed"][await _given(grounded, claim.text, claim, wrong=True)] += 1
                counts["its own gone"][await _given(grounded, claim.twin or "", claim, wrong=True, gone=True)] += 1
            for claim in told:
                counts["reworded"][await _given(grounded, claim.twin or "", claim)] += 1
    whole = sum(counts.values(), Counter[str]())
    cited = whole["right"] + whole["wrong"]
    return {
        "cited": cited,
        "right": round(whole["right"] / max(1, cited), 4),
        **{k: dict(v) for k, v in counts.items()},
    }


async def _given(
    grounded: Grounded, text: str, claim: SyntheticClaim, *, wrong: bool = False, gone: bool = False
) -> str:
    scope = await grounded.pipeline.scope("default")
    _, context, _ = await grounded.pipeline.retrieve(Question(text), scope)
    original = _plain(claim.passage)
    if gone:
        context = _without(context, lambda held: _shares(held, original))
    router = grounded.router
    found = await claim_of(DraftSentence(text), 0, 0, context, Checks(router.verifier("default"), router.attributor()))
    if not found.citations:
        return "none"
    cited = next(passage for passage in context.passages if passage.id == found.citations[0].source)
    if wrong:
        return "right" if gone and _plain(text) in _plain(cited.text) else "wrong"
    return "right" if _shares(_plain(cited.text), original) else "wrong"


def _without(context: Context, holds: Callable[[str], bool]) -> Context:
    return replace(context, passages=tuple(p for p in context.passages if not holds(_plain(p.text))))


def _shares(held: str, original: str) -> bool:
    """Whether the passage holds a paragraph of the text that the sentence is from, or a part of one."""
    return any(
        part in held or held in part for part in (original[at : at + 60] for at in range(0, len(original), 60)) if part
    )


def _plain(text: str) -> str:
    return " ".join(_MARKUP.sub(lambda match: match.group(1) or "", text).split())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.stdout.write(json.dumps(asyncio.run(measured(given.n, given.seed)), indent=1) + "\n")
