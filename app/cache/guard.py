"""Whether two questions are the same one. Likeness of vectors never says so: a "not" hardly moves one. Pure."""

from collections.abc import Sequence

from app.cache.canonical import canonical, reduced
from generation.verification.polarity import classes, directed, is_negated
from generation.verification.quantities import carried, quantities
from generation.verification.words import Word, words


def same_question(one: str, other: str) -> bool:
    """Equal in their words but for harmless ones, and, looked at once more by those who check answers, in numbers with
    their units, in negation, in direction, and in quantifiers and duty."""
    if canonical(one) != canonical(other):
        return False
    first, second = reduced(one), reduced(other)
    said, also = words(first), words(second)
    return (
        _numbers_agree(first, second)
        and is_negated(said) == is_negated(also)
        and _signs(said) == _signs(also)
        and classes(said) == classes(also)
    )


def _signs(said: Sequence[Word]) -> list[int]:
    return sorted(word.sign for word in directed(said))


def _numbers_agree(one: str, other: str) -> bool:
    first, second = quantities(one), quantities(other)
    return all(carried(number, second) for number in first) and all(carried(number, first) for number in second)
