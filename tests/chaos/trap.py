"""Makes the n-th system call of this process on one folder go wrong. See `trap.c` for how.

Where there is no C compiler, or the kernel forbids the filter, `built` says why; the checks that need it are skipped.
"""

import ctypes
import errno
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

from tests.checks import Unavailable

_X86 = {
    "read": 0, "write": 1, "open": 2, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "msync": 26,
    "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85,
    "unlink": 87, "openat": 257, "mkdirat": 258, "unlinkat": 263, "renameat": 264, "fallocate": 285, "preadv": 295,
    "pwritev": 296, "renameat2": 316, "copy_file_range": 326, "pwritev2": 328,
}  # fmt: skip
_NAMES = {number: name for name, number in _X86.items()}
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "truncate", "fallocate", "copy_file_range")
DURABLE = (
    *WRITES,
    *(
        "fsync",
        "fdatasync",
        "msync",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "rmdir",
        "mkdir",
        "mkdirat",
    ),
)
READS = ("read", "pread64", "readv", "preadv")
OPENS = ("open", "openat", "creat")
ALL = tuple(dict.fromkeys((*DURABLE, *READS, *OPENS)))


class Mode(IntEnum):
    """What happens to call n: nothing; the process dies before it, or half way through it; it fails, once or from then on;
    it writes half of its bytes, once or from then on."""

    COUNT = 0
    KILL = 1
    TORN = 2
    FAIL = 3
    FAIL_ON = 4
    SHORT = 5
    SHORT_ON = 6


@dataclass(frozen=True, slots=True)
class Fault:
    """Which calls are counted, what goes wrong and at which of them (from 1); `error` is an errno for FAIL and FAIL_ON."""

    mode: Mode
    calls: tuple[str, ...]
    at: int = 0
    error: int = errno.EIO


class Trap:
    """The library, loaded. Arm it in a process that is to end with the test: a filter cannot be taken away."""

    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.trap_count.restype = ctypes.c_long
        self._c.trap_call.argtypes = [ctypes.c_long]
        self._c.trap_arm.argtypes = [
            ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_int
        ]  # fmt: skip

    def arm(self, folder: Path, fault: Fault) -> None:
        """From now on, in all threads. Raises Unavailable."""
        numbers = [_X86[name] for name in fault.calls]
        array = (ctypes.c_int * len(numbers))(*numbers)
        path = str(folder.resolve()).encode()
        failed = self._c.trap_arm(path, array, len(numbers), fault.mode, fault.at, fault.error)
        if failed:
            raise Unavailable(f"the kernel forbids the filter: {os.strerror(failed)}")

    def calm(self) -> None:
        """No further faults."""
        self._c.trap_calm()

    @property
    def count(self) -> int:
        """Calls so far."""
        return int(self._c.trap_count())

    def calls(self) -> list[str]:
        """Names of the calls so far, in order."""
        return [_NAMES[self._c.trap_call(n)] for n in range(1, min(self.count, 65536) + 1)]


@cache
def built() -> Trap:
    """The library, compiled once per version of its source. Raises Unavailable."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable("it knows Linux on x86-64 only")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Unavailable("there is no C compiler")
    source = Path(__file__).with_name("trap.c")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"grounded-trap-{os.getuid()}-{digest}.so"
    if not library.exists():
        half = library.with_suffix(f".{os.getpid()}")
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(half), str(source)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise Unavailable(f"the compiler failed: {run.stderr[:200]}")
        half.replace(library)
    return Trap(library)
