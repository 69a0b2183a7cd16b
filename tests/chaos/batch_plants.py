"""Bugs to plant in batches and webhooks. See `plants.py`."""

from tests.chaos.mutant import Mutant

_SENDER = "app/adapters/webhook_sender.py"
_NAMED = "app/adapters/named_address.py"
_SSRF = "tests/security/test_ssrf.py"
_WEBHOOKS = "tests/app/test_webhooks.py"
_STORE = "tests/app/test_batch_store.py"
_ADMITTED = "tests/app/test_admission.py"

BATCHES = (
    # Webhooks that lead inside, or are not what was sent
    Mutant(
        "a name is looked up once to be checked and once to be connected to",
        _SENDER,
        "        return addresses[:_MOST_TRIED]\n",
        "        return (await self._resolve(target.host, target.port))[:_MOST_TRIED]\n",
        f"{_SSRF} -k second_time",
    ),
    Mutant(
        "one public address vouches for all of a name's",
        _SENDER,
        "not all(map(is_public, addresses))",
        "not any(map(is_public, addresses))",
        f"{_SSRF} -k any_of_its_addresses",
    ),
    Mutant(
        "redirects are followed",
        _NAMED,
        "follow_redirects=False",
        "follow_redirects=True",
        f"{_SSRF} -k redirect",
    ),
    Mutant(
        "a proxy of the environment is used",
        _NAMED,
        "trust_env=False",
        "trust_env=True",
        f"{_SSRF} -k proxy",
    ),
    Mutant(
        "6to4 and documentation are public",
        "app/addresses.py",
        '"2001:db8::/32", "2002::/16", ',
        "",
        "tests/app/test_addresses.py",
    ),
    Mutant(
        "the certificate is compared with the address",
        _NAMED,
        '"sni_hostname": target.host',
        '"sni_hostname": address',
        f"{_WEBHOOKS}::TestTls",
    ),
    Mutant(
        "the body is not signed",
        "app/webhooks.py",
        'f"{webhook_id}.{seconds}.".encode() + body',
        'f"{webhook_id}.{seconds}.".encode()',
        f"{_WEBHOOKS}::TestSigning",
    ),
    Mutant(
        "a receiver that is gone is told again and again",
        "app/webhooks.py",
        "            await self.store.give_up(webhook.url, error, self._clock())\n",
        "            assert error\n",
        f"{_WEBHOOKS}::TestDelivery",
    ),
    Mutant(
        "a webhook is sent before its job has ended",
        "app/adapters/sql_webhooks.py",
        "j.status.in_(ENDED)",
        "j.status.is_not(None)",
        f"{_STORE}::TestSqlWebhooks",
    ),
    # Results
    Mutant(
        "an answer is kept that rests on what was deleted meanwhile",
        "app/adapters/sql_batches.py",
        "            if not self._all_live(db, documents):\n                return False\n",
        "",
        f"{_STORE}::TestDeletion::test_a_document_that_is_not_live_yet_holds_nothing",
    ),
    Mutant(
        "answers outlive what they rest on",
        "ingest/adapters/sql_removal.py",
        '.values(state="withdrawn", result=None, asked=None)',
        '.values(state="answered")',
        f"{_STORE}::TestDeletion",
    ),
    Mutant(
        "a question is answered twice",
        "app/adapters/sql_batches.py",
        'mine = and_(q.job_id == job_id, q.number == number, q.state == "waiting")',
        "mine = and_(q.job_id == job_id, q.number == number)",
        f"{_STORE}::TestSqlBatches::test_a_result_is_kept_once",
    ),
    # Who waits for whom
    Mutant(
        "a batch takes places of those who ask",
        "app/admission.py",
        "        async with super().admit(who) as place, self._before.spare():\n",
        "        async with super().admit(who) as place, self._before.admit():\n",
        _ADMITTED,
    ),
    Mutant(
        "a batch fills the service over what it may run at once",
        "app/admission.py",
        "self._running + self._spare >= self._max_running",
        "self._running >= self._max_running",
        _ADMITTED,
    ),
    Mutant(
        "what a provider wrote counts for another context",
        "generation/batch.py",
        'f"{asked}\\n{passages}"',
        "asked",
        "tests/generation/test_openai_batch.py::TestDrafts",
    ),
)
