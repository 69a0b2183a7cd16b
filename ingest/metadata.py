"""What is known about a document beside its text: who wrote it and when, in which language, where it is from, for whom.

A value is checked before anything is stored or uploaded. What a document says about itself may be wrong, and that must
not lose the document: such a value is left out and told as a warning. Nothing here opens a file or looks at a clock.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

MOST_TAGS = 64
MOST_EXTRA = 50
_LONGEST = {"author": 500, "tags": 200, "url": 2048, "language": 35}
_LONGEST_KEY = 64
_LONGEST_EXTRA = 2000
# Controls, halves of characters, and the marks that make a line read in another order than it is stored.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,63}")
_UNSAID = ("und", "zxx", "mul")  # languages that name none


@dataclass(frozen=True, slots=True)
class Metadata:
    """Dates are UTC in whole seconds. `modified_at` is what the document says, None where it does not. `access` holds the
    labels of the groups that may read it: everyone when it is empty. `extra` is what there is besides, flat."""

    author: str = ""
    created_at: datetime | None = None
    modified_at: datetime | None = None
    language: str = ""
    tags: tuple[str, ...] = ()
    url: str = ""
    access: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


NO_METADATA = Metadata()


def moment(text: str) -> datetime:
    """A day or a time of ISO 8601 as UTC; one without a zone is taken as UTC. Raises ValueError."""
    if not _DATE.fullmatch(text):
        raise ValueError("is no date such as 2026-01-31 or 2026-01-31T09:30:00Z")
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise ValueError("is no day of the calendar, or no time of it") from None


def language_tag(text: str) -> str:
    """A language as BCP 47 writes it: `de`, `en-GB`, `zh-Hant`; empty for one that is marked as unknown. Raises ValueError."""
    tag = text.replace("_", "-")
    if not _LANGUAGE.fullmatch(tag) or len(tag) > _LONGEST["language"]:
        raise ValueError("is no language such as de or en-GB")
    first, *rest = tag.split("-")
    return "" if first.lower() in _UNSAID else "-".join([first.lower(), *map(_subtag, rest)])


def web_address(text: str) -> str:
    """An address that a browser may open. Raises ValueError for another scheme, and for one that holds a password."""
    try:
        parts = urlsplit(text)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        fit = fit and (parts.port is None or parts.port > 0)
    except ValueError:
        fit = False
    if not fit or len(text) > _LONGEST["url"] or _UNFIT.search(text) or " " in text:
        raise ValueError("is no address that begins with http:// or https://")
    return text


def labels(texts: Iterable[str]) -> tuple[str, ...]:
    """Labels of groups, each once. Raises ValueError: a label that is dropped would open the document to everyone."""
    found = tuple(dict.fromkeys(texts))
    if not all(_LABEL.fullmatch(text) for text in found):
        raise ValueError("holds a label that is not made of 1 to 64 letters, digits and _.:@/-")
    return found


def line(text: str, longest: int) -> str:
    """Text of one line. Raises ValueError for one that is too long or holds control characters."""
    found = " ".join(text.split())
    if _UNFIT.search(found):
        raise ValueError("holds control characters")
    if len(found) > longest:
        raise ValueError(f"is longer than {longest} characters")
    return found


def author(text: str) -> str:
    """Who wrote it. Raises ValueError."""
    return line(text, _LONGEST["author"])


def tags(texts: Iterable[str]) -> tuple[str, ...]:
    """Keywords, each once however it is written. Raises ValueError."""
    found: dict[str, str] = {}
    for text in texts:
        if one := line(text, _LONGEST["tags"]):
            found.setdefault(one.casefold(), one)
    if len(found) > MOST_TAGS:
        raise ValueError(f"are more than {MOST_TAGS}")
    return tuple(found.values())


def extra(pairs: Mapping[str, str]) -> dict[str, str]:
    """What there is besides, under keys of a-z, 0-9 and _. Raises ValueError."""
    found = {key_of(key): line(value, _LONGEST_EXTRA) for key, value in pairs.items()}
    if "" in found:
        raise ValueError(f"has a name without letters, or one of more than {_LONGEST_KEY}")
    if len(found) > MOST_EXTRA:
        raise ValueError(f"has more than {MOST_EXTRA} fields")
    return {key: value for key, value in found.items() if value}


def key_of(name: str) -> str:
    """A field's name as filters spell it: `Last Reviewed` is `last_reviewed`. Empty when nothing is left of it."""
    key = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return key if len(key) <= _LONGEST_KEY else ""


