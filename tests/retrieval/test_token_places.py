"""Where tokens stand is read once, however often it is asked."""

from retrieval.adapters.token_places import KnownPlaces


class Words:
    """Tokens are words, with a special token at each end."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, texts):
        self.read += texts
        return [[(0, 0), *self._spans(text), (0, 0)] for text in texts]

    @staticmethod
    def _spans(text):
        at, spans = 0, []
        for word in text.split():
            start = text.index(word, at)
            at = start + len(word)
            spans.append((start, at))
        return spans


def test_places_are_those_that_were_read() -> None:
    places = KnownPlaces(Words()).of(["one two", "", "a  b"])
    assert [(p.count, p.begins.tolist()) for p in places] == [(4, [0, 4]), (2, []), (4, [0, 3])]


def test_a_text_is_read_once_also_where_it_stands_twice() -> None:
    words = Words()
    known = KnownPlaces(words)
    known.of(["one two", "three", "one two"])
    known.of(["three", "four"])
    assert words.read == ["one two", "three", "four"]


def test_what_was_not_asked_for_longest_goes_first() -> None:
    words = Words()
    known = KnownPlaces(words, most_tokens=8)
    known.of(["one two", "three four"])
    known.of(["one two"])
    known.of(["five six"])  # too many: "three four" goes
    words.read.clear()
    known.of(["one two", "five six"])
    assert words.read == []
    known.of(["three four"])
    assert words.read == ["three four"]
    assert [p.count for p in known.of(["one " * 20])] == [22]  # more than are kept, and told all the same
