"""What a document says of itself beside its text: the keys that all readers share, and how their values are spelled.

A reader gives what it finds and `said` puts it into this form; what cannot be put into it is left out, as nothing of
this is checked by whoever wrote the file. Other keys, such as those of front matter, come as the file names them.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ingest.readers.text import clean, one_line

METADATA_KEYS: Mapping[str, str] = {
    "author": "Who wrote it; several are divided by semicolons.",
    "created": "When it was written or published: 2026-01-31, or 2026-01-31T09:30:00Z in UTC.",
    "modified": "When it was changed last, spelled alike.",
    "language": "Its language as BCP 47 names it: en, de-CH.",
    "tags": "Keywords, divided by commas.",
    "url": "The address that it says it is at.",
    "pages_without_text": "Pages that show something and hold no text, as scans do: 3, 7-9.",
}
MOST_KEYS = 32
LONGEST = 500  # characters of a value

# What front matter, field lists and meta elements call them.
_NAMES = {
    "author": ("author", "authors", "by", "creator", "dc.creator", "article:author", "byline"),
    "created": (
        *("created", "date", "published", "published_at", "publishdate", "pubdate", "article:published_time"),
        *("dcterms.created", "dc.date", "creation_date", "datepublished"),
    ),
    "modified": (
        *("modified", "updated", "lastmod", "last_modified", "last_updated", "updated_at", "article:modified_time"),
        *("og:updated_time", "dcterms.modified", "last-modified", "revised", "datemodified"),
    ),
    "language": ("language", "lang", "og:locale", "dc.language", "content-language", "locale"),
    "tags": ("tags", "keywords", "categories", "category", "article:tag", "news_keywords", "topics"),
    "url": ("url", "canonical", "canonical_url", "source_url", "og:url", "permalink"),
}
_SPELLED = ("created", "modified", "language", "url")
_KEY_OF = {name: key for key, names in _NAMES.items() for name in names}
# What programs put down where nobody is named.
_NOBODY = ("python-docx", "python-pptx", "openpyxl", "apache poi", "microsoft office user", "unknown", "anonymous")
_ISO = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d):?(\d\d)(?::?(\d\d))?(?:\.\d{1,9})?[ ]?(Z|[+-]\d\d:?\d\d)?)?")
_PDF = re.compile(r"D:(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(?:(\d\d))?(?:(Z|[+-]\d\d)'?(\d\d)?'?)?)?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
_MARKS = {"tags": (re.compile(r"[,;]"), ", "), "author": (re.compile(r";"), "; ")}


def key_of(name: str) -> str | None:
    """The shared key that this name stands for, if it does."""
    return _KEY_OF.get(name.strip().lower().replace(" ", "_"))


def said(found: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Metadata of what was found, by key; of two values of one key the first stands, but tags and authors add up."""
    metadata: dict[str, str] = {}
    for name, value in found:
        text = _spelled(name, value)
        if not text or (name not in metadata and len(metadata) >= MOST_KEYS):
            continue
        if name in _MARKS and name in metadata:
            metadata[name] = _together(name, [metadata[name], text])
        else:
            metadata.setdefault(name, text)
    return metadata


def named(found: Mapping[str, Any]) -> dict[str, str]:
    """Metadata of fields under whatever names, as front matter has them; `title` is no metadata. People write these, so
    what cannot be spelled stays as it is, and they are told that it was left out."""
    pairs = [(key_of(str(name)) or one_line(clean(str(name)), 64), value) for name, value in found.items()]
    metadata = said(pair for pair in pairs if pair[0] and pair[0].lower() != "title")
    wrong = {key: _plain(value) for key, value in pairs if key in _SPELLED and key not in metadata}
    return metadata | {key: text for key, text in wrong.items() if text}


def _spelled(key: str, value: Any) -> str:
    """A value in the form of its key; empty where it has none."""
    match key:
        case "created" | "modified":
            return moment(value)
        case "language":
            text = _plain(value)
            return text.replace("_", "-") if _LANGUAGE.fullmatch(text) else ""
        case "tags" | "author":
            return _together(key, value if isinstance(value, list | tuple) else [value])
        case "url":
            text = _plain(value)
            return text if text.startswith(("http://", "https://")) and " " not in text else ""
        case _:
            return _plain(value)


def _together(key: str, values: Iterable[Any]) -> str:
    """Names in one line, each once. An author may be called `Lovelace, Ada`, so commas divide tags alone."""
    divided, mark = _MARKS[key]
    names: dict[str, None] = {}
    for value in values:
        for name in divided.split(_plain(value.get("name", "") if isinstance(value, dict) else value)):
            if name.strip() and name.strip().lower() not in _NOBODY:
                names.setdefault(name.strip())
    text = mark.join(names)
    return text if len(text) <= LONGEST else text[:LONGEST].rpartition(mark)[0]


def _plain(value: Any) -> str:
    """One line; a list or a mapping as JSON."""
    if isinstance(value, str):
        return one_line(clean(value), LONGEST)
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, date):
        return moment(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else ""


def moment(value: Any) -> str:
    """A day as `2026-01-31`, a time as `2026-01-31T09:30:00Z`; one without a zone is taken as UTC. Empty for others."""
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, date):
        return value.isoformat()
    text = value.strip() if isinstance(value, str) else ""
    found = _ISO.fullmatch(text) or _PDF.fullmatch(text)
    try:
        if found is None:
            return _utc(parsedate_to_datetime(text)) if text[:1].isalpha() or text[:1].isdecimal() else ""
        year, month, day, hour, minute, second, zone, *rest = (*found.groups(), "")
        if hour is None:
            return date(int(year), int(month), int(day)).isoformat()
        offset = "+00:00" if zone in (None, "Z") else f"{zone[:3]}:{(zone[3:].lstrip(':') or rest[0] or '00')}"
        return _utc(datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{offset}"))
    except (ValueError, OverflowError, TypeError, IndexError):
        return ""


def _utc(value: datetime) -> str:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
