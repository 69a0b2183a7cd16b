"""Which documents a question names, against a slow twin and on the cases that people have."""

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random

import pytest

from ingest.ports import Lead
from retrieval.errors import SearchTimeout
from retrieval.filters import AllOf, OneOf
from retrieval.model import Query, Scope
from retrieval.names import DocumentNames, called, introduced, names_in, words_of
from tests.upstream.virtual import run_virtually

SCOPE = Scope("col", "filings", None)


def lead(name: str, text: str = "", *, month: int = 1, access: tuple[str, ...] = (), version: int = 1) -> Lead:
    return Lead(name, version, name, "", text, datetime(2026, month, 1, tzinfo=UTC), access)


FILINGS = [
    lead("2023 Q1 ACME.pdf", "ACME INC. Form 10-Q for the quarter", month=3),
    lead("2023 Q2 ACME.pdf", "ACME INC. Form 10-Q for the quarter", month=6),
    lead("2023 Q1 BRML.pdf", "Bramble Corporation Form 10-Q for the quarter", month=3),
    lead("2023 Q2 BRML.pdf", "Bramble Corporation Form 10-Q for the quarter", month=6),
    lead("deploy_guide.md", "How to put the service on a host"),
]


class Shelf:
    """A catalog's leads that a test changes."""

    def __init__(self, leads: list[Lead]) -> None:
        self.live = {lead.document_id: lead for lead in leads}
        self.read = 0

    async def stamp(self, collection_id: str) -> str:
        return str(sorted((i, lead.version) for i, lead in self.live.items()))

    async def leads(self, collection_id: str, known: Mapping[str, int]) -> tuple[set[str], list[Lead]]:
        changed = [lead for i, lead in self.live.items() if known.get(i) != lead.version]
        self.read += len(changed)
        return set(self.live), changed


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


def names(*leads: Lead) -> DocumentNames:
    return DocumentNames(Shelf(list(leads)), Clock())


def named(question: str, known: DocumentNames, scope: Scope = SCOPE) -> list[str]:
    narrowed = run_virtually(known.narrowed(Query(question, scope)))
    if narrowed is None:
        return []
    assert isinstance(narrowed.filters, AllOf)
    condition = narrowed.filters.parts[-1]
    assert isinstance(condition, OneOf)
    assert condition.key == "document_id"
    return sorted(str(value) for value in condition.values)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What were the net sales of Acme in Q2 2023?", ["2023 Q2 ACME.pdf"]),
        ("acme's risks in the q1 filing", ["2023 Q1 ACME.pdf"]),
        ("How did Bramble's revenue develop?", ["2023 Q1 BRML.pdf", "2023 Q2 BRML.pdf"]),
        ("What does Bramble say of tax in its latest 10-Q?", ["2023 Q2 BRML.pdf"]),
        ("What is the first step of the deploy guide?", ["deploy_guide.md"]),
        ("What does deploy_guide.md say?", ["deploy_guide.md"]),
        ("deploy_guide", ["deploy_guide.md"]),
        ("acme", ["2023 Q1 ACME.pdf", "2023 Q2 ACME.pdf"]),
        ("acme_mismatch", []),  # an identifier, whatever a word of it names
        ("What was the revenue for the quarter?", []),  # every filing has a quarter
        ("What is the capital of France?", []),
        ("", []),
    ],
)
def test_people_name_documents_by_what_sets_them_apart(question: str, expected: list[str]) -> None:
    assert named(question, names(*FILINGS)) == expected


def test_the_newest_is_meant_only_when_it_is_asked_for() -> None:
    assert named("Bramble's recent sales", names(*FILINGS)) == ["2023 Q1 BRML.pdf", "2023 Q2 BRML.pdf"]


def test_what_the_asker_may_not_read_is_neither_named_nor_counted() -> None:
    secret = [lead(f"secret {n} acme.pdf", access=("board",)) for n in range(9)]
    known = names(*FILINGS, *secret)
    everyone = Scope("col", "filings", frozenset())
    assert named("Acme Q1", known, everyone) == named("Acme Q1", names(*FILINGS)) == ["2023 Q1 ACME.pdf"]
    assert "secret 3 acme.pdf" in named("secret 3 of acme", known, Scope("col", "filings", frozenset({"board"})))


def test_filters_of_the_asker_stay() -> None:
    mine = OneOf("tags", ("tax",))
    narrowed = run_virtually(names(*FILINGS).narrowed(Query("Acme Q1", SCOPE, mine)))
    assert narrowed is not None
    assert isinstance(narrowed.filters, AllOf)
    assert mine in narrowed.filters.parts


def test_it_follows_the_catalog_and_reads_only_what_changed() -> None:
    shelf = Shelf(FILINGS)
    known = DocumentNames(shelf, Clock())
    assert named("bramble", known) == ["2023 Q1 BRML.pdf", "2023 Q2 BRML.pdf"]
    assert shelf.read == len(FILINGS)
    del shelf.live["2023 Q1 BRML.pdf"]
    shelf.live["deploy_guide.md"] = lead("deploy_guide.md", "Zebra", version=2)
    assert named("bramble", known) == ["2023 Q2 BRML.pdf"]
    assert named("zebra", known) == ["deploy_guide.md"]
    assert shelf.read == len(FILINGS) + 1


