"""`grounded eval cache`: how often the semantic cache knows a question again that is put differently, how often it takes another
question for one it knows, whether an answer ever gets to whom it does not belong, and what a hit takes.

Questions go the way that the service's do: embedder, nearest vectors, guard; lookups go to the store that serves.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

from app.cache.guard import same_question
from app.cache.key import Address, digest
from app.cache.nearest import Floats, Nearest
from app.cache.ports import AnswerCache, Bounds, Entry
from app.cache_settings import CacheSettings
from app.commands.output import emit_json
from app.evals.corpus import COLLECTION, ingest, opened_anew, progress, read_rows
from app.evals.question_pairs import PARAPHRASES, near_pairs
from app.pipeline import Question
from app.settings import Settings
from app.wiring import Grounded
from generation.events import Finished
from ingest.run import Request

Use = Literal["use", "bypass"]
_SPACE = "space"
_GROUPS = (None, frozenset[str](), frozenset(("a",)), frozenset(("b",)), frozenset(("a", "b")))
_GENERATIONS = 8
_EVER = datetime(2000, 1, 1, tzinfo=UTC)
_QUESTIONS = 50


async def cache(settings: Settings, folder: Path, questions: Path, paraphrases: Path, wanted: dict[str, int]) -> int:
    """Print one JSON document. `wanted` has `pairs`, `lookups` and `seed`; the folder is what is asked about."""
    chosen = CacheSettings(mode="semantic", similarity=settings.cache.similarity, timeout_s=60)
    asked = [row["question"] for row in read_rows(questions, question=str)]
    by_hand = [(row["question"], row["paraphrase"]) for row in read_rows(paraphrases, question=str, paraphrase=str)]
    async with opened_anew(settings.model_copy(update={"cache": chosen})) as grounded:
        random = Random(wanted["seed"])  # noqa: S311  repeatable, and nothing depends on its being secret
        report: dict[str, Any] = {"similarity": chosen.similarity, "questions": len(set(asked))}
        report["paraphrases"] = await _known_again(grounded, sorted(set(asked)), by_hand, random, chosen.similarity)
        pairs = near_pairs(sorted(set(asked)), wanted["pairs"], random)
        report["near_pairs"] = await _mistaken(grounded, pairs, chosen.similarity)
        await ingest(grounded, Request(folder, COLLECTION), lambda *_: None)
        assert grounded.cache is not None
        collection = await _collection(grounded)
        rests_on = [(row.id, row.version) for row in await grounded.catalog.documents(collection, 2)]
        report["lookups"] = await crossed(grounded.cache.store, collection, rests_on, wanted["lookups"], random)
        report["cpu_ms"] = await _cpu(grounded, asked[:40])
    emit_json(report)
    return 0


async def _known_again(
    grounded: Grounded, questions: Sequence[str], by_hand: Sequence[tuple[str, str]], random: Random, least: float
) -> dict[str, Any]:
    """Hits on the question that was meant, and on another one."""
    made = [
        (kind, one, other) for kind, rule in PARAPHRASES.items() for one in questions if (other := rule(one, random))
    ]
    made += [("by_hand", one, other) for one, other in by_hand]
    known = sorted({*questions, *(one for one, _ in by_hand)})
    near = await _filled(grounded, known)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, one, other in made:
        vector = await _vector(grounded, other)
        found = [known[number - 1] for number in near.find(_SPACE, vector, least)]
        hit = next((text for text in found if same_question(text, other)), None)
        counts[kind].update(n=1, near=int(one in found), hits=int(hit == one), wrong=int(hit not in (None, one)))
    return {**{kind: _rates(count) for kind, count in counts.items()}, "all": _rates(sum(counts.values(), Counter()))}


def _rates(count: Counter[str]) -> dict[str, Any]:
    return {
        "n": count["n"],
        "near": count["near"],
        "hit_rate": round(count["hits"] / count["n"], 4),
        "wrong": count["wrong"],
    }


async def _mistaken(grounded: Grounded, pairs: Sequence[tuple[str, str, str]], least: float) -> dict[str, Any]:
    """Of questions that are another one each: how many likeness alone would have taken for one that is kept, how many the
    guard alone, and how many both."""
    known = sorted({kept for _, kept, _ in pairs})
    near = await _filled(grounded, known)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: list[list[str]] = []
    for kind, kept, asked in pairs:
        found = [known[number - 1] for number in near.find(_SPACE, await _vector(grounded, asked), least)]
        false = [text for text in found if same_question(text, asked)]
        kinds[kind].update(n=1, near=int(kept in found), guard=int(same_question(kept, asked)), false=int(bool(false)))
        wrong += [[false[0], asked]] if false else []
    total = sum(kinds.values(), Counter())
    share = total["false"] / max(1, total["n"])
    by_kind = {kind: {name: count[name] for name in ("n", "near", "guard", "false")} for kind, count in kinds.items()}
    told = {"n": total["n"], "near": total["near"], "guard_alone": total["guard"], "false": total["false"]}
    return {**told, "false_rate": round(share, 5), "by_kind": by_kind, "mistaken": wrong[:20]}


async def _filled(grounded: Grounded, known: Sequence[str]) -> Nearest:
    near = Nearest(len(known))
    vectors = [(await _vector(grounded, text)).astype("<f4").tobytes() for text in known]
    near.add(_SPACE, list(enumerate(vectors, start=1)))
    return near


async def _vector(grounded: Grounded, text: str) -> Floats:
    return (await grounded.embedder.embed_query(text)).vector


async def crossed(
    store: AnswerCache, collection: str, rests_on: Sequence[tuple[str, int]], lookups: int, random: Random
) -> dict[str, int]:
    """Lookups at random places, some of which hold an answer that says whose it is: how many found one, and how many found
    one that is another's. Exact ones and those by number, as a semantic hit reads them."""
    places = [(groups, made) for groups in _GROUPS for made in range(_GENERATIONS)]
    since = (await store.look(_place(collection, _GROUPS[0], 0, "?"), _EVER)).revision
    bounds = Bounds(100_000, 2**30, _EVER)
    numbers: list[int] = []
    for groups, made in places:
        for n in range(0, _QUESTIONS, 2):  # every second question was never asked there
            at = _place(collection, groups, made, f"Question {n}?")
            await store.keep(
                at, since, Entry(at.text, _canary(at), tuple(rests_on), np.zeros(4, "<f4").tobytes()), bounds
            )
        numbers += [number for number, _ in await store.vectors(at, since, 0, _QUESTIONS)]
    hits = cross = 0
    for turn in range(lookups):
        groups, made = random.choice(places)
        at = _place(collection, groups, made, f"Question {random.randrange(_QUESTIONS)}?")
        revision = since + random.choice((0, 0, 0, 1))
        if turn % 2 or revision != since:
            entry = await store.read(at, revision, random.choice(numbers), _EVER)
            cross += entry is not None and _canary(at).split(b"|")[0] != entry.body.split(b"|")[0]
        else:
            entry = (await store.look(at, _EVER)).entry
            cross += entry is not None and entry.body != _canary(at)
        hits += entry is not None
        if turn % 10_000 == 0:
            progress(f"{turn} of {lookups} lookups")
    await store.clear()
    return {"n": lookups, "spaces": len(places), "hits": hits, "cross_hits": cross}


