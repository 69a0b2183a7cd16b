"""Whether a text tries to steer a model. It raises a flag and nothing else: what a model says is filtered whoever steered it.

Two signs: phrases that hardly anything else is written in, and likeness to sentences that steer, measured by the embedder and
weighed against sentences that only speak of such things. Neither is a boundary; both miss attacks and flag harmless texts.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from generation.filters.invisible import hidden_in, without_invisible
from generation.filters.shadow import compiled, shadow

Sign = Literal["phrase", "likeness", "invisible"]
Embed = Callable[[Sequence[str]], Awaitable[list[NDArray[np.float32]]]]
LIKE = 0.5  # cosine from which two sentences are taken to say something alike, with the shipped embedder
_HIDDEN = 4  # invisible characters that no editor leaves behind by chance
_WINDOW = 200  # code points that are likened at a time: an attack hides in a long text
_MOST = 32  # windows of one text
_OWN = Path(__file__).with_name("attacks.txt")
VECTORS = _OWN.with_suffix(".npy")

_VERB = r"(?:ignore|disregard|forget|overlook|override|bypass|discard|skip)"
_WHAT = r"(?:instructions?|rules?|prompts?|guidelines?|directions?|commands?|messages?|polic(?:y|ies)|context)"
_WHOSE = r"(?:previous|prior|above|earlier|preceding|all|your|any|these|those|the)"
_SAY = r"(?:reveal|print|repeat|show|output|display|tell|give|leak|write)"
_OWN_TEXT = (
    r"(?:system|initial|hidden|secret|original|above)\b[^.?!\n]{0,20}\b(?:prompt|instructions?|message|text|rules)"
)
_FREE = r"(?:no|without|any|free of) (?:rules|restrict|limit|filter|guideline)"
_PATTERNS = tuple(
    compiled(pattern, any_case=True)
    for pattern in (
        rf"\b{_VERB}\b[^.?!\n]{{0,40}}\b{_WHOSE}\b[^.?!\n]{{0,30}}\b{_WHAT}\b",
        rf"\b{_VERB}\b[^.?!\n]{{0,20}}\b(?:everything|all|anything)\b[^.?!\n]{{0,30}}\b(?:above|before|told|said|previously)\b",
        rf"\b{_SAY}\b[^.?!\n]{{0,40}}\b{_OWN_TEXT}\b",
        r"\byou are (?:now|no longer)\b[^.?!\n]{0,60}\b(?:assistant|ai|model|bot|restrict|rules|filter|dan)",
        rf"\b(?:pretend|act|imagine)\b[^.?!\n]{{0,20}}\b(?:you are|as if|as an?)\b[^.?!\n]{{0,60}}\b{_FREE}",
        r"\b(?:developer|debug|god|admin|dan|jailbreak) mode\b[^.?!\n]{0,30}\b(?:on|enabled?|activated?)\b",
        r"<\|?(?:im_start|im_end|system|endoftext)\|?>|\[/?INST\]|<</?SYS>>|^\s{0,8}#{2,}\s{0,3}(?:system|instruction)s?\b",
        r"\b(?:new|updated|real) (?:instructions?|task|system prompt)\b\s{0,3}:",
    )
)


@dataclass(frozen=True, slots=True)
class Flagged:
    """By which signs; none where there is nothing to say. `likeness` is the best cosine to a sentence that steers."""

    signs: tuple[Sign, ...] = ()
    likeness: float | None = None


@dataclass(frozen=True, slots=True)
class OwnSentences:
    """Vectors of unit length, a row each: of our sentences that steer, and of those that only speak of it."""

    steering: NDArray[np.float32]
    speaking: NDArray[np.float32]

    def steers(self, vector: NDArray[np.float32], like: float = LIKE) -> bool:
        """Whether a sentence is like one that steers, and less like any that only speaks of it."""
        if vector.shape != self.steering.shape[1:]:
            return False
        steers = float((self.steering @ vector).max())
        return steers >= like and steers > float((self.speaking @ vector).max())


@cache
def own_vectors() -> OwnSentences:
    """Our own sentences as the shipped embedder reads them, made by `python -m app.evals.guard`. Raises OSError."""
    rows = np.load(VECTORS, allow_pickle=False).astype(np.float32)
    steering, _ = own_sentences()
    return OwnSentences(rows[: len(steering)], rows[len(steering) :])


class InjectionDetector:
    """Looks at questions and documents. Cheap to make; its own sentences are embedded when the first text is looked at."""

    def __init__(self, embed: Embed | None = None, like: float = LIKE) -> None:
        """Without `embed` only phrases and invisible characters tell."""
        self._embed = embed
        self._like = like
        self._known: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    async def look(self, text: str) -> Flagged:
        """What there is to say of a text. Raises what `embed` raises."""
        signs = list(plain_signs(text))
        likeness = None
        if self._embed is not None and text.strip():
            likeness, near = await self._likeness(without_invisible(text))
            signs += ["likeness"] if near else []
        return Flagged(tuple(signs), likeness)

    async def _likeness(self, text: str) -> tuple[float, bool]:
        assert self._embed is not None
        if self._known is None:
            steering, speaking = own_sentences()
            vectors = np.stack(await self._embed([*steering, *speaking]))
            self._known = vectors[: len(steering)], vectors[len(steering) :]
        windows = np.stack(await self._embed(_windows(text)))
        steers, speaks = ((windows @ known.T).max(axis=1) for known in self._known)
        return float(steers.max()), bool(((steers >= self._like) & (steers > speaks)).any())


def plain_signs(text: str) -> tuple[Sign, ...]:
    """What can be told without a model."""
    hidden = hidden_in(text) if not text.isascii() else 0
    seen = shadow(without_invisible(text) if hidden else text)
    phrase: tuple[Sign, ...] = ("phrase",) if any(pattern.search(seen) for pattern in _PATTERNS) else ()
    return (*phrase, "invisible") if hidden >= _HIDDEN else phrase


def own_sentences() -> tuple[list[str], list[str]]:
    """Those that steer, and those that only speak of it."""
    lines = [line for line in _OWN.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    cut = lines.index("---")
    return lines[:cut], lines[cut + 1 :]


def _windows(text: str) -> list[str]:
    """The text in pieces of a few sentences; of a long one the beginning, the end and what lies evenly between."""
    pieces = [text[at : at + _WINDOW] for at in range(0, len(text), _WINDOW)]
    pieces = [piece for piece in pieces if piece.strip()] or [text]
    if len(pieces) <= _MOST:
        return pieces
    return [pieces[round(nth * (len(pieces) - 1) / (_MOST - 1))] for nth in range(_MOST)]