def test_between_two_looks_nothing_is_asked() -> None:
    shelf = Shelf(FILINGS)
    known = DocumentNames(shelf, lambda: 5.0)
    assert named("bramble q1", known) == ["2023 Q1 BRML.pdf"]
    shelf.live.clear()
    assert named("bramble q1", known) == ["2023 Q1 BRML.pdf"]


class SlowShelf(Shelf):
    """Reading it takes until a test says so."""

    def __init__(self, leads: list[Lead]) -> None:
        super().__init__(leads)
        self.readable = asyncio.Event()

    async def leads(self, collection_id: str, known: Mapping[str, int]) -> tuple[set[str], list[Lead]]:
        await self.readable.wait()
        return await super().leads(collection_id, known)


def test_a_question_does_not_wait_for_a_catalog_that_takes_long_to_read() -> None:
    """It is read on, also when who asked first has gone, and read once."""
    shelf = SlowShelf(FILINGS)
    known = DocumentNames(shelf, patience_s=0.01)
    asked = Query("bramble q1", SCOPE)

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(SearchTimeout, match="still being learnt"):
                await known.narrowed(asked)
        gone = asyncio.create_task(known.learn(["col"]))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        shelf.readable.set()
        await known.learn(["col"])
        assert await known.narrowed(asked) is not None
        assert shelf.read == len(FILINGS)

    run_virtually(main())


def test_what_changes_is_learnt_behind_questions_that_go_on_with_what_is_known() -> None:
    shelf = SlowShelf(FILINGS)
    shelf.readable.set()
    known = DocumentNames(shelf, Clock(), patience_s=0.01)

    async def main() -> None:
        await known.learn(["col"])
        shelf.readable.clear()
        shelf.live["new"] = lead("zebra.md")
        assert await known.narrowed(Query("zebra", SCOPE)) is None
        assert await known.narrowed(Query("bramble q1", SCOPE)) is not None
        shelf.readable.set()
        await known.learn(["col"])
        assert await known.narrowed(Query("zebra", SCOPE)) is not None

    run_virtually(main())


def test_what_is_being_learnt_ends_with_the_service() -> None:
    known = DocumentNames(SlowShelf(FILINGS), patience_s=0.01)

    async def main() -> None:
        with pytest.raises(SearchTimeout):
            await known.narrowed(Query("bramble", SCOPE))
        await known.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtually(main())


def test_first_lines_weigh_less_than_a_name_and_count_names_only() -> None:
    words = introduced(lead("plan.md", "Otters swim in Rome since 1999"))
    assert words == {"plan": 1.0, "otters": 0.7, "rome": 0.7, "1999": 0.7}


def slowly_named(question: str, leads: list[Lead], scope: Scope) -> list[str]:
    """Every document, every word, as the rules are told."""
    mine = [lead for lead in leads if scope.admits(lead.access)]
    told = {lead.document_id: introduced(lead) for lead in mine}
    words = words_of(question)
    names = names_in(question, {word for lead in leads for word in introduced(lead)})
    scores, spelled, asked = {lead.document_id: 0.0 for lead in mine}, set(), 0.0
    for word in words:
        holders = [lead for lead in mine if word in told[lead.document_id]]
        if len(holders) > 0.5 * len(mine):
            continue
        weight = math.log(1 + (len(mine) - len(holders) + 0.5) / (len(holders) + 0.5))
        counts = word in names
        for lead in holders:
            whole = any(len(name) > 1 and word in name and name <= words for name in called(lead))
            if whole or word in names:
                scores[lead.document_id] += weight * told[lead.document_id][word]
                counts = True
            if whole or (word in names and not word.isdigit()):
                spelled.add(lead.document_id)
        asked += weight if counts else 0.0
    best = max((scores[i] for i in spelled), default=0.0)
    if best < 0.5 * asked:
        return []
    found = sorted(i for i in spelled if scores[i] >= 0.9 * best)
    return found if len(found) <= 0.5 * len(mine) else []


def test_indexes_find_what_looking_at_every_document_finds() -> None:
    random = Random(7)
    words = [
        "Acme",
        "Bramble",
        "guide",
        "deploy",
        "2023",
        "2024",
        "q1",
        "q2",
        "tax",
        "Otter",
        "plan",
        "index",
        "report",
        "the",
    ]
    found = 0
    for _ in range(400):
        some = [
            lead(
                f"{' '.join(random.sample(words, random.randint(1, 3)))} {n}.md",
                " ".join(random.sample(words, random.randint(0, 4))),
                access=("board",) if random.random() < 0.2 else (),
            )
            for n in range(random.randint(1, 9))
        ]
        question = " ".join(random.sample(words, random.randint(1, 5)) + random.sample("123456789", 1))
        scope = random.choice(
            [SCOPE, Scope("col", "filings", frozenset()), Scope("col", "filings", frozenset({"board"}))]
        )
        expected = slowly_named(question, some, scope)
        assert named(question, names(*some), scope) == expected, (question, some)
        found += bool(expected)
    assert 30 < found < 370


def test_words_that_tell_nothing_do_not_count() -> None:
    assert words_of("What is the Foo_Bar of v2?") == {"foo", "bar", "v2"}
