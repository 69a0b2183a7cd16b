"""Where a sentence stands word for word, against the pattern that says what that means."""

import re

from hypothesis import given
from hypothesis import strategies as st

from generation.verify import find_verbatim

_SOME = st.text(alphabet="ab_.(1é \n\t\u00a0\u2003", max_size=40)


def by_pattern(sentence: str, text: str) -> tuple[int, int] | None:
    words = sentence.split()
    if not words:
        return None
    match = re.search(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", text)
    return match.span() if match else None


@given(st.text(alphabet="ab_.(1é \n\u00a0", max_size=6), _SOME)
def test_it_is_found_where_the_pattern_finds_it(sentence: str, text: str) -> None:
    assert find_verbatim(sentence, text) == by_pattern(sentence, text)


@given(_SOME, _SOME, st.text(alphabet="ab_.(1 \n", min_size=1, max_size=12))
def test_it_is_found_within_what_stands_around_it(before: str, behind: str, sentence: str) -> None:
    text = before + "  ".join(sentence.split(" ")) + behind
    assert find_verbatim(sentence, text) == by_pattern(sentence, text)
