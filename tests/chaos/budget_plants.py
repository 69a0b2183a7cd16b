"""Bugs to plant where money is reserved and spent, and where somebody has to wait. See `plants.py`."""

from tests.chaos.mutant import Mutant

_SQL = "app/adapters/sql_budgets.py"
_LEDGER = "app/budgets/ledger.py"
_PAID = "app/budgets/paid.py"
_PIPELINE = "app/pipeline.py"
_ADMISSION = "app/admission.py"
_STORE = "tests/app/test_budget_store.py"
_LEDGERS = "tests/app/test_ledger.py"
_CALLS = "tests/app/test_paid.py"
_SERVED = "tests/app/test_budgeted.py"
_SPENT = "tests/budgets/test_spending.py"
_ADMITTED = "tests/app/test_admission.py"
_RATES = "tests/app/test_rates.py"

_STEP = "        def step(db: Connection) -> Holding:\n"
_DRAWN = (
    "            drawn_on = [limit for limit in self._standings(db, subjects, now) if most.of(limit.unit)]\n"
    "            if not drawn_on:\n                return Holding()\n"
)

BUDGETS = (
    # What is reserved
    Mutant(
        "a budget is looked at first and drawn on later",
        _SQL,
        f"{_STEP}            lock(db)\n{_DRAWN}            self._beat(db, owner)\n            for limit in drawn_on:\n"
        "                self._reserve(db, limit, most.of(limit.unit))\n",
        f"{_STEP}{_DRAWN}            for limit in drawn_on:\n                if limit.left < most.of(limit.unit):\n"
        "                    raise _Short(limit)\n            __import__('time').sleep(0.01)\n            self._beat(db, owner)\n"
        "            for limit in drawn_on:\n"
        "                self._reserve(db, replace(limit, most=2**62), most.of(limit.unit))\n",
        _STORE,
    ),
    Mutant(
        "what is reserved counts for nothing",
        _SQL,
        "u.spent + u.reserved + amount <= limit.most",
        "u.spent + amount <= limit.most",
        _STORE,
    ),
    Mutant(
        "a budget holds one call more than it does",
        _SQL,
        "u.spent + u.reserved + amount <= limit.most",
        "u.spent + u.reserved < limit.most",
        _STORE,
    ),
    Mutant(
        "one budget keeps what another did not hold",
        _SQL,
        "        except _Short as short:\n",
        "        except _Short as short:\n            await self._catalog.transaction(\n"
        "                lambda db: db.execute(update(self._t.use).values(reserved=self._t.use.c.reserved + 1))\n"
        "            )\n",
        _STORE,
    ),
    Mutant(
        "a key draws on its own budget and not on its tenant's",
        "app/budgets/model.py",
        "    return (*mine, TENANT + who.tenant)\n",
        "    return mine or (TENANT + who.tenant,)\n",
        _LEDGERS,
    ),
    Mutant(
        "a call is made before it is reserved",
        _PAID,
        "        hold = await purse.hold(self._terms.bound(most))\n",
        "        before = [draft async for draft in self._generator.draft(ask, context)]\n"
        "        hold = await purse.hold(self._terms.bound(most))\n        del before\n",
        _CALLS,
    ),
    Mutant(
        "a prompt is reserved by its letters",
        _PAID,
        'len(message["content"].encode("utf-8", "replace")) + _FRAME',
        'len(message["content"]) // 4',
        _CALLS,
    ),
    Mutant(
        "a call without a purse of its own is anybody's",
        _PIPELINE,
        "                        use(purse)  # whoever pulls the next event, perhaps another task than before\n",
        "",
        f"{_SERVED}::TestPaying",
    ),
    Mutant(
        "what cannot be reserved is spent all the same",
        _LEDGER,
        "            self._unsettled[id_] = Amount()\n            raise\n",
        "            self._unsettled[id_] = Amount()\n            return None\n",
        _LEDGERS,
    ),
    # What is settled
    Mutant(
        "what is settled twice is spent twice",
        _SQL,
        "            db.execute(delete(self._t.holds).where(h.id == hold_id))\n",
        "",
        _STORE,
    ),
    Mutant(
        "what was reserved stays so when it is spent",
        _SQL,
        '"reserved": u.reserved - held}',
        '"reserved": u.reserved}',
        _STORE,
    ),
    Mutant(
        "what was freed is given back once more when it is settled",
        _SQL,
        "        held = 0 if row.freed else row.amount\n",
        "        held = row.amount\n",
        _STORE,
    ),
    Mutant(
        "a call that breaks off is free",
        _PAID,
        "            usage = error.usage\n",
        "            usage = Usage()\n",
        _CALLS,
    ),
    Mutant(
        "a call that is left is free",
        _PAID,
        "usage = sum((attempt.usage for attempt in ask.meter.attempts[before:]), Usage())",
        "usage = Usage()",
        _CALLS,
    ),
    Mutant(
        "a call whose end is told and which is then closed is paid twice",
        _PAID,
        "            if usage is None:  # a draft that is closed behind its end has told it already\n"
        "                usage = sum((attempt.usage for attempt in ask.meter.attempts[before:]), Usage())\n",
        "            usage = sum((attempt.usage for attempt in ask.meter.attempts[before:]), usage or Usage())\n",
        _CALLS,
    ),
    Mutant(
        "whoever is cancelled while settling has not settled",
        _LEDGER,
        "        await asyncio.shield(settling)\n",
        "        await settling\n",
        _LEDGERS,
    ),
    Mutant(
        "what could not be settled is forgotten",
        _LEDGER,
        "            self._unsettled[id_] = spent\n            _log.warning",
        "            _log.warning",
        _LEDGERS,
    ),
    Mutant(
        "the last call of a day counts for the next",
        _SQL,
        'term": of.window if isinstance(of, Standing) else of.term}',
        'term": of.window if isinstance(of, Standing) else window_of("day", datetime.now(UTC))}',
        _STORE,
    ),
    # What the dead held
    Mutant(
        "a lease never ends",
        _LEDGER,
        "            if now - self._silent[owner.id][1] >= self._lease_s:\n",
        "            if now - self._silent[owner.id][1] >= 100 * self._lease_s:\n",
        _LEDGERS,
    ),
    Mutant(
        "a lease ends while its owner lives",
        _LEDGER,
        "        if self._held:\n            await self.store.beat(self._alive())\n",
        "",
        _LEDGERS,
    ),
    Mutant(
        "who is freed need not be the one who was seen to be silent",
        _SQL,
        ".where(o.id == owner.id, o.beat == owner.beat)",
        ".where(o.id == owner.id)",
        _STORE,
    ),
    Mutant(
        "a reservation is no sign of life",
        _SQL,
        "            self._beat(db, owner)\n            for limit in drawn_on:\n",
        "            if not db.execute(select(self._t.owners).where(self._t.owners.c.id == owner.id)).first():\n"
        "                self._beat(db, owner)\n            for limit in drawn_on:\n",
        _LEDGERS,
    ),
    Mutant(
        "a process with the number of a dead one holds what that held",
        _LEDGER,
        "            if here and started(owner.pid) != owner.started:\n",
        "            if here and started(owner.pid) is None:\n",
        _LEDGERS,
    ),
    Mutant(
        "a start takes those elsewhere for dead",
        _LEDGER,
        "            here = owner.place and owner.place == self._owner.place\n",
        "            here = True\n",
        _LEDGERS,
    ),
    # What is told
    Mutant(
        "the warning never comes",
        _SQL,
        "u.spent >= ceil(limit.most * warn_at)",
        "u.spent > limit.most",
        _STORE,
    ),
    Mutant(
        "the warning comes with every call",
        _SQL,
        "        first = and_(self._at(limit), u.warned == false(),",
        "        first = and_(self._at(limit),",
        _STORE,
    ),
    Mutant(
        "an answer does not say that its budget was used up",
        "app/budgets/purse.py",
        "            self._short()\n",
        "",
        f"{_SERVED}::TestUsedUp",
    ),
    Mutant(
        "a limit that is changed is not noticed",
        _SQL,
        "where(b.changed > seen)",
        "where(b.changed > seen + 1)",
        _STORE,
    ),
    # Who waits
    Mutant(
        "one key takes the whole line",
        _ADMISSION,
        "            last = self._line.give_way(who)\n",
        "            last = None\n",
        _ADMITTED,
    ),
    Mutant(
        "keys take no turns",
        "app/limits/line.py",
        "        if line:\n            self._lines[key] = line\n        self._count -= 1\n        return visitor\n",
        "        if line:\n            self._lines[key] = line\n            self._lines.move_to_end(key, last=False)\n"
        "        self._count -= 1\n        return visitor\n",
        _RATES,
    ),
    Mutant(
        "the place of who leaves at the last moment is lost",
        _ADMISSION,
        "            self._line.leave(who, turn)\n            self._give_up(turn)\n",
        "            self._line.leave(who, turn)\n",
        _ADMITTED,
    ),
    Mutant(
        "nobody says how long the line takes",
        _ADMISSION,
        "retry_after=self._pace.retry_after(self._waiting + 1)",
        "retry_after=None",
        _ADMITTED,
    ),
    Mutant(
        "a minute begins anew for everybody at once",
        "app/limits/window.py",
        "        while counts and counts[0][0] < slot - _SLOTS:\n            counts.popleft()\n",
        "        while counts and counts[0][0] // _SLOTS < slot // _SLOTS:\n            counts.popleft()\n",
        _RATES,
    ),
    Mutant(
        "any header says where a request comes from",
        "app/api/limits.py",
        '    text = scope["client"][0] if scope.get("client") else ""\n',
        '    said = dict(scope.get("headers", ())).get(b"x-forwarded-for", b"").decode()\n'
        '    text = said or (scope["client"][0] if scope.get("client") else "")\n',
        _RATES,
    ),
)
