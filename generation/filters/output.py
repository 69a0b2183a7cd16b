"""All filters of an answer's text, one behind the other, each with its own hold-back. Pure.

Invisible characters go first, since they would hide everything else; Markdown before personal data, since what is taken
away may bring digits together; the prompt last, when nothing more changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from generation.filters.hold_back import HoldBack, Scanner
from generation.filters.invisible import InvisibleScanner
from generation.filters.leaks import NO_SECRET, LeakScanner, Secret
from generation.filters.markdown import MarkdownScanner
from generation.filters.phrases import PhraseScanner
from generation.filters.pii import NOTHING_KNOWN, Action, Known, PiiScanner


@dataclass(frozen=True, slots=True)
class OutputPolicy:
    """What is done about what. With `quoted` personal data may be said that stands in the sources or the question."""

    pii: Mapping[str, Action]
    quoted: bool = True
    secret: Secret = NO_SECRET
    markdown: bool = True
    phrases: tuple[str, ...] = ()
    on_phrase: Literal["mask", "block"] = "mask"

    def stream(self, sources: Iterable[str] = (), question: str = "", *, prose: bool = True) -> "Filtering":
        """The filters for one answer. What is no `prose` holds no Markdown."""
        read = tuple(sources)
        known = Known((*read, question)) if self.quoted else NOTHING_KNOWN
        scanners: list[Scanner] = [InvisibleScanner(prose=prose)]
        if self.markdown and prose:
            scanners.append(MarkdownScanner())
        scanners.append(PiiScanner(self.pii, known))
        if self.phrases:
            scanners.append(PhraseScanner(self.phrases, self.on_phrase))
        return Filtering([*scanners, LeakScanner(self.secret, (*read, question))])

    def cut(self, quote: str) -> tuple[int, int]:
        """The longest part of a source's quote that may be shown, half open: all of it where sources may be quoted."""
        if self.quoted:
            return 0, len(quote)
        scanner = PiiScanner({kind: "allow" if action == "allow" else "mask" for kind, action in self.pii.items()})
        at, parts = 0, list[tuple[int, int]]()
        for edit in scanner.scan(quote, 0, final=True).edits:
            parts.append((at, edit.start))
            at = edit.end
        return max([*parts, (at, len(quote))], key=lambda part: part[1] - part[0])


class Filtering:
    """The filters of one answer."""

    def __init__(self, scanners: Iterable[Scanner]) -> None:
        self._stages = [HoldBack(scanner) for scanner in scanners]

    def feed(self, piece: str, *, final: bool = False, pause: bool = False) -> str:
        """What may go out now; with `final` all that may, and with `pause` all that may if a blank comes next. Nothing behind
        the place where a filter ended the answer."""
        for stage in self._stages:
            piece = stage.feed(piece, final=final, pause=pause)
            final = final or stage.stopped is not None
            pause = pause and not stage.held
        return piece

    @property
    def stopped(self) -> str | None:
        """The category for which the answer was ended, once it was."""
        return next((stage.stopped for stage in self._stages if stage.stopped is not None), None)

    @property
    def categories(self) -> tuple[str, ...]:
        """For what text was changed, each once; or for what it was ended, and then that alone."""
        if self.stopped is not None:
            return (self.stopped,)
        return tuple(dict.fromkeys(category for stage in self._stages for category in stage.categories))

    def place(self, at: int) -> int | None:
        """Where in the text that went out a place of the text that came in has come to stand; None while it is held back."""
        for stage in self._stages:
            if at > stage.taken:
                return None
            at = stage.place(at)
        return at


def filtered(
    policy: OutputPolicy, text: str, sources: Iterable[str] = (), question: str = ""
) -> tuple[str, tuple[str, ...]]:
    """A whole text as it may go out, and for what it was changed."""
    filtering = policy.stream(sources, question)
    return filtering.feed(text, final=True), filtering.categories
