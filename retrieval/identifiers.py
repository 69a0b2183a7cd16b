"""Identifiers of a text: what loses its meaning when it is taken apart into words.

BM25 sees `ERR_CONN_REFUSED_443` as four words, `v2.13.0` as three numbers, and nothing but a letter in `C++`. So each
identifier is a term of its own besides its words, in documents and in questions alike: whoever asks for one finds where it
stands as it is, and whoever asks for a part of it still finds the part (as Lucene's word delimiter does with
`preserveOriginal`). Pure; takes time in proportion to the text.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_RUN = re.compile(r"[\w.+#:@/\\-]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HYPHENS = str.maketrans("\u2010\u2011", "--")
_FLAG = re.compile(r"--?[^\W\d_][\w.-]*")
_SIGNED = re.compile(r"[^\W\d_]\w*(?:\+\+|#)")
_HIDDEN = re.compile(r"\.[^\W\d_]\w*")
_VERSION = re.compile(r"v(?=\d+\.\d)")
_DIGIT = re.compile(r"\d")
_ALNUM = re.compile(r"[^\W_]")
_REMEMBERED = 8192  # runs; a corpus says most of its identifiers, and of its dashes, again and again
_LONGEST = 100  # characters of a run that is remembered


def identifiers(text: str) -> Iterator[str]:
    """Every identifier of the text in order, as often as it stands there, in one spelling: without case, a version without
    its v. A path and a dotted name are followed by those of their parts that are identifiers themselves."""
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).translate(_HYPHENS)):
        if not (run.isalnum() or run.rstrip(".:").isalnum()):  # most runs are words
            yield from _remembered(run) if len(run) <= _LONGEST else _of_run(run)


@lru_cache(maxsize=_REMEMBERED)
def _remembered(run: str) -> tuple[str, ...]:
    return tuple(_of_run(run))


def _of_run(run: str) -> Iterator[str]:
    return _of_path(_SCHEME.sub("", run))


def _of_path(run: str) -> Iterator[str]:
    """A path counts where it is rooted or one of its parts is an identifier: neither `and/or` nor `3/4` is one."""
    parts = [part for part in re.split(r"[/\\]", run) if _ALNUM.search(part)]
    found = [one for part in parts for one in _of_name(part)]
    whole = "/".join(parts)
    if len(parts) > 1 and (found or run.startswith(("/", "./", "../"))):
        yield _spelled(whole.rstrip(".:-"))
    yield from found


def _of_name(name: str) -> Iterator[str]:
    name = name.rstrip(".:-@").lstrip(":@+#")
    if not _is_identifier(name):
        return
    yield _spelled(name)
    parts = re.split(r"[.:@]+", name)
    if len(parts) > 1:
        yield from (_spelled(part) for part in parts if _is_identifier(part))


def _is_identifier(name: str) -> bool:
    inner = name.strip("._-:@")
    if not _ALNUM.search(inner):
        return False
    return (
        "_" in inner
        or "::" in inner
        or "@" in inner
        or ("-" in inner and _DIGIT.search(inner) is not None)
        or (":" in inner and _DIGIT.search(inner) is not None)
        or _is_dotted(inner)
        or any(shape.fullmatch(name) for shape in (_FLAG, _SIGNED, _HIDDEN))
    )


def _is_dotted(inner: str) -> bool:
    """`app.run`, `2.13.0`, `notes.md`; neither the initials of `e.g` and `U.S` nor the dots of an ellipsis."""
    parts = inner.split(".")
    if len(parts) == 1 or not all(parts):
        return False
    return any(len(part) > 1 or part.isdigit() for part in parts)


def _spelled(name: str) -> str:
    return _VERSION.sub("", name.casefold())
