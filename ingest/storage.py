"""The disk below the state folder: full, failing, or lying about what is reserved on it."""

import os
import shutil
import sqlite3
from pathlib import Path

from ingest.errors import GroundedError, StorageFailed, StorageFull

_NO_ROOM = 1 << 20  # bytes; below this SQLite calls a full disk an I/O error, or says that a file cannot be opened
_DAMAGE = ("malformed", "not a database")


def storage_fault(error: BaseException, folder: Path) -> GroundedError | None:
    """Our error, if what happened is the disk's fault: it is full, or it fails."""
    said = str(error).casefold()
    failed = "i/o error" in said or "input/output error" in said
    full = "is full" in said or "no space left" in said
    if full or ((failed or "unable to open" in said) and _free(folder) < _NO_ROOM):
        return StorageFull("The disk that holds the state folder is full.")
    return StorageFailed("The disk that holds the state folder reports an error.") if failed else None


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the content of the file is at fault, rather than who may use it or where it lies."""
    return any(word in str(error) for word in _DAMAGE)


def check_room(folder: Path, least: int) -> None:
    """Raises StorageFull when fewer than `least` bytes are free where the folder is."""
    if _free(folder) < least:
        raise StorageFull(f"Less than {least // 2**20} MB are free where the state folder is.")


def fill_holes(folder: Path) -> None:
    """Reserve every byte of the files below the folder: a mapped page that has no place on a full disk ends the process
    with SIGBUS when it is written, and on some file systems even when it is read. Raises StorageFull, StorageFailed."""
    for path in folder.rglob("*"):
        try:
            _fill(path)
        except FileNotFoundError:  # replaced by the engine while we looked
            continue
        except OSError as error:
            raise storage_fault(error, folder) or StorageFailed(f"Disk space cannot be reserved: {error}.") from error


def _fill(path: Path) -> None:
    found = path.lstat()
    if not path.is_file() or found.st_blocks * 512 >= found.st_size:
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, 0, found.st_size)
    finally:
        os.close(descriptor)


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
