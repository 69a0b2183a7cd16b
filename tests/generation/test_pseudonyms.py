"""Personal data that a model never sees comes back in what it says, wherever its words were cut."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from generation.citations import Marks
from generation.filters.placeholders import Placeholders
from generation.model import Ask, Draft, DraftEnd, DraftRestarted, DraftSentence, DraftText, Repair, ResponseFormat
from generation.pseudonyms import Pseudonymous
from generation.unparsed import Unparsed
from retrieval.model import Context
from tests.passages import context
from tests.security.made_pii import MADE

MAIL, OTHER, CARD, PHONE = "ann@example.org", "bob@example.org", "4111 1111 1111 1111", "(415) 555-2671"
SOURCE = f"Write to {MAIL} or {OTHER}. Call {PHONE}. The card {CARD} is charged; {MAIL} gets the bill."


class Model:
    """Says what it is told to, in pieces, and remembers what it was sent."""

    name = "m"
    prompt_version = None

    def __init__(self, says: str, cuts: Sequence[int] = (), restarts: bool = False) -> None:
        self.asked: list[tuple[Ask, Context]] = []
        self._says, self._restarts = says, restarts
        self._cuts = [0, *sorted(cuts), len(says)]

    async def draft(self, ask: Ask, sent: Context) -> AsyncIterator[Draft]:
        self.asked.append((ask, sent))
        marks = Unparsed() if ask.response_format else Marks(len(sent.passages))
        if self._restarts:
            yield DraftText("Half an EMAI")
            yield DraftRestarted("upstream_truncated")
        for at, end in zip(self._cuts, self._cuts[1:], strict=False):
            for draft in marks.feed(self._says[at:end]):
                yield draft
        for draft in marks.close():
            yield draft
        yield DraftEnd()

    async def aclose(self) -> None:
        """Nothing to let go of."""


def drafted(model: Model, ask: Ask, given_: Context) -> list[Draft]:
    async def all_of_it() -> list[Draft]:
        return [draft async for draft in Pseudonymous(model).draft(ask, given_)]

    return asyncio.run(all_of_it())


def text(drafts: Sequence[Draft]) -> str:
    return "".join(draft.text for draft in drafts if isinstance(draft, DraftText))


def test_a_model_sees_none_of_it_and_a_value_has_one_name() -> None:
    model = Model("Nothing.")
    ask = Ask(f"Who is {MAIL}?", (("user", f"I am {PHONE}."),), repair=Repair(f'{{"a": "{CARD}"}}', f"At {OTHER}"))
    drafted(model, ask, context(SOURCE, "Nothing of that."))
    sent, passages = model.asked[0]
    everything = repr((sent, [(p.text, p.title, p.heading_path) for p in passages.passages]))
    for value in (MAIL, OTHER, CARD, PHONE, "ann@", "4111"):
        assert value not in everything
    assert passages.passages[0].text == (
        "Write to EMAIL_1 or EMAIL_2. Call PHONE_1. The card CARD_1 is charged; EMAIL_1 gets the bill."
    )
    assert sent.question == "Who is EMAIL_1?"
    assert passages.passages[1] == context(SOURCE, "Nothing of that.").passages[1]


SAYS = "Write to EMAIL_1 [1]. Or call PHONE_1, not EMAIL_9 or X_1 [1].\n- `CARD_1` (EMAIL_2) [1]"
SAID = f"Write to {MAIL}. Or call {PHONE}, not EMAIL_9 or X_1.\n- `{CARD}` ({OTHER})"


def test_the_values_are_back_at_every_split() -> None:
    for cut in range(len(SAYS) + 1):
        drafts = drafted(Model(SAYS, [cut]), Ask(f"{MAIL} {OTHER} {CARD} {PHONE}?"), context(SOURCE))
        assert text(drafts) == SAID, cut
        sentences = [draft for draft in drafts if isinstance(draft, DraftSentence)]
        assert [s.cited for s in sentences] == [(1,)] * 3
        assert [s.text for s in sentences] == [part.strip() for part in SAID.replace(". Or", ".\nOr").split("\n")]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(SAYS)), max_size=20))
def test_the_values_are_back_however_it_is_cut(cuts: list[int]) -> None:
    drafts = drafted(Model(SAYS, cuts, restarts=True), Ask("What?"), context(SOURCE))
    restart = next(n for n, draft in enumerate(drafts) if isinstance(draft, DraftRestarted))
    assert text(drafts[restart:]) == SAID
    since = ""
    for draft in drafts[restart + 1 :]:
        if isinstance(draft, DraftText):
            since += draft.text
        elif isinstance(draft, DraftSentence):
            assert since.strip() == draft.text
            since = ""


def test_data_stays_data() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEAx1AAAA\nBBBB\n-----END PRIVATE KEY-----"
    ask = Ask("What?", response_format=ResponseFormat())
    says = '{"key": "SECRET_1", "mail": "EMAIL_1"}'
    for cut in range(len(says)):
        drafts = drafted(Model(says, [cut]), ask, context(f"The key is {key} of {MAIL}."))
        told = json.loads(text(drafts))
        assert told["mail"] == MAIL
        assert told["key"] == key


def test_what_looks_like_a_placeholder_is_none() -> None:
    words = Placeholders(["The column EMAIL_1 holds EMAIL_2."])
    assert words.hide(f"EMAIL_1 is {MAIL}") == "EMAIL_1 is EMAIL_3"
    assert words.restored("EMAIL_1, EMAIL_3, EMAIL_33") == f"EMAIL_1, {MAIL}, EMAIL_33"
    assert words.restored("xEMAIL_3y") == f"x{MAIL}y"
    assert not Placeholders(["x"])


def test_every_kind_is_hidden_and_comes_back() -> None:
    draw = Random(3)
    for kind, (valid, _) in MADE.items():
        for _ in range(40):
            value = valid(draw)
            words = Placeholders([value])
            hidden = words.hide(f"It is {value} now.")
            assert words.restored(hidden) == f"It is {value} now.", kind
            assert sum(char.isdigit() for char in hidden) < 4 or kind in ("secret", "ip_address"), hidden
