"""Filters without what goes without saying.

A condition that every point of the shard meets costs as much as the search itself: the engine looks at each point. Most
shards hold one collection, and then that of the scope is such a condition.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import qdrant_edge as edge

from retrieval.adapters.edge_filter import compiled
from retrieval.adapters.qdrant_conditions import TENANT, flat
from retrieval.filters import AllOf, Filter, OneOf
from retrieval.ports import Payload

_DELETED = "deleted"  # a file of the shard
_UNKNOWN = ""  # no collection's id: stands for those whose ids were not asked for


class Holdings:
    """What is in a shard, as far as searches can be spared by knowing it. Kept on the shard's thread, so that no write comes
    between what it says and the search that relies on it. It may say too much, which costs time, and never too little."""

    def __init__(self, shard: edge.EdgeShard, folder: Path) -> None:
        self._folder = folder
        self._collections = _held(shard)
        self._deleted = (folder / _DELETED).exists()

    def note(self, payloads: Iterable[Payload]) -> None:
        """Points with these payloads are written. Tell before they are."""
        self._collections |= {str(payload.get(TENANT, _UNKNOWN)) for payload in payloads}

    def note_deletion(self) -> None:
        """Points are deleted or replaced. Tell before they are: it is on the disk when this returns."""
        if not self._deleted:
            with (self._folder / _DELETED).open("w") as file:
                os.fsync(file.fileno())
            descriptor = os.open(self._folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        self._deleted = True

    def needed(self, wanted: Filter) -> edge.Filter | None:
        """What is left to be asked of each point; None when nothing is."""
        if not isinstance(wanted, AllOf):
            return compiled(wanted)
        left = tuple(part for part in flat(wanted) if not self._all_meet(part))
        return compiled(AllOf(left)) if left else None

    def corpus(self, scope: Filter) -> edge.IdfParams | None:
        """The points over which BM25 counts; None where the engine's own counts are of the same. These keep counting what
        was deleted."""
        if not self._deleted and self.needed(scope) is None:
            return None
        return edge.IdfParams(corpus=compiled(scope))

    def _all_meet(self, part: Filter) -> bool:
        return isinstance(part, OneOf) and part.key == TENANT and self._collections <= set(part.values)


def _held(shard: edge.EdgeShard) -> set[str]:
    """Of a shard that holds several, one is named: to find them all would take a look at every point."""
    everything = shard.count(edge.CountRequest(exact=True))
    if not everything:
        return set()
    (first, *_), _ = shard.scroll(edge.ScrollRequest(limit=1, with_payload=True, with_vector=False))
    collection = str((first.payload or {}).get(TENANT, _UNKNOWN))
    mine = shard.count(edge.CountRequest(filter=compiled(OneOf(TENANT, (collection,))), exact=True))
    return {collection} if mine == everything else {collection, _UNKNOWN}
