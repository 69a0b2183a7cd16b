"""What a process that reads strangers' files may still do: compute, and read Python's own files.

Each fence is put up where the system has it and left out where it has not: limits (POSIX), Landlock for files and
seccomp for system calls (Linux), audit hooks (Python everywhere). What stands is told by `Fences`.
"""

import contextlib
import ctypes
import mimetypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import ingest

_SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/dev/null")
_FONTS = ("/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/X11/fonts", "/usr/share/zoneinfo")
_REFUSED_EVENTS = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork")

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_PATH_BENEATH = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))  # rights known from this version of Landlock on

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000


@dataclass(frozen=True, slots=True)
class _Machine:
    """Numbers of an architecture: its own, those of the calls that are refused, of `clone` and of `clone3`."""

    arch: int
    refused: tuple[int, ...]
    clone: int
    clone3: int = 435


# Sockets, new programs and processes, signals and other processes' memory, mounts, keys, and doors to the kernel.
_SHARED = (424, 425, 434, 438)  # pidfd_send_signal, io_uring_setup, pidfd_open, pidfd_getfd
_MACHINES = {
    "x86_64": _Machine(
        0xC000003E,
        (
            *(41, 42, 43, 44, 46, 49, 50, 53, 288, 307, 57, 58, 59, 322, 62, 101, 310, 311, 165, 272, 308),
            *(248, 250, 298, 321, 323, *_SHARED),
        ),
        56,
    ),
    "aarch64": _Machine(
        0xC00000B7,
        (
            *(198, 199, 200, 201, 202, 203, 206, 211, 242, 269, 221, 281, 129, 117, 270, 271, 40, 97, 268),
            *(217, 219, 241, 280, 282, *_SHARED),
        ),
        220,
    ),
}


@dataclass(frozen=True, slots=True)
class Fences:
    """Which fences stand around this process."""

    limits: bool
    files: bool
    calls: bool


def confine(memory_bytes: int) -> Fences:
    """Put up every fence that this system has. There is no way back for this process."""
    limits = _limited(memory_bytes)
    sys.addaudithook(_refuse)
    libc = _libc()
    if libc is None or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return Fences(limits, files=False, calls=False)
    return Fences(limits, files=_files_fenced(libc, readable()), calls=_calls_fenced(libc))


def allow_seconds(seconds: float) -> None:
    """Processor time from now on. The parent keeps the clock; this ends a reader whose parent is gone."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - not on every system

        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(used.ru_utime + used.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def readable() -> list[str]:
    """Folders that a reader may need: this package, Python's own, the libraries and fonts of the system."""
    own = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    packages = [entry for entry in sys.path if entry.endswith(("-packages", ".zip", "lib-dynload"))]
    base = str(Path(sys.base_prefix) / "lib")
    package = str(Path(ingest.__file__).parent)
    return [package, *filter(None, own), *packages, base, *_SYSTEM, *_FONTS, *map(str, mimetypes.knownfiles)]


def _limited(memory_bytes: int) -> bool:
    """No more memory than this, no core dump, no file written, few files open."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - not on every system

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        return True
    return False


def _refuse(event: str, _: object) -> None:
    """For systems without the other fences: Python itself opens no connection and starts no program."""
    if event.startswith(_REFUSED_EVENTS):
        raise PermissionError(f"A reader may not do this: {event}.")


def _libc() -> "ctypes.CDLL | None":
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError):
        return ctypes.CDLL(None, use_errno=True)
    return None


def _files_fenced(libc: "ctypes.CDLL", allowed: Iterable[str]) -> bool:
    """Landlock: beneath these paths reading, elsewhere nothing."""
    version = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    rights = (1 << next(bits for since, bits in reversed(_FILE_RIGHTS) if version >= since)) - 1
    attributes = struct.pack("=Q", rights)
    rules = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return False
    try:
        for path in allowed:
            _allow_reading(libc, rules, path)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow_reading(libc: "ctypes.CDLL", rules: int, path: str) -> None:
    with contextlib.suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights = _READ_FILE | _EXECUTE | (_READ_DIR if Path(path).is_dir() else 0)
            libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
        finally:
            os.close(place)


def _calls_fenced(libc: "ctypes.CDLL") -> bool:
    """seccomp: the refused calls fail; a new thread is allowed, a new process is not."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None or sys.maxsize < 2**32:
        return False
    program = _program(machine)
    steps = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps))
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER, header, 0, 0) == 0)


def _program(machine: _Machine) -> bytes:
    """The filter in BPF. Every jump goes to one of the three last steps: allow, refuse, not there."""
    allow = 8 + len(machine.refused)
    refuse, absent = allow + 1, allow + 2
    steps: list[tuple[int, int, int, int]] = []

    def step(code: int, value: int, true: int | None = None, false: int | None = None) -> None:
        at = len(steps) + 1
        steps.append((code, 0 if true is None else true - at, 0 if false is None else false - at, value))

    step(_LOAD, 4)  # the architecture
    step(_EQUAL, machine.arch, None, refuse)
    step(_LOAD, 0)  # the number of the call
    step(_AT_LEAST, _X32, refuse)
    step(_EQUAL, machine.clone3, absent)  # its flags are out of reach; without it the library takes clone
    for number in machine.refused:
        step(_EQUAL, number, refuse)
    step(_EQUAL, machine.clone, None, allow)
    step(_LOAD, 16)  # the flags of clone
    step(_BITS, _CLONE_THREAD, allow, refuse)
    assert len(steps) == allow
    step(_RETURN, _ALLOW)
    step(_RETURN, _ERRNO | _EPERM)
    step(_RETURN, _ERRNO | _ENOSYS)
    return b"".join(struct.pack("HBBI", *parts) for parts in steps)
