"""Tells the answer "the sources do not say" from an answer, while it arrives."""

from typing import Literal

from generation.prompt import NOT_IN_SOURCES

_AROUND = " \t\r\n`*_\"'“”‘’.,:;!()[]<>#-"  # what models put in front of a word they were told to say exactly


class NotInSources:
    """Holds text back until it is certain whether it begins with `NOT_IN_SOURCES`.

    Spaces, quotes and punctuation in front do not count. A reply that begins so says nothing that could be cited, so
    what follows the word is dropped: models explain themselves although told not to.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state: Literal["open", "answer", "abstained"] = "open"

    def feed(self, piece: str) -> str:
        """The text that may be shown."""
        if self._state == "answer":
            return piece
        if self._state == "abstained":
            return ""
        self._held += piece
        said = self._held.lstrip(_AROUND)
        if said.startswith(NOT_IN_SOURCES):
            return self._after_word(said)
        return "" if NOT_IN_SOURCES.startswith(said) else self._release()

    def close(self) -> str:
        """What was held back and turned out to be an answer."""
        if self.abstained:
            return ""
        return self._release()

    @property
    def abstained(self) -> bool:
        """Whether, after all that came, the model says that it does not know."""
        return self._state == "abstained" or self._held.lstrip(_AROUND) == NOT_IN_SOURCES

    def _after_word(self, said: str) -> str:
        following = said[len(NOT_IN_SOURCES) :]
        if not following:
            return ""
        if following[0].isalnum() or following[0] == "_":
            return self._release()
        self._state = "abstained"
        return ""

    def _release(self) -> str:
        held, self._held = self._held, ""
        self._state = "answer"
        return held
