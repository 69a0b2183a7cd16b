"""A checksum of every file of a closed shard. The engine keeps none: a bit that a disk flips would change a ranking, or
hide a chunk, and nothing would say so."""

import json
import os
import zlib
from pathlib import Path

_BLOCK = 1 << 20


def write_seal(shard: Path) -> None:
    """For a shard that is closed and will not change."""
    file = _file(shard)
    part = file.with_suffix(".part")
    with part.open("w") as out:
        json.dump(_checksums(shard), out)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
    _sync(file.parent)


def break_seal(shard: Path) -> bool:
    """Whether the shard is what it was when it was sealed, or was never sealed (its process was killed). From here on it
    may change, so the seal goes."""
    file = _file(shard)
    try:
        sealed = json.loads(file.read_text())
    except FileNotFoundError:
        return True
    except ValueError:
        sealed = None
    whole = bool(sealed == _checksums(shard))
    file.unlink()
    _sync(file.parent)
    return whole


def _checksums(shard: Path) -> dict[str, list[int]]:
    """Size and CRC-32 by name: made for errors of a disk, not against an attacker, and fast enough for every start."""
    files = sorted(path for path in shard.rglob("*") if path.is_file())
    return {path.relative_to(shard).as_posix(): [path.stat().st_size, _crc(path)] for path in files}


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc


def _file(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.seal")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
