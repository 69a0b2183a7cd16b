"""The operator's rules about documents, by glob: who may read them, tags, author, language, address. Pure."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import orjson

from ingest.metadata import (
    MOST_EXTRA,
    MOST_TAGS,
    Metadata,
    author,
    extra,
    labels,
    language_tag,
    said_by_document,
    tags,
    web_address,
)
from ingest.model import Parsed, Source
from ingest.scan import Patterns

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PLACES: Mapping[str, Callable[[PurePosixPath], str]] = {
    "path": str,
    "path_without_ext": lambda path: str(path.with_suffix("")),
    "name": lambda path: path.name,
    "stem": lambda path: path.stem,
}
_LONGEST_FINGERPRINT = 64  # what the catalog has room for


@dataclass(frozen=True, slots=True)
class Rule:
    """What is said of all files that match a glob, as `--include` understands it: a name below the folder that is
    ingested, or, with a slash in front, the whole path, whichever folder is named.

    `access` None says nothing, and an empty one that everyone may read. `url` may hold `{path}`, `{path_without_ext}`,
    `{name}` and `{stem}` of the file. Raises ValueError: a rule that is wrong must not be left out in silence.
    """

    glob: str
    access: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    author: str = ""
    language: str = ""
    url: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks: Mapping[str, Callable[[Any], object]] = {
            "access": lambda value: labels(value or ()),
            "tags": tags,
            "author": author,
            "language": lambda value: value and language_tag(value),
            "url": lambda value: value and _address(value, "folder/file.md"),
            "metadata": extra,
        }
        if not self.glob:
            raise ValueError("glob is empty")
        for name, check in checks.items():
            try:
                check(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} {error}") from error

    def means(self, root: Path, name: str) -> bool:
        """Whether it is about the file of that name below the root."""
        whole = (root / name).as_posix() if self.glob.startswith("/") else name
        return Patterns(include=(self.glob,)).admit(whole)

    def applied(self, metadata: Metadata, name: str) -> Metadata:
        """The metadata of the file of that name after this rule has spoken: it outdoes what was said, and tags add up.

        Raises ValueError for an address that gets too long with this name in it.
        """
        keywords = dict.fromkeys((*tags(self.tags), *metadata.tags))
        said = extra(self.metadata)
        fields = {**said, **{key: value for key, value in metadata.extra.items() if key not in said}}
        return replace(
            metadata,
            author=author(self.author) or metadata.author,
            language=language_tag(self.language) if self.language else metadata.language,
            tags=tuple(keywords)[:MOST_TAGS],
            url=_address(self.url, name) if self.url else metadata.url,
            access=metadata.access if self.access is None else labels(self.access),
            extra=dict(islice(fields.items(), MOST_EXTRA)),
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, in order: of two that speak of a field the first wins, so the narrowest glob goes first."""

    rules: tuple[Rule, ...] = ()

    def applying(self, root: Path, name: str) -> tuple[Rule, ...]:
        """Those that say something of the file of that name below the root."""
        return tuple(rule for rule in self.rules if rule.means(root, name))

    def stamped(self, fingerprint: str, root: Path, name: str) -> str:
        """A splitter's fingerprint that changes also when other rules apply to the file, of at most 64 characters."""
        said = [{**asdict(rule), "glob": ""} for rule in self.applying(root, name)]
        if not said:
            return fingerprint
        digest = hashlib.sha256(fingerprint.encode() + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        return f"{fingerprint[: _LONGEST_FINGERPRINT - 1 - len(digest)]}+{digest}"


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Described:
    """A document's metadata, and what was left out of it and why."""

    metadata: Metadata
    warnings: tuple[str, ...] = ()


def metadata_of(source: Source, parsed: Parsed, rules: Rules) -> Described:
    """What the document says of itself, the labels that came with it, then the rules for its name, which outdo both. A bad
    value costs itself and not the document."""
    metadata, warnings = said_by_document(parsed.metadata)
    metadata = replace(metadata, access=parsed.access)
    for rule in reversed(rules.applying(source.root, source.name)):
        try:
            metadata = rule.applied(metadata, source.name)
        except ValueError as error:
            metadata = replace(rule, url="").applied(metadata, source.name)
            warnings += (f"url {error}; left out.",)
    return Described(metadata, warnings)


def _address(template: str, name: str) -> str:
    """The template with the file's places filled in, escaped as addresses want it. Raises ValueError."""
    path = PurePosixPath(name)

    def place(found: re.Match[str]) -> str:
        if found[1] not in _PLACES:
            raise ValueError(f"holds {{{found[1]}}}; there are {', '.join(f'{{{known}}}' for known in _PLACES)}")
        return quote(_PLACES[found[1]](path))

    return web_address(_PLACEHOLDER.sub(place, template))
