"""The patterns of `.gitignore` files, with git's meaning. Pure: text in, verdicts out.

Every pattern becomes a regular expression whose time is bounded by name length x pattern length: a file of stars that a
stranger left in the folder must not stall the scan. Names are compared by characters, where git compares bytes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_SPECIAL = frozenset("*?[\\")
_ASCII_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\ \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\ \t\n\v\f\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One line. `path`: it holds a slash and is compared with the whole name below its folder, not with the last part."""

    regex: re.Pattern[str]
    path: bool
    folders_only: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """The patterns of one folder. `prefix` is its name below the root with a slash behind, empty for the root itself."""

    prefix: str
    patterns: tuple[_Pattern, ...]

    def verdict(self, name: str, *, folder: bool) -> bool | None:
        """Whether a file or folder below `prefix` is ignored; None when no line speaks of it. The last line wins."""
        path = name[len(self.prefix) :]
        base = path.rpartition("/")[2]
        for pattern in reversed(self.patterns):
            if (folder or not pattern.folders_only) and pattern.regex.fullmatch(path if pattern.path else base):
                return not pattern.negated
        return None


def rules(prefix: str, text: str) -> Rules:
    """The lines of a `.gitignore` that stands in the folder `prefix`. A line that means nothing is left out, as in git."""
    return Rules(prefix, _patterns(text))


def ignored(name: str, known: Sequence[Rules], *, folder: bool) -> bool:
    """Whether the rules of the folders above leave this out, the innermost first. Nothing below an ignored folder is ever
    asked about: it cannot be taken back in."""
    for found in reversed(known):
        verdict = found.verdict(name, folder=folder)
        if verdict is not None:
            return verdict
    return False


@lru_cache(maxsize=64)
def _patterns(text: str) -> tuple[_Pattern, ...]:
    lines = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").split("\n")
    return tuple(pattern for line in lines if (pattern := _pattern(line.removesuffix("\r"))) is not None)


def _pattern(line: str) -> _Pattern | None:
    if not line or line.startswith("#"):
        return None
    line = _without_trailing_spaces(line)
    negated = line.startswith("!")
    glob = line[1:] if negated else line
    folders_only = glob.endswith("/")
    glob = glob.removesuffix("/")
    path = "/" in glob
    regex = _translated(glob.removeprefix("/"))
    return _Pattern(re.compile(regex, re.DOTALL), path, folders_only, negated) if regex else None


def _without_trailing_spaces(line: str) -> str:
    """A space behind a backslash stays."""
    kept = line.rstrip(" ")
    backslashes = len(kept) - len(kept.rstrip("\\"))
    return kept + " " if backslashes % 2 and kept != line else kept


def _translated(glob: str) -> str | None:
    """A regular expression for full matches; None for a glob that can match nothing.

    What stands before a star that is not the last takes the leftmost place and gives it up no more (`(?>...)`): if any
    place fits, that one does, and trying the others is what makes globs take exponential time.
    """
    tokens = _tokens(glob)
    if tokens is None:
        return None
    *inner, last = _cut(tokens, "**/")
    first = _segments(inner[0]) if inner else ""
    middle = "".join(f"(?>(?:[^/]*/)*?{_segments(part)})" for part in inner[1:])
    return first + middle + (f"(?:[^/]*/)*?{_segments(last)}" if inner else _segments(last))


def _segments(tokens: Sequence[str]) -> str:
    return "/".join(_segment(part) for part in _cut(tokens, "/"))


def _segment(tokens: Sequence[str]) -> str:
    if "**" in tokens:  # only ever at the end: all that is below
        return "".join(tokens[:-1]) + ".*"
    first, *rest = ["".join(part) for part in _cut(tokens, "*")]
    if not rest:
        return first
    return first + "".join(f"(?>[^/]*?{part})" for part in rest[:-1]) + f"[^/]*{rest[-1]}"


def _cut(tokens: Sequence[str], at: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == at:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _tokens(glob: str) -> list[str] | None:
    """Regular expressions for one character each, and the marks `*`, `**/` (any folders), `**` (all below) and `/`."""
    tokens: list[str] = []
    at = 0
    while at < len(glob):
        match glob[at]:
            case "*":
                token, at = _stars(glob, at)
            case "?":
                token, at = "[^/]", at + 1
            case "/":
                token, at = "/", at + 1
            case "[":
                found = _bracket(glob, at + 1)
                if found is None:
                    return None
                token, at = found
            case "\\":
                if at + 1 == len(glob):
                    return None
                token, at = re.escape(glob[at + 1]), at + 2
            case character:
                token, at = re.escape(character), at + 1
        tokens.append(token)
    return tokens


def _stars(glob: str, at: int) -> tuple[str, int]:
    """Two stars or more cross folders where they stand alone between slashes; git also lets them where all that stands
    before them is plain text, as in `doc**/a`."""
    end = at
    while end < len(glob) and glob[end] == "*":
        end += 1
    alone = at == 0 or glob[at - 1] == "/" or _SPECIAL.isdisjoint(glob[:at])
    if end - at > 1 and alone and glob[end : end + 1] == "/":
        return "**/", end + 1
    return ("**" if end - at > 1 and alone and end == len(glob) else "*"), end


def _bracket(glob: str, at: int) -> tuple[str, int] | None:
    """A set of characters, `at` behind its bracket: the expression, and where the glob goes on. None: it never closes."""
    negated = glob[at : at + 1] in ("!", "^")
    at += negated
    items: list[str] = []
    former, start = "", at
    while at < len(glob) and (glob[at] != "]" or at == start):
        found = _posix_class(glob, at) if glob.startswith("[:", at) else None
        if found is not None:
            name, at = found
            if name not in _ASCII_CLASSES:
                return None
            items.append(_ASCII_CLASSES[name])
            former = ""
        elif glob[at] == "-" and former and glob[at + 1 : at + 2] not in ("", "]"):
            character, at = _literal(glob, at + 1)
            items += _range(former, character)
            former = ""
        else:
            character, at = _literal(glob, at)
            items += _range(character, character)
            former = character
    if at >= len(glob):
        return None
    return _set(items, negated=negated), at + 1


def _posix_class(glob: str, at: int) -> tuple[str, int] | None:
    """`[:name:]` and where it ends; None if the bracket is an ordinary character here."""
    end = glob.find("]", at + 2)
    return (glob[at + 2 : end - 1], end + 1) if end > at + 2 and glob[end - 1] == ":" else None


def _literal(glob: str, at: int) -> tuple[str, int]:
    """The character at `at`, or the one behind its backslash; a backslash at the end leaves the set open."""
    if glob[at] == "\\":
        return (glob[at + 1], at + 2) if at + 1 < len(glob) else ("", at + 1)
    return glob[at], at + 1


def _range(low: str, high: str) -> list[str]:
    if not low or not high or low > high:
        return []
    return [f"{_coded(low)}-{_coded(high)}"]


def _coded(character: str) -> str:
    return f"\\U{ord(character):08x}"


def _set(items: Iterable[str], *, negated: bool) -> str:
    """One character, never a slash."""
    inside = "".join(items)
    if not inside:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{inside}]"
