"""Sentences of the handbook, each changed in one thing, and their untouched twins, put to the verifier that serves."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from app.evals.claims import SyntheticClaim, perturbed, sentences
from app.evals.held import held
from app.settings import Settings

HANDBOOK = Path(__file__).parents[2] / "data" / "handbook"
_TOGETHER = 4  # paragraphs of a passage
_MARKUP = re.compile(r"^(?:#|\||```|[-*\d]|    |<)|\|")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MOST_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Outcome:
    claim: SyntheticClaim
    caught: bool
    twin_passes: bool


def passages(folder: Path = HANDBOOK) -> list[str]:
    """The handbook's prose, some paragraphs together."""
    return [text for file in sorted(folder.glob("*.md")) for text in _of_file(file)]


def _of_file(file: Path) -> Iterator[str]:
    parts = [
        " ".join(part.split()) for part in re.split(r"\n\s*\n", file.read_text("utf-8")) if not _MARKUP.search(part)
    ]
    plain = [_LINK.sub(r"\1", part).replace("`", "").replace("**", "") for part in parts]
    for at in range(0, len(plain), _TOGETHER):
        yield "\n\n".join(plain[at : at + _TOGETHER])


def drawn(texts: Sequence[str], n: int, seed: int, *, reworded: bool) -> list[SyntheticClaim]:
    """Claims that differ, every kind of change as often as the texts allow."""
    random, counts, made = Random(seed), {}, {}  # type: ignore[var-annotated]
    for _ in range(_MOST_ROUNDS):
        for text in random.sample(list(texts), len(texts)):
            own = sentences(text)
            if len(own) < 2 or (claim := perturbed(text, own, random, counts, reworded=reworded)) is None:
                continue
            if claim.text not in made:
                counts[claim.kind] = counts.get(claim.kind, 0) + 1
                made[claim.text] = claim
            if len(made) == n:
                return list(made.values())
    return list(made.values())


async def judged(claims: Sequence[SyntheticClaim]) -> list[Outcome]:
    """`caught` is a perturbed claim that is not supported, a twin passes that is."""
    async with held(Settings()) as ready:
        out: list[Outcome] = []
        for claim in claims:
            cited = await ready.cited(claim.passage)
            false = await ready.verifier.examined(claim.text, cited)
            true = await ready.verifier.examined(claim.twin or "", cited)
            out.append(
                Outcome(
                    claim, false is None or false.verdict != "supported", bool(true) and true.verdict == "supported"
                )
            )
        return out


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Shares, of all and by kind."""
    kinds = Counter(outcome.claim.kind for outcome in outcomes)
    caught = Counter(outcome.claim.kind for outcome in outcomes if outcome.caught)
    return {
        "n": len(outcomes),
        "caught": round(caught.total() / max(1, len(outcomes)), 4),
        "twins_passing": round(sum(outcome.twin_passes for outcome in outcomes) / max(1, len(outcomes)), 4),
        "kinds": {kind: {"n": n, "caught": round(caught[kind] / n, 4)} for kind, n in sorted(kinds.items())},
    }
