"""Opening what is in a folder, and nothing else.

A file is reached from its root folder by folder, each opened relative to the one above and never through a link. So a
file, or any folder above it, may be swapped for a link at any moment: what is read is what was in the folder, or nothing.
How the root itself is reached is the operator's business; links in its own path are followed.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ingest.errors import TooLarge, Unreadable
from ingest.model import Source

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY  # a pipe does not hang, a terminal is not taken
_BLOCK = 2**16


def content_hash(source: Source) -> str:
    """SHA-256 of the file's bytes. Raises Unreadable."""
    digest = hashlib.sha256()
    with _opened(source) as file:
        while block := os.read(file, _BLOCK):
            digest.update(block)
    return digest.hexdigest()


def read_bytes(source: Source, most: int) -> bytes:
    """The file's bytes. Raises Unreadable, and TooLarge for a file of more than `most` bytes, of which no more are read."""
    with _opened(source) as file:
        data = read(file, most + 1)
    if len(data) > most:
        size = max(source.size, len(data))
        raise TooLarge(f"It has {size / 2**20:.1f} MB; the limit is {most / 2**20:.1f} MB.")
    return data


def read(file: int, most: int) -> bytes:
    """What a descriptor gives until its end, at most so many bytes. Raises OSError."""
    with os.fdopen(file, "rb", closefd=False) as stream:
        return stream.read(most)


@contextmanager
def opened_folder(root: Path, parts: Sequence[str] = ()) -> Iterator[int]:
    """A descriptor of the root, or of a folder below it. Raises OSError."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            below = os.open(_single(part), _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


@contextmanager
def opened_below(folder: int, name: str) -> Iterator[int]:
    """A descriptor of a folder in an open one. Raises OSError, also when a link stands there."""
    below = os.open(_single(name), _FOLDER, dir_fd=folder)
    try:
        yield below
    finally:
        os.close(below)


@contextmanager
def opened_file(folder: int, name: str) -> Iterator[int]:
    """A descriptor of a regular file in an open folder. Raises OSError; Unreadable for a pipe, a device, a folder."""
    file = os.open(_single(name), _FILE, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Unreadable("It is no longer a regular file.")
        yield file
    finally:
        os.close(file)


def why(error: OSError) -> str:
    """What the system said, for people."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "a link stands in its place or above it, and links are not followed"
    return error.strerror or type(error).__name__


@contextmanager
def _opened(source: Source) -> Iterator[int]:
    *parents, name = source.name.split("/")
    try:
        with opened_folder(source.root, parents) as folder, opened_file(folder, name) as file:
            yield file
    except OSError as error:
        raise Unreadable(f"It cannot be read: {why(error)}.") from error


def _single(part: str) -> str:
    """One step down: a name, and no path."""
    if part in ("", ".", "..") or "/" in part:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), part)
    return part
