"""Bugs to plant: for every invariant at least one, each with the smallest check that must catch it.

They are replacements of text, applied to a copy of the tree; the product has no switch for any of them. Those of what is
stored and read stand here, those of the service in `service_plants.py`, those of keys, tenants and groups in
`access_plants.py`, those where models are asked in
`upstream_plants.py`, those where questions are routed in `routing_plants.py`, those of prompts, structured answers and
moderation in `prompt_plants.py`, those where sentences are cited and held to the policy in `policy_plants.py`, those
of streams in `stream_plants.py`.
"""

from tests.chaos.access_plants import ACCESS
from tests.chaos.budget_plants import BUDGETS
from tests.chaos.cache_plants import CACHE
from tests.chaos.http_plants import HTTP
from tests.chaos.mutant import Mutant
from tests.chaos.policy_plants import POLICY
from tests.chaos.prompt_plants import PROMPTS
from tests.chaos.routing_plants import ROUTING
from tests.chaos.service_plants import SERVICE
from tests.chaos.stream_plants import STREAMS
from tests.chaos.upstream_plants import UPSTREAM

_BUGS = "tests/chaos/test_ingest_bugs.py"
_INVARIANTS = "tests/chaos/test_invariants.py"
_PIPELINE = "ingest/pipeline.py"
_CATALOG = "ingest/adapters/sql_catalog.py"
_VERSIONS = "ingest/adapters/sql_versions.py"
_ROWS = "ingest/adapters/rows.py"
_EDGE = "retrieval/adapters/qdrant_edge.py"
_SEARCH = "retrieval/search.py"
_NUMBERED = "    numbers = {entry.document.id: (live.get(entry.document.id) or 0) + 1 for entry, _ in group}\n"
_FLIP = "        await self._catalog.flip(numbers)  # one commit; from here readers see the new versions\n"

