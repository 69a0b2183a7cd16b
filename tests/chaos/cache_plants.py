"""Bugs to plant in the answer cache: whose answers are given to whom, and until when. See `plants.py`."""

from tests.chaos.mutant import Mutant

_KEY = "app/cache/key.py"
_ANSWERS = "app/cache/answers.py"
_STORE = "app/adapters/sql_answer_cache.py"
_CACHED = "tests/app/test_cached.py"
_CONTRACT = "tests/app/test_answer_cache.py::TestSqlAnswerCache"
_FLIGHT = "tests/app/test_flight.py"

CACHE = (
    Mutant(
        "tenants share answers",
        _KEY,
        "    space = digest([FORMAT, made_by, question.principal.tenant, plain(scope), asked])\n",
        "    space = digest([FORMAT, made_by, scope.collection, plain(scope.groups), asked])\n",
        f"{_CACHED}::TestKey",
    ),
    Mutant(
        "groups share answers",
        _KEY,
        "    space = digest([FORMAT, made_by, question.principal.tenant, plain(scope), asked])\n",
        "    space = digest([FORMAT, made_by, question.principal.tenant, scope.collection_id, scope.collection, asked])\n",
        f"{_CACHED}::TestKey",
    ),
    Mutant(
        "another index, prompt or setting answers from the cache",
        _KEY,
        "    space = digest([FORMAT, made_by, question.principal.tenant, plain(scope), asked])\n",
        "    space = digest([FORMAT, question.principal.tenant, plain(scope), asked])\n",
        f"{_CACHED}::TestKey",
    ),
    Mutant(
        "a field of the question is left out of the key",
        _KEY,
        'frozenset(("text", "release", "request_id", "cache", "principal"))',
        'frozenset(("text", "release", "request_id", "cache", "principal", "filters"))',
        f"{_CACHED}::TestKey",
    ),
    Mutant(
        "a setting is left out of the key",
        _KEY,
        '"webhooks", "reindex", "ingest",',
        '"webhooks", "reindex", "ingest", "filter",',
        f"{_CACHED}::TestKey",
    ),
    Mutant(
        "likeness alone makes a hit",
        _ANSWERS,
        "            elif same_question(entry.text, asked.at.text) and",
        "            elif (same_question or entry) and",
        f"{_CACHED}::TestNot::test_a_question_that_changes_only_in_one_thing",
    ),
    Mutant(
        "the guard is deaf to small words",
        "app/cache/canonical.py",
        '_LEFT_OUT = frozenset(listed("a an the please actually kindly"))',
        '_LEFT_OUT = frozenset(listed("a an the please actually kindly in out before after"))',
        "tests/app/test_cache_guard.py::test_of_2000_near_pairs_none_is_the_same_question",
    ),
    Mutant(
        "answers that are cut or degraded are kept",
        _ANSWERS,
        "        if not may_be_cached(end):\n",
        '        if not may_be_cached(end) and end.finish_reason == "error":\n',
        f"{_CACHED}::TestNot::test_an_answer_that_is_not_whole",
    ),
    Mutant(
        "a change of a document changes no revision",
        "ingest/adapters/sql_revisions.py",
        "        db.execute(counted.values(revision=collections.c.revision + 1))\n",
        "        assert counted is not None\n",
        _CONTRACT,
    ),
    Mutant(
        "a document that is deleted leaves its answers",
        "ingest/adapters/sql_revisions.py",
        "        db.execute(delete(answer_cache).where(answer_cache.c.number.in_(resting)))\n",
        "        assert resting is not None\n",
        _CONTRACT,
    ),
    Mutant(
        "an answer is kept under a revision that it was not made at",
        _STORE,
        "        if self._revision(db, at) != revision or ",
        "        if ",
        _CONTRACT,
    ),
    Mutant(
        "who may not read a document gets what was said of it",
        _STORE,
        "        return found if all(_admits(at.groups, access) for access in standing.values()) else None\n",
        "        return found if all(_admits(None, access) for access in standing.values()) else None\n",
        _CONTRACT,
    ),
    Mutant(
        "a damaged answer is given",
        _STORE,
        "        sound = row.seal == _seal(",
        "        sound = bool(row.seal) or row.seal == _seal(",
        _CONTRACT,
    ),
    Mutant(
        "bypass is ignored",
        _ANSWERS,
        ' or question.cache == "bypass"',
        "",
        f"{_CACHED}::TestNot::test_what_was_asked_around_it_is_not_kept_either",
    ),
    Mutant(
        "no-cache is ignored",
        "app/api/ask.py",
        "    if wants_it_fresh(request):\n",
        "    if not request:\n",
        f"{_CACHED}::TestWire",
    ),
    Mutant(
        "a flight whose asker has left is never ended",
        _ANSWERS,
        "            self.flights.end(flight, None)  # its asker has left\n",
        "            assert flight\n",
        f"{_FLIGHT}::test_who_leaves_takes_nothing_from_the_others",
    ),
    Mutant(
        "everybody makes an answer of their own",
        _ANSWERS,
        "            if leads:\n",
        "            if leads or flight:\n",
        f"{_FLIGHT}::test_100_equal_questions_at_once_cost_one_generation",
    ),
    Mutant(
        "who waits holds a place that others need",
        _ANSWERS,
        "            place.leave()\n",
        "",
        f"{_FLIGHT}::test_other_questions_are_answered_while_many_wait",
    ),
    Mutant(
        "who waited gets an answer from before a change",
        _ANSWERS,
        "        if looked is None or looked.revision == asked.revision:\n",
        "        if looked is None or looked.revision:\n",
        f"{_FLIGHT}::test_an_answer_from_before_a_change_is_given_to_none_who_waits",
    ),
)
