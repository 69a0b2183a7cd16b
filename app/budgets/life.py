"""Whether a process of this machine lives: asked of the system, where it tells.

A number of a process says something within one start of the machine and one namespace of processes, so these come along.
Containers have namespaces of their own, and two of them never take each other's processes for their own dead.
"""

import os
from pathlib import Path

_PROC = Path("/proc")


def place() -> tuple[str, int, int]:
    """Where this process is: the machine's start and namespace, its number and when it was started. Empty where the system
    does not tell."""
    pid = os.getpid()
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = (_PROC / "self/ns/pid").stat().st_ino
    except OSError:
        return "", 0, 0
    return f"{boot}/{space}", pid, started(pid) or 0


def started(pid: int) -> int | None:
    """When a process was started, in ticks since the machine's start; None for none, and for one that is dead already."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])
