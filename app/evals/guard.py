"""`grounded eval guard`: what the detector flags of labelled attacks and of harmless texts, and what is refused: nothing is.

`python -m app.evals.guard` writes the vectors of our own sentences, as the shipped embedder reads them.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.commands.output import emit_json
from app.evals.corpus import progress
from app.evals.rows import BadEvalData, read_rows
from app.evals.scores import percentiles
from app.settings import Settings
from app.wiring_models import embedder_of
from generation.filters.injection import VECTORS, InjectionDetector, own_sentences
from retrieval.ports import Embedder


async def guard(settings: Settings, file: Path, limit: int | None) -> int:
    """Print one JSON document. Label 1 is an attack. `blocked_benign` is 0 by construction: a flag refuses nothing."""
    rows = read_rows(file, text=str)[:limit]
    if not all(row.get("label") in (0, 1) for row in rows):
        raise BadEvalData(f"{file.name}: a row needs a label, 0 or 1.")
    async with AsyncExitStack() as closing:
        embedder = embedder_of(settings, closing)
        await asyncio.to_thread(embedder.load)
        detector = InjectionDetector(embedding(embedder))
        await detector.look("Hello.")
        emit_json(await _measured(detector, rows))
    return 0


def embedding(embedder: Embedder) -> Any:
    """The embedder as the detector wants it: sentences in, vectors out."""

    async def embed(texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return [passage.vector for passage in await embedder.embed_passages(texts)]

    return embed


async def _measured(detector: InjectionDetector, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    flagged: dict[int, list[bool]] = {0: [], 1: []}
    signs: dict[str, int] = {}
    ms = []
    for number, row in enumerate(rows, start=1):
        start = time.perf_counter()
        found = (await detector.look(row["text"])).signs
        ms.append((time.perf_counter() - start) * 1e3)
        flagged[row["label"]].append(bool(found))
        for sign in found:
            signs[sign] = signs.get(sign, 0) + 1
        if number % 100 == 0:
            progress(f"{number} of {len(rows)} texts")
    return {
        "n": len(rows),
        "flagged_attacks": _share(flagged[1]),
        "flagged_benign": _share(flagged[0]),
        "blocked_benign": 0.0,
        "ms": percentiles(ms),
        "signs": signs,
    }


def _share(flags: list[bool]) -> float | None:
    return round(sum(flags) / len(flags), 4) if flags else None


async def write_vectors() -> None:
    """Half precision is enough for a cosine, and half the size."""
    async with AsyncExitStack() as closing:
        embedder = embedder_of(Settings(), closing)
        await asyncio.to_thread(embedder.load)
        steering, speaking = own_sentences()
        rows = [(await embedder.embed_query(line)).vector for line in (*steering, *speaking)]
        np.save(VECTORS, np.stack(rows).astype(np.float16), allow_pickle=False)


if __name__ == "__main__":
    asyncio.run(write_vectors())