def _place(collection: str, groups: frozenset[str] | None, made: int, text: str) -> Address:
    told = None if groups is None else sorted(groups)
    return Address(digest([told, made]), collection, text, groups)


def _canary(at: Address) -> bytes:
    return f"{at.space}|{at.text}".encode()


async def _collection(grounded: Grounded) -> str:
    found = await grounded.catalog.collection(COLLECTION)
    assert found is not None
    return found


async def _cpu(grounded: Grounded, questions: Sequence[str]) -> dict[str, float]:
    """CPU time of the whole process for an answer, in milliseconds: made, given again, and given to other words. Of those
    questions alone whose answer was kept."""
    for text in questions:
        await _ended(grounded, text)
    kept = [text for text in questions if (await _ended(grounded, text)).cache == "exact"]
    told = {"n": float(len(kept))}
    ways: tuple[tuple[str, str, Use], ...] = (
        ("made", "", "bypass"),
        ("exact", "", "use"),
        ("semantic", "Hello, ", "use"),
    )
    for name, lead, use in ways:
        begun = time.process_time()
        ends = [await _ended(grounded, f"{lead}{text}", use) for text in kept]
        told[name] = round((time.process_time() - begun) * 1e3 / max(1, len(kept)), 2)
        assert name == "made" or {end.cache for end in ends} <= {name, "miss"}
    return told


async def _ended(grounded: Grounded, text: str, use: Use = "use") -> Finished:
    async with aclosing(grounded.pipeline.ask(Question(text, COLLECTION, cache=use))) as events:
        last = [event async for event in events][-1]
    assert isinstance(last, Finished)
    return last