MUTANTS = (
    # Atomic versions, and what a kill may leave
    Mutant(
        "versions flip before their points are written",
        _PIPELINE,
        "        written = await self._index.put(ready)\n",
        f"{_FLIP}        written = await self._index.put(ready)\n",
        "readers 1000",  # a start after a kill would put the points back
    ),
    Mutant(
        "versions flip before their points are counted",
        _PIPELINE,
        f"        await self._check_count(ready)\n{_FLIP}",
        f"{_FLIP}        await self._check_count(ready)\n",
        "tests/ingest/test_pipeline.py::test_missing_points_are_noticed_before_readers_see_the_version",
    ),
    Mutant(
        "a version flips in two transactions",
        _CATALOG,
        "        await self._run(lambda db: flip(db, versions))\n",
        "        gone = update(documents).where(documents.c.id.in_(list(versions))).values(live_version=None)\n"
        "        await self._run(lambda db: db.execute(gone))\n"
        "        await self._run(lambda db: flip(db, versions))\n",
        "tests/chaos/test_read_isolation.py::test_behind_every_transaction_a_document_is_whole",
    ),
    Mutant(
        "the old version goes before the new one is embedded",
        _PIPELINE,
        "        written = await self._index.put(ready)\n",
        "        for entry in ready:\n"
        "            await self._index.collect(entry.document.id, keep=())\n"
        "        written = await self._index.put(ready)\n",
        f"{_BUGS}::test_embed_before_delete",
    ),
    Mutant(
        "the old version is collected before the flip",
        _PIPELINE,
        _FLIP,
        "        for entry in ready:\n"
        "            await self._index.collect(entry.document.id, keep={chunk.id for chunk in entry.chunks})\n" + _FLIP,
        f"{_INVARIANTS}::test_nothing_is_collected_before_the_flip",
    ),
    Mutant(
        "chunks of versions that are not live are read",
        "ingest/adapters/rows.py",
        "    live = and_(chunks.c.document_id == documents.c.id, chunks.c.version == documents.c.live_version)\n",
        "    live = chunks.c.document_id == documents.c.id\n",
        f"{_BUGS}::test_old_version_outlives_a_failed_new_one",
    ),
    Mutant(
        "two runs interleave",
        _PIPELINE,
        "async with self._writing, aclosing(self._reports(request, plan, summary)) as reports:",
        "async with aclosing(self._reports(request, plan, summary)) as reports:",
        "tests/ingest/test_pipeline.py::test_two_runs_at_once_do_not_interleave",
    ),
    Mutant(
        "what a crash left of an attempt stays",
        _PIPELINE,
        "                if document in mine or not await self._begun_anew(document):\n",
        "                if False:\n",
        f"{_BUGS}::test_parallel_writes_fail_together",
    ),
    Mutant(
        "a run sweeps up the attempts of files that are none of its own",
        _PIPELINE,
        "if document in mine or not await self._begun_anew(document):",
        "if document in mine or document:",
        "tests/ingest/test_pipeline.py::test_what_an_attempt_has_embedded_outlasts_runs_over_other_files",
    ),
    # Ids and work
    Mutant(
        "ids are random",
        "ingest/model.py",
        'return str(uuid5(NAMESPACE, f"chunk\\0',
        'return str(__import__("uuid").uuid4()) or str(uuid5(NAMESPACE, f"chunk\\0',
        f"{_BUGS}::test_retry_does_not_mint_new_ids",
    ),
    Mutant(
        "the content hash is stamped when work begins",
        _VERSIONS,
        _NUMBERED,
        f"{_NUMBERED}    for entry, _ in group:\n"
        "        mine = documents.c.id == entry.document.id\n"
        "        db.execute(update(documents).where(mine).values(sha256=entry.document.sha256))\n",
        f"{_BUGS}::test_hash_is_stamped_last",
    ),
    Mutant(
        "a file is taken for done when its work begins",
        _VERSIONS,
        _NUMBERED,
        f"{_NUMBERED}    for entry, splitter in group:\n"
        "        mine = documents.c.id == entry.document.id\n"
        '        done = {"sha256": entry.document.sha256, "splitter": splitter, "status": "live"}\n'
        "        db.execute(update(documents).where(mine).values(**done))\n",
        "killpoints 40",
    ),
    Mutant(
        "finished chunks are written again",
        "retrieval/index.py",
        "present = await self._points.existing(ids) & await self._vectors.existing(ids)",
        "present: set[str] = set()",
        "killpoints 40",
    ),
    Mutant(
        "texts are embedded again",
        "retrieval/index.py",
        "vectors = await self._vectors.embedded(list(by_digest))",
        "vectors: dict = {}",
        "reingest 2",
    ),
    Mutant(
        "a document without text is a success",
        "ingest/readers/text.py",
        '        raise EmptyText(f"{name} holds no text.")\n',
        "        return text\n",
        f"{_BUGS}::test_zero_chunks_is_not_success",
    ),
    Mutant(
        "another embedder goes unnoticed",
        _PIPELINE,
        "        return await self._catalog.fingerprint(self._index.fingerprint) == self._index.fingerprint\n",
        "        return await self._catalog.fingerprint(self._index.fingerprint) is not None\n",
        f"{_BUGS}::test_failed_probe_is_not_a_model_change",
    ),
    # Catalog and index in step
    Mutant(
        "nobody compares the index with the catalog",
        _PIPELINE,
        "            if await self._index.size() >= chunks:\n",
        "            if chunks >= 0:\n",
        f"{_BUGS}::test_catalog_and_index_reconcile",
    ),
    Mutant(
        "deletions are not carried through",
        _PIPELINE,
        "        for document in await self._catalog.retired():\n            await self.remove(document)\n",
        "        await self._catalog.retired()\n",
        f"{_BUGS}::test_index_that_knows_more_than_the_catalog_shows_nothing_of_it",
    ),
    Mutant(
        "vectors outlive their document",
        "retrieval/index.py",
        "    await vectors.delete_document(document_id, keep)\n",
        "",
        f"{_BUGS}::test_parallel_writes_fail_together",
    ),
    Mutant(
        "what was deleted in the middle of a run comes back",
        _VERSIONS,
        "        if document in gone:\n            continue\n",
        "        assert document not in gone or True\n",
        "tests/ingest/test_catalog.py -k test_what_is_retired_in_the_middle_of_a_run",
    ),
    Mutant(
        "a search forgets its collection",
        "retrieval/model.py",
        "            return AllOf((mine,))\n",
        "            return AllOf(())\n",
        f"{_BUGS}::test_recreated_name_sees_no_old_points",
    ),
    Mutant(
        "a chunk is read through another collection",
        _CATALOG,
        "return {c.chunk.id: c for c in found if c.collection_id == collection_id}",
        "return {c.chunk.id: c for c in found}",
        "tests/ingest/test_catalog.py -k test_no_chunk_is_read_through_another_collection",
    ),
    # A folder's word
    Mutant(
        "an empty folder is evidence",
        "ingest/sync.py",
        "    if not (prune or (prune is None and scanned.sources)):\n",
        "    if prune is False:\n",
        "tests/ingest/test_sync.py::test_a_scan_that_found_nothing_is_no_evidence",
    ),
    Mutant(
        "links are followed",
        "ingest/beneath.py",
        "_FILE = os.O_RDONLY | os.O_NOFOLLOW |",
        "_FILE = os.O_RDONLY |",
        "tests/ingest/test_beneath.py::test_a_link_that_took_a_files_place_is_refused_when_it_is_read",
    ),
    # Disks that fail, fill up and forget
    Mutant(
        "nobody looks how much room there is",
        "ingest/storage.py",
        "    if _free(folder) < least:\n",
        "    if least < 0:\n",
        "fulldisk 6",
    ),
    Mutant(
        "holes are left for a full disk to be found in",
        "ingest/storage.py",
        "    if not path.is_file() or found.st_blocks * 512 >= found.st_size:\n",
        "    if path:\n",
        "fulldisk 30",
    ),
    Mutant(
        "what the disk says is not understood",
        "ingest/storage.py",
        '    full = "is full" in said or "no space left" in said\n',
        "    full = failed = False\n",
        "iofault 60",
    ),
    Mutant(
        "nobody looks at the seals",
        _ROWS,
        '    if (seal := values.pop("seal")) and _seal(values) != seal:\n',
        '    if (seal := values.pop("seal")) and not seal:\n',
        "tests/ingest/test_catalog.py::test_a_damaged_row_is_never_shown",
    ),
    Mutant(
        "nobody looks whether a row belongs to its document",
        _ROWS,
        "    if document_id(row.collection_id, _root(row.root), row.name) != row.document_id:\n",
        "    if not row.document_id:\n",
        f"{_INVARIANTS}::test_a_row_of_another_document_is_never_shown",
    ),
    Mutant(
        "stored vectors are believed",
        "retrieval/adapters/vector_rows.py",
        '    return zlib.crc32(bits, zlib.crc32(dense, zlib.crc32(f"{chunk} {document} {digest}".encode())))\n',
        "    return 0\n",
        f"{_INVARIANTS}::test_damaged_vectors_are_not_believed",
    ),
    Mutant(
        "stored vectors are not read through",
        "retrieval/adapters/vector_rows.py",
        "            sound = all(_is_sound(row) for row in _rows(db))\n",
        "            sound = True\n",
        f"{_INVARIANTS}::test_vectors_under_another_id_are_missed",
    ),
    Mutant(
        "the catalog is opened unseen",
        _CATALOG,
        "        await self._run(check)\n",
        "        assert check\n",
        f"{_INVARIANTS}::test_a_catalog_that_lost_chunks_is_not_opened",
    ),
    Mutant(
        "a shard that cannot be loaded stops the start",
        _EDGE,
        "            if not _is_damage(error, folder):\n                raise\n",
        "            raise\n",
        "tests/chaos/test_damage.py",
    ),
    Mutant(
        "a shard that is not what was written is served",
        _EDGE,
        "            if break_seal(folder):\n",
        "            if break_seal(folder) or True:\n",
        "tests/chaos/test_damage.py",
    ),
    Mutant(
        "the engine's panics go past us",
        _EDGE,
        '    return isinstance(error, Exception) or type(error).__name__ == "PanicException"\n',
        "    return isinstance(error, Exception)\n",
        "tests/chaos/test_damage.py",
    ),
    Mutant(
        "an answer is read from two moments of the catalog",
        _SEARCH,
        "            live, dropped = await self._readable(query, ids)\n",
        "            more, dropped = await self._readable(query, ids[wanted:])\n            live |= more\n",
        "tests/chaos/test_read_isolation.py",
    ),
    Mutant(
        "a document that changes between ranking and reading is missing",
        _SEARCH,
        "            if dropped.keys() <= gone:",
        "            if dropped is not None:",
        "tests/chaos/test_read_isolation.py",
    ),
    Mutant(
        "a document that changes while others wait for their end is missing",
        _SEARCH,
        "_TRIES = 10",
        "_TRIES = 3",
        "tests/chaos/test_read_isolation.py",
    ),
    *SERVICE,
    *ACCESS,
    *HTTP,
    *UPSTREAM,
    *PROMPTS,
    *ROUTING,
    *POLICY,
    *CACHE,
    *BUDGETS,
    *STREAMS,
)
