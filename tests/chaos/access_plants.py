"""Bugs to plant in who may read and do what: filters left out, keys that fit more than they should, owners not asked for."""

from tests.chaos.mutant import Mutant

_LIBRARY = "app/keys/library.py"
_RING = "app/keys/ring.py"
_MODEL = "app/keys/model.py"
_ROUTES = "app/keys/routes.py"
_DOOR = "app/api/authentication.py"
_AUTHENTICATOR = "app/keys/authenticator.py"
_MATRIX = "tests/app/test_isolation.py"
_KEYS = "tests/app/test_keys.py"
_SERVED = "tests/app/test_keyed_service.py"
_OIDC = "tests/app/test_oidc.py"
_ONE_FILTER = "tests/retrieval/test_one_filter.py"

ACCESS = (
    # Searches and reads
    Mutant(
        "a search is not confined to the asker's groups",
        "retrieval/model.py",
        "        if self.groups is None:\n            return AllOf((mine,))\n",
        "        if self.groups is None or mine:\n            return AllOf((mine,))\n",
        f"{_ONE_FILTER}",
    ),
    Mutant(
        "labels are not looked at when a text is read",
        "retrieval/model.py",
        "        return self.groups is None or not access or not self.groups.isdisjoint(access)\n",
        "        return True\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "a collection is looked up without its tenant",
        _LIBRARY,
        "        found = await self._catalog.collection(collection, tenant=self._who.tenant)\n        if found",
        "        found = await self._catalog.collection(collection)\n        if found",
        f"{_MATRIX}",
    ),
    Mutant(
        "collections of all tenants are listed",
        "ingest/adapters/sql_catalog.py",
        "        asked = select(c.name, c.id).where(c.tenant == tenant).order_by(c.name)\n",
        "        asked = select(c.name, c.id).order_by(c.name)\n",
        "tests/ingest/test_tenants.py",
    ),
    Mutant(
        "collections of two tenants have one id",
        "ingest/model.py",
        'f"\\0{tenant}"\n',
        '""\n',
        "tests/ingest/test_tenants.py",
    ),
    Mutant(
        "a document is read without looking at its labels",
        _LIBRARY,
        "        if row is None or row.collection_id not in names or not self._admits(row):\n",
        "        if row is None or row.collection_id not in names:\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "a document is read without looking at its tenant",
        _LIBRARY,
        "        if row is None or row.collection_id not in names or not self._admits(row):\n"
        '            raise DocumentNotFound("There is no such document.")\n'
        "        return row, names[row.collection_id]\n",
        "        if row is None or not self._admits(row):\n"
        '            raise DocumentNotFound("There is no such document.")\n'
        '        return row, names.get(row.collection_id, "")\n',
        f"{_MATRIX}",
    ),
    Mutant(
        "a list of documents holds those of other groups",
        _LIBRARY,
        "            found += [row for row in rows if self._admits(row)]\n",
        "            found += rows\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "a source is read without looking at its labels",
        _LIBRARY,
        "        if not Scope(live.collection_id, names[live.collection_id], self._who.groups).admits(live.metadata.access):\n",
        "        if False:\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "counts are of all documents",
        _LIBRARY,
        "        return await self._catalog.count_live(collection_id, self._who.groups)\n",
        "        return await self._catalog.count_live(collection_id)\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "a key of one collection reads all",
        _MODEL,
        "        return self.collections is None or collection in self.collections\n",
        "        return True\n",
        f"{_MATRIX}",
    ),
    # What somebody asked for
    Mutant(
        "a job is told to whoever knows its id",
        "app/dispatch.py",
        "        if job is None or (who is not None and not who.may_see(job.owner)):\n",
        "        if job is None:\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "jobs of all tenants are listed",
        "app/adapters/sql_jobs.py",
        "select(self._jobs).where(seen_by(self._jobs, who)).order_by(j.number.desc())",
        "select(self._jobs).order_by(j.number.desc())",
        f"{_MATRIX}",
    ),
    Mutant(
        "what a colleague asked for is everybody's of the tenant",
        _MODEL,
        "        return self.tenant == owner.tenant and (self.sees_all or self.key_id == owner.key_id)\n",
        "        return self.tenant == owner.tenant\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "a chief sees what other tenants asked for",
        _MODEL,
        "        return self.tenant == owner.tenant and (self.sees_all or self.key_id == owner.key_id)\n",
        "        return self.sees_all or self.key_id == owner.key_id\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "an answer is explained to whoever knows its id",
        "app/api/answers.py",
        "found is None or not who.may_see(found.owner) or",
        "found is None or",
        f"{_MATRIX}",
    ),
    Mutant(
        "an answer is explained to colleagues when it is read from the disk",
        "app/adapters/sql_explanations.py",
        "        **owner_values(explanation.owner),\n",
        "",
        f"{_MATRIX}",
    ),
    Mutant(
        "dead letters of all tenants can be sent again",
        "app/adapters/sql_webhooks.py",
        '        mine = and_(w.id == webhook_id, w.state == "dead", self._seen_by(who))\n',
        '        mine = and_(w.id == webhook_id, w.state == "dead")\n',
        f"{_MATRIX}",
    ),
    Mutant(
        "an idempotency key is everybody's",
        "app/api/idempotency.py",
        '    whose = "" if who.key_id is None else f"{who.tenant}\\0{who.key_id}\\0"',
        '    whose = ""',
        f"{_MATRIX}",
    ),
    Mutant(
        "a batch is answered with the rights of this machine",
        "app/batch.py",
        "question_of(body, self._settings, job.id, job.owner)",
        "question_of(body, self._settings, job.id, LOCAL)",
        f"{_MATRIX}",
    ),
    Mutant(
        "a question forgets who asks it",
        "app/asked.py",
        "        principal=who,\n",
        "",
        f"{_MATRIX}",
    ),
    Mutant(
        "an upload may carry labels that its key does not hold",
        _MODEL,
        "        return self.groups is None or self.groups.issuperset(labels)\n",
        "        return True\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "labels of an upload get lost",
        "app/uploads.py",
        "        parsed = replace(await self._reader.read(source, data), access=access)\n",
        "        parsed = await self._reader.read(source, data)\n",
        f"{_MATRIX}",
    ),
    # Keys
    Mutant(
        "a revoked key goes on",
        _RING,
        '        if key.revoked_at is not None:\n            raise KeyRevoked("This key was revoked.")\n',
        "",
        f"{_KEYS}",
    ),
    Mutant(
        "an expired key goes on",
        _RING,
        "        if key.expires_at is not None and key.expires_at <= self._now():\n",
        "        if False:\n",
        f"{_KEYS}",
    ),
    Mutant(
        "a service whose keys are all revoked is open again",
        _RING,
        "        return not self._by_id\n",
        "        return all(key.revoked_at for key in self._by_id.values())\n",
        f"{_KEYS}",
    ),
    Mutant(
        "a service that others reach is open",
        _AUTHENTICATOR,
        "        return self._only_here and self._tokens is None and self.ring.empty\n",
        "        return self._tokens is None and self.ring.empty\n",
        f"{_KEYS}",
    ),
    Mutant(
        "a stream outlives its key",
        "app/api/stream.py",
        "            async with Interruption() as here, _watched(receive, self._end, here.interrupt):\n",
        "            async with Interruption() as here, _watched(receive, None, here.interrupt):\n",
        f"{_SERVED}::TestRevocation::test_the_events_of_a_job",
    ),
    Mutant(
        "a batch outlives its key",
        "app/batch.py",
        "            await self._check(job.owner)\n",
        "",
        f"{_SERVED}::TestRevocation::test_the_questions_of_a_batch",
    ),
    Mutant(
        "scopes are not looked at",
        _DOOR,
        "        need.check(who)\n",
        "",
        f"{_MATRIX}",
    ),
    Mutant(
        "an address that no table knows is everybody's",
        _ROUTES,
        '        if self.special == "unknown" and not who.operator:\n',
        "        if False:\n",
        f"{_KEYS}",
    ),
    Mutant(
        "what is another's is told sooner or later than what is not there",
        _DOOR,
        "                send = _evened(send)\n",
        "                pass\n",
        f"{_MATRIX}",
    ),
    Mutant(
        "a token chooses how it is checked",
        "app/adapters/jwt_tokens.py",
        '        if key.get("kty") == "oct" or key.get("alg", algorithm) != algorithm or key.get("use", "sig") != "sig":\n',
        "        if False:\n",
        f"{_OIDC}",
    ),
    Mutant(
        "a token for another service is accepted",
        "app/adapters/jwt_tokens.py",
        "                audience=self._audience,\n",
        '                audience=[self._audience, "another"],\n',
        f"{_OIDC}",
    ),
    Mutant(
        "the provider's keys are fetched from inside",
        "app/adapters/jwks.py",
        "            if not addresses or (inside and not private):\n",
        "            if not addresses:\n",
        f"{_OIDC}",
    ),
)
