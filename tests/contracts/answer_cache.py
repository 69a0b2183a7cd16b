"""What every store of kept answers must do. Inherit, and give a `world` fixture: a store and the documents that it knows."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from app.cache.key import Address, digest
from app.cache.ports import AnswerCache, Bounds, Entry

T = TypeVar("T")
EVER = datetime(2000, 1, 1, tzinfo=UTC)
WIDE = Bounds(10_000, 2**30, EVER)


class World(Protocol):
    """A collection with the documents `a` and `b`, live in version 1; `b` is for the group `board` alone."""

    store: AnswerCache
    collection: str

    def document(self, name: str) -> str:
        """Its id."""
        ...

    def change(self, name: str) -> None:
        """Its next version goes live."""
        ...

    def delete(self, name: str) -> None:
        """It is hidden."""
        ...

    def damage(self, column: str) -> None:
        """Flip a bit of that column in every kept answer."""
        ...


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def at(world: World, text: str = "Why?", space: str = "s", groups: frozenset[str] | None = None) -> Address:
    return Address(digest([space, sorted(groups) if groups is not None else None]), world.collection, text, groups)


def entry(world: World, text: str = "Why?", body: bytes = b'{"text":"Because."}', on: str = "a") -> Entry:
    return Entry(text, body, tuple((world.document(name), 1) for name in on), b"\0\0\x80?")


def kept(world: World, where: Address, what: Entry, bounds: Bounds = WIDE) -> bool:
    revision = run(world.store.look(where, EVER)).revision
    return run(world.store.keep(where, revision, what, bounds))


def found(world: World, where: Address) -> Entry | None:
    return run(world.store.look(where, EVER)).entry


class AnswerCacheContract:
    """An answer is there for the same question in the same space, until anything changes that it could depend on."""

    def test_an_answer_comes_back_as_it_was_kept(self, world: World) -> None:
        what = entry(world, "Wie heißt's? 😀", b"\x00\xff{}", "ab")
        where = at(world, what.text)
        assert found(world, where) is None
        assert kept(world, where, what)
        back = found(world, where)
        assert back is not None
        assert (back.text, back.body, back.vector, set(back.rests_on)) == (
            what.text,
            what.body,
            what.vector,
            set(what.rests_on),
        )

    def test_of_two_for_one_question_the_newer_stays(self, world: World) -> None:
        kept(world, at(world), entry(world, body=b"old"))
        kept(world, at(world), entry(world, body=b"new"))
        back = found(world, at(world))
        assert back is not None
        assert back.body == b"new"
        assert run(world.store.clear()) == 1

    def test_nothing_crosses_questions_spaces_or_groups(self, world: World) -> None:
        kept(world, at(world), entry(world))
        assert found(world, at(world, "Why not?")) is None
        assert found(world, at(world, space="t")) is None
        assert found(world, at(world, groups=frozenset())) is None
        assert found(world, at(world, groups=frozenset(("board",)))) is None

    def test_any_change_of_the_collection_ends_it(self, world: World) -> None:
        kept(world, at(world), entry(world, on="a"))
        world.change("b")  # which it does not rest on: but now it could
        assert found(world, at(world)) is None
        assert kept(world, at(world), entry(world, on="a"))
        world.delete("b")
        assert found(world, at(world)) is None

    def test_what_was_made_before_a_change_is_not_kept_after_it(self, world: World) -> None:
        before = run(world.store.look(at(world), EVER)).revision
        world.change("b")
        assert not run(world.store.keep(at(world), before, entry(world, on="a"), WIDE))
        before = run(world.store.look(at(world), EVER)).revision
        world.change("a")
        assert not run(world.store.keep(at(world), before, entry(world), WIDE))
        after = run(world.store.look(at(world), EVER)).revision
        assert after != before
        assert not run(world.store.keep(at(world), after, entry(world), WIDE))  # it rests on version 1
        assert run(world.store.clear()) == 0

    def test_a_document_takes_its_answers_along(self, world: World) -> None:
        kept(world, at(world), entry(world, on="ab"))
        kept(world, at(world, "Who?"), entry(world, "Who?", on="b"))
        world.delete("a")
        assert run(world.store.clear()) == 1  # the other is outdated, and holds nothing of what was deleted

    def test_who_may_not_read_a_document_gets_no_answer_that_rests_on_it(self, world: World) -> None:
        board, guest = at(world, groups=frozenset(("board",))), at(world, groups=frozenset())
        kept(world, board, entry(world, on="b"))
        assert found(world, board) is not None
        kept(world, guest, entry(world, on="b"))  # whatever made it: it is not given out
        assert found(world, guest) is None
        kept(world, guest, entry(world, on="a"))
        assert found(world, guest) is not None

    def test_what_is_damaged_is_not_there(self, world: World) -> None:
        for column in ("body", "text", "vector", "seal"):
            kept(world, at(world), entry(world))
            world.damage(column)
            assert found(world, at(world)) is None, column
        assert run(world.store.clear()) == 0  # and is gone

    def test_what_is_too_old_is_not_there(self, world: World) -> None:
        kept(world, at(world), entry(world))
        later = datetime.now(UTC) + timedelta(seconds=1)
        assert run(world.store.look(at(world), later)).entry is None

    def test_the_oldest_go_first(self, world: World) -> None:
        for n in range(5):
            kept(world, at(world, f"{n}?"), entry(world, f"{n}?"), Bounds(3, 2**30, EVER))
        assert [n for n in range(5) if found(world, at(world, f"{n}?")) is not None] == [2, 3, 4]
        kept(world, at(world, "last?"), entry(world, "last?", b"y" * 900), Bounds(10, 910, EVER))
        assert [n for n in range(5) if found(world, at(world, f"{n}?")) is not None] == []
        assert found(world, at(world, "last?")) is not None
        assert run(world.store.clear()) == 1

    def test_one_that_is_too_large_by_itself_is_not_kept(self, world: World) -> None:
        kept(world, at(world), entry(world, body=b"x" * 100), Bounds(10, 50, EVER))
        assert found(world, at(world)) is None

    def test_vectors_of_a_space_come_in_order_and_lead_to_their_answers(self, world: World) -> None:
        for n in range(3):
            kept(world, at(world, f"{n}?"), entry(world, f"{n}?"))
        kept(world, at(world, space="other"), entry(world))
        looked = run(world.store.look(at(world), EVER))
        rows = run(world.store.vectors(at(world), looked.revision, 0, 10))
        assert [vector for _, vector in rows] == [b"\0\0\x80?"] * 3
        assert [number for number, _ in rows] == sorted(number for number, _ in rows)
        assert rows[-1][0] == looked.newest
        assert len(run(world.store.vectors(at(world), looked.revision, rows[0][0], 10))) == 2
        assert [n for n, _ in run(world.store.vectors(at(world), looked.revision, 0, 1))] == [rows[-1][0]]
        read = [run(world.store.read(at(world), looked.revision, number, EVER)) for number, _ in rows]
        assert [one.text for one in read if one] == ["0?", "1?", "2?"]
        other = at(world, space="other")
        assert run(world.store.read(other, looked.revision, rows[0][0], EVER)) is None
        world.change("b")
        assert run(world.store.read(at(world), looked.revision, rows[0][0], EVER)) is None
