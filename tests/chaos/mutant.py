"""A bug to plant, and who must notice it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands once in `file`. `check` is a test's id, or a command of this package with its --n."""

    name: str
    file: str
    old: str
    new: str
    check: str
