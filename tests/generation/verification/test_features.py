import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.verification.alignment import align, evidence
from generation.verification.binding import unbound
from generation.verification.edits import edits
from generation.verification.evidence import headings, statements
from generation.verification.features import Features, Reading, measured
from generation.verification.polarity import classes, directed, is_negated
from generation.verification.words import stem, words
from tests.passages import passage

TEXT = "Ada Lovelace wrote the notes in 1843. Charles Babbage built the engine in 1837. It does not reduce costs."


def measure(sentence: str, *texts: str) -> Features:
    cited = list(enumerate((passage(text, title="", heading_path=()) for text in texts), start=1))
    return measured(sentence, Reading(tuple(statements(cited)), headings([p for _, p in cited]))).features


def test_forms_of_a_word_are_one_and_identifiers_are_themselves() -> None:
    assert stem("Refunds") == stem("refunded") == stem("refund's")
    assert stem("max_tokens") != stem("max_token_count")


def test_names_are_told_by_their_form() -> None:
    found = {word.text: word.is_name for word in words("The DNS of Paris. In use is max_tokens, says Ada.")}
    assert [name for name, is_name in found.items() if is_name] == ["DNS", "Paris", "max_tokens", "Ada"]


def test_a_table_is_read_row_by_row() -> None:
    found = statements([(1, passage("| a | b |\n| c | d |"))])
    assert [statement.text for statement in found] == ["| a | b |", "| c | d |"]


def test_what_stands_there_is_covered_and_what_does_not_is_not() -> None:
    assert measure("Ada Lovelace wrote the notes.", TEXT).covered == pytest.approx(1)
    assert measure("Bananas grow in Peru.", TEXT).covered == 0


def test_evidence_may_be_several_statements() -> None:
    found = measure("Lovelace wrote notes and Babbage built the engine.", TEXT)
    assert found.covered == pytest.approx(1)
    assert found.best < 1


def test_numbers_that_are_lost_or_stray() -> None:
    assert measure("Ada Lovelace wrote the notes in 1844.", TEXT).lost_numbers > 0
    found = measure("Ada Lovelace wrote the notes in 1837.", TEXT)
    assert (found.lost_numbers, measure("Ada Lovelace wrote the notes in 1843.", TEXT).lost_numbers) == (0, 0)
    assert found.unbound > measure("Ada Lovelace wrote the notes in 1843.", TEXT).unbound


def test_names_that_are_lost_and_those_that_the_heading_says() -> None:
    assert measure("The notes were written by Grace Hopper.", TEXT).lost_names == 1
    cited = [(1, passage("It was written in 1843.", title="Ada Lovelace", heading_path=()))]
    reading = Reading(tuple(statements(cited)), headings([cited[0][1]]))
    assert measured("It was written by Lovelace.", reading).features.lost_names == 0


@pytest.mark.parametrize(
    ("sentence", "text", "negated", "opposed", "turned"),
    [
        ("The drug reduces risk.", "The drug increases risk.", 0, 1, 1),
        ("The drug does not reduce risk.", "The drug increases risk.", 1, 1, 0),
        ("The drug does not reduce risk.", "The drug reduces risk.", 1, 0, 1),
        ("The drug reduces risk.", "The drug reduces risk a lot.", 0, 0, 0),
    ],
)
def test_what_turns_the_meaning(sentence: str, text: str, negated: int, opposed: int, turned: int) -> None:
    found = measure(sentence, text)
    assert (found.negated, found.opposed, found.turned) == pytest.approx((negated, opposed, turned))


def test_polarity_of_words() -> None:
    assert is_negated(words("It doesn't work"))
    assert not is_negated(words("It works"))
    assert [one.sign for one in directed(words("higher and lower, increased, cathode"))] == [1, -1, 1]
    assert classes(words("All files must be read")) == {"all", "must"}


def test_edits_of_a_quotation() -> None:
    source = words("Every answer must cite its passage in full.")
    assert edits(source, source).kept == 1
    swapped = edits(words("Every answer may cite its passage in full."), source)
    assert (swapped.reclassed > 0, swapped.replaced) == (True, 0)
    assert edits(words("Every answer must cite its mother in full."), source).replaced > 0
    assert edits(words("Every answer must cite its passage."), source).replaced == 0


def test_nothing_critical_is_unbound_of_nothing() -> None:
    found = statements([(1, passage("It is so."))])
    assert unbound(align("it is so", found, frozenset(), None, ()), found) == 0


def test_token_vectors_carry_a_word_that_letters_do_not() -> None:
    found = statements([(1, passage("A car waits. A tree grows."))])
    tokens = np.array([[0.9], [0.1]], dtype=np.float32)
    aligned = align("automobile", found, frozenset(), tokens, [(0, 10)])
    assert evidence(aligned).rows == (0,)
    assert evidence(aligned).carried == pytest.approx([1.0])


@given(st.text(max_size=80), st.text(min_size=1, max_size=200).filter(str.strip))
def test_any_text_has_finite_features(sentence: str, text: str) -> None:
    cited = [(1, passage(text))]
    reading = Reading(tuple(statements(cited)), headings([cited[0][1]]))
    if words(sentence) and reading.statements:
        assert np.isfinite(measured(sentence, reading).features.vector).all()
