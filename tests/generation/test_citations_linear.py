"""The parser of model text beside its slow twin, and on texts that are made to keep it busy."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from generation.citations import Marks
from generation.model import DraftSentence, DraftText
from tests.generation.slow_marks import SlowMarks
from tests.patience import least
from tests.test_event_loop import LIMIT_S

Drafts = list[DraftText | DraftSentence]
LONGEST = 200_000  # characters that an endpoint may send
_MARKED = ["e.g. ", "...", "[1]", "[2,3]", "```", "\n\n", "\n- ", "1. ", "Mr. ", "  ", "No. 5", "$ ", "….", "# "]
_NASTY = st.sampled_from([*"ab. !?\n-1[]`*~\"')(。」ー:é", *_MARKED])
_FLOODS = st.tuples(
    st.sampled_from([" ", "\n", ".", "。", '"', "`", "(", "」", "a", " \n", ". ", "~", "[", "\t"]), st.integers(0, 300)
)
_TEXTS = st.lists(st.one_of(_NASTY, _FLOODS.map(lambda f: f[0] * f[1]), st.text(max_size=5)), max_size=40).map("".join)


def joined(drafts: Iterable[DraftText | DraftSentence]) -> Drafts:
    """Neighbouring texts as one. The slow twin leaves a blank in front of a sentence behind more closing quotes than it looks
    back at."""
    out: Drafts = []
    for draft in drafts:
        if isinstance(draft, DraftSentence):
            out.append(replace(draft, text=draft.text.lstrip()))
        elif out and isinstance(out[-1], DraftText):
            out[-1] = DraftText(out[-1].text + draft.text)
        else:
            out.append(draft)
    return out


def drafted(marks: Marks | SlowMarks, pieces: Sequence[str]) -> tuple[Drafts, int]:
    drafts = [draft for piece in pieces for draft in marks.feed(piece)]
    return joined([*drafts, *marks.close()]), marks.unknown


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces, at, turn = list[str](), 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        pieces.append(text[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


@settings(max_examples=400, deadline=None)
@given(_TEXTS, st.lists(st.integers(1, 40), min_size=1, max_size=6))
@example("A." + '"' * 300 + " B. [1] c", [1])
@example("A" + "." * 300 + " b. C [1]", [3])
@example("ae.g." + " " * 104 + "a", [1])
@example("A.\n" + " " * 400 + "- b [1]", [7])
def test_it_yields_what_its_slow_twin_yields(text: str, sizes: list[int]) -> None:
    """The slow one reads the text in one piece: cut, it misses ends in front of much white space."""
    assert drafted(Marks(2), cut(text, sizes)) == drafted(SlowMarks(2), [text])


FLOODS = {
    "words": "word ",
    "no space": "word",
    "stops in words": "a.b ",
    "abbreviations": "e.g. x ",
    "addresses": "http://a.b/c.d?e=f ",
    "lines": "x\n",
    "ends of lines": "\n",
    "blanks": " ",
    "stops": ".",
    "stops apart": ". ",
    "ideographic stops": "。",
    "quotes": '."',
    "closers": '"',
    "openers": ". (",
    "marks": "word [1] ",
    "half marks": "[1,",
    "backticks": "`",
    "code": "`a.b` ",
    "tildes": "~",
    "fences": "```\n",
    "items": "- a\n",
    "sentences": "It is. ",
}


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS)
def test_no_text_keeps_it_busy(unit: str) -> None:
    """As an endpoint's pieces are fed, many in a turn of the event loop: no turn may take long, at the end of a long text no
    longer than at its beginning. The slow twin is still for seconds in some of these."""
    text = "Well, " + (unit * (LONGEST // len(unit) + 1))[:LONGEST]

    def longest_turn() -> float:
        """Seconds of the processor, which are the same however busy the machine is."""
        marks, turns, begun = Marks(2), [0.0], time.thread_time()
        for number, piece in enumerate(cut(text, [32])):
            marks.feed(piece)
            if not number % 50:
                turns.append(time.thread_time() - begun)
                begun += turns[-1]
        marks.close()
        return max(*turns, time.thread_time() - begun)

    assert least(longest_turn, LIMIT_S) < LIMIT_S
