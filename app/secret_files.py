"""Secrets in files: read only where nobody but the owner of the file can."""

import errno
import os
import resource
import stat
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secret_in(path: Path) -> str:
    """What the file holds, without blanks around it. Raises OSError, also where others may read or write the file."""
    with path.open(encoding="utf-8") as file:
        if shared_mode(os.fstat(file.fileno()).st_mode):
            raise PermissionError(errno.EPERM, "others than its owner may read it; run chmod 600 on it")
        return file.read().strip()


def shared_mode(mode: int) -> bool:
    """Whether others than the owner may do anything with a file of that mode."""
    return bool(mode & _OTHERS)


def no_core_dumps() -> None:
    """A crash leaves no image of this process on the disk: all of its secrets would be in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
