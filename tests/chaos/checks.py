"""What must hold after any fault: nothing acknowledged is lost, nothing half-written is read, catalog and index agree.

A violation is a line of text that begins with its kind: lost, torn, duplicate, dangling, foreign, drift or work.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.model import Chunk
from tests.chaos.corpus import Script
from tests.chaos.rig import SCOPE, Rig, cut_all, stored_tokens

Live = Mapping[str, tuple[Chunk, ...]]  # by name of the file
_ALL = 100_000


@dataclass(frozen=True, slots=True)
class Truth:
    """A phase as it must come out: what was live before it and what must be live behind it."""

    old: Live
    new: Live

    @property
    def texts(self) -> dict[str, str]:
        """Every text that may be shown, by the id of its chunk."""
        return {chunk.id: chunk.text for live in (self.old, self.new) for cs in live.values() for chunk in cs}

    @property
    def ids(self) -> set[str]:
        """Chunks that must be there in the end."""
        return {chunk.id for chunks in self.new.values() for chunk in chunks}


def truth(root: Path, script: Script, phase: str) -> Truth:
    return Truth(cut_all(root, script.before(phase)), cut_all(root, script.live[phase]))


async def live(rig: Rig) -> dict[str, tuple[Chunk, ...]]:
    """What the catalog shows, read the way a service reads it."""
    found: dict[str, tuple[Chunk, ...]] = {}
    for row in await rig.catalog.documents(SCOPE.collection_id, _ALL):
        ids = await rig.catalog.live_ids(row.id)
        chunks = await rig.catalog.live_chunks(SCOPE.collection_id, ids)
        found[row.name] = tuple(chunks[i].chunk for i in ids if i in chunks)
    return {name: chunks for name, chunks in found.items() if chunks}


def same(found: Sequence[Chunk], expected: Sequence[Chunk]) -> bool:
    """The same chunks in the same order with the same text, and nothing but them."""
    return [(c.id, c.ordinal, c.start, c.end, c.text) for c in found] == [
        (c.id, c.ordinal, c.start, c.end, c.text) for c in expected
    ]


def compare(found: Live, truth: Truth, acknowledged: Iterable[str]) -> list[str]:
    """Acknowledged files are as they should be in the end; all others are wholly so or wholly as they were."""
    done, wrong = set(acknowledged), []
    for name in sorted(found.keys() | truth.old.keys() | truth.new.keys()):
        seen, old, new = found.get(name, ()), truth.old.get(name, ()), truth.new.get(name, ())
        if same(seen, new):
            continue
        if name in done:
            wrong.append(f"lost: {name} was acknowledged and has {len(seen)} of {len(new)} chunks")
        elif not same(seen, old):
            wrong.append(f"torn: {name} has {len(seen)} chunks, {len(old)} before and {len(new)} after")
    return wrong


async def check_index(rig: Rig, found: Live) -> list[str]:
    """Every live chunk can be found and read closely."""
    ids = [chunk.id for chunks in found.values() for chunk in chunks]
    wrong = [f"duplicate: chunk {i} is live {n} times" for i, n in Counter(ids).items() if n > 1]
    points, tokens = await rig.points.existing(ids), await rig.tokens.get(ids)
    wrong += [f"dangling: {len(set(ids) - points)} live chunks have no point"] * (not points >= set(ids))
    wrong += [f"dangling: {len(set(ids) - tokens.keys())} live chunks have no token vectors"] * (
        not tokens.keys() >= set(ids)
    )
    return wrong


async def check_search(rig: Rig, found: Live, truth: Truth) -> list[str]:
    """Each document is found by its own words, and nothing is shown that no file says."""
    wrong: list[str] = []
    for name, chunks in found.items():
        mark = next((word for word in chunks[-1].text.split() if word.startswith("d")), chunks[-1].text)
        passages = (await rig.find(mark)).passages
        shown = [passage.id for passage in passages]
        wrong += [f"duplicate: {mark} gave a passage twice"] * (len(set(shown)) < len(shown))
        wrong += [f"dangling: {name} is not found by {mark}"] * (chunks[-1].id not in shown)
        wrong += [f"foreign: {mark} showed a text of no file" for p in passages if truth.texts.get(p.id) != p.text]
        versions = {(p.document_id, p.version) for p in passages}
        wrong += [f"torn: {mark} showed two versions"] * (len(versions) > len({d for d, _ in versions}))
    return wrong


async def check_settled(rig: Rig, truth: Truth) -> list[str]:
    """Behind a run that went well: as a fresh ingest would have made it, without a trace of anything else."""
    found = await live(rig)
    wrong = compare(found, truth, found.keys() | truth.new.keys())
    ids = truth.ids
    total, tokens = await rig.points.count(), stored_tokens(rig.state)
    if total != len(ids) or await rig.points.existing(list(ids)) != ids:
        wrong.append(f"drift: {total} points for {len(ids)} chunks")
    if tokens != ids:
        wrong.append(f"drift: {len(tokens - ids)} token vectors too many, {len(ids - tokens)} missing")
    left = await rig.catalog.unfinished() + await rig.catalog.retired()
    return wrong + [f"drift: {len(left)} documents are left half done"] * bool(left)


def kinds(violations: Iterable[str]) -> dict[str, int]:
    """How many of each kind."""
    return dict(Counter(line.partition(":")[0] for line in violations))