_KNOWN: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "author": ("author", author),
    "created": ("created_at", moment),
    "created_at": ("created_at", moment),
    "modified": ("modified_at", moment),
    "modified_at": ("modified_at", moment),
    "language": ("language", language_tag),
    "tags": ("tags", lambda text: tags(text.split(","))),
    "url": ("url", web_address),
}


def check(key: str, text: str) -> None:
    """For those who can still be asked to mend it. Raises ValueError for a value that `said_by_document` would leave out."""
    _, warnings = said_by_document({key: text})
    if warnings:
        raise ValueError(warnings[0].removesuffix("; left out."))


def said_by_document(pairs: Mapping[str, str]) -> tuple[Metadata, tuple[str, ...]]:
    """What a reader found in the document, checked, and a warning for each value that was left out.

    Who may read it is not the document's to say: `access` is left out, or whoever can write a file could open it.
    """
    values: dict[str, Any] = {}
    others: dict[str, str] = {}
    warnings: list[str] = []
    for key, text in sorted(pairs.items()):
        name, check = _KNOWN.get(key, ("", None))
        try:
            if key == "access":
                raise ValueError("is for the settings to say, not for a document")  # noqa: TRY301
            if check is None:
                others |= _one_more(others, key, text)
            elif text.strip():
                values[name] = check(text.strip())
        except ValueError as error:
            warnings.append(f"{_shown(key)} {error}; left out.")
    return Metadata(**values, extra=others), tuple(warnings)


def as_json(metadata: Metadata) -> dict[str, Any]:
    """What the catalog keeps; what is empty is left out."""
    found = {
        "author": metadata.author,
        "created_at": metadata.created_at.isoformat() if metadata.created_at else None,
        "modified_at": metadata.modified_at.isoformat() if metadata.modified_at else None,
        "language": metadata.language,
        "tags": list(metadata.tags),
        "url": metadata.url,
        "access": list(metadata.access),
        "extra": dict(metadata.extra),
    }
    return {key: value for key, value in found.items() if value}


def from_json(found: Mapping[str, Any]) -> Metadata:
    """What `as_json` made. Rows from before there was any hold none."""
    if not found:
        return NO_METADATA
    created, modified = (found.get(key) for key in ("created_at", "modified_at"))
    return Metadata(
        author=found.get("author", ""),
        created_at=datetime.fromisoformat(created) if created else None,
        modified_at=datetime.fromisoformat(modified) if modified else None,
        language=found.get("language", ""),
        tags=tuple(found.get("tags", ())),
        url=found.get("url", ""),
        access=tuple(found.get("access", ())),
        extra=found.get("extra", {}),
    )


def _one_more(others: Mapping[str, str], key: str, text: str) -> dict[str, str]:
    """One field checked beside those that passed, so that a bad one costs none of its neighbours."""
    return extra({**others, key: text})


def _subtag(text: str) -> str:
    """A script of four letters is written `Hant`, a region of two `GB`, all else small."""
    if len(text) == 4 and text.isalpha():
        return text.title()
    return text.upper() if len(text) == 2 and text.isalpha() else text.lower()


def _shown(key: str) -> str:
    """A field's name for people: it may come from a document, so it is cut short and holds no control characters."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", key[:_LONGEST_KEY])
