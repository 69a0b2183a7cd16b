"""What the streams of a PDF unpack to, together: a file of a megabyte can hold a gigabyte, or a thousand times the same.

Pictures are left out: they are large in good files, and nobody unpacks them to read text. What is packed in another way
than almost every file is, or encrypted, meets the limit of the reader's memory instead.
"""

import re
import zlib
from collections.abc import Iterable, Iterator

from ingest.errors import ArchiveBomb, TooLarge
from ingest.readers.archive import LARGEST_RATIO, LARGEST_UNPACKED, RATIO_FROM

_BEGIN = re.compile(rb"(?<!end)stream\r?\n")
_DEFLATED = re.compile(rb"/Fl(?:ateDecode)?(?![A-Za-z])")
_PICTURE = re.compile(rb"/Subtype\s{0,8}/Image")
_DICTIONARY = 4096  # bytes in front of a stream that say how it is packed
_MOST_LAYERS = 3  # a stream that is packed more often hides something
_STEP = 1 << 16


def refuse_bombs(name: str, data: bytes) -> None:
    """Raises ArchiveBomb for streams packed over and over or far too well, TooLarge for too much of them."""
    unpacked = 0
    for begin in _BEGIN.finditer(data):
        head = data[max(0, begin.start() - _DICTIONARY) : begin.start()]
        head = head[head.rfind(b"obj") + 1 :]
        layers = len(_DEFLATED.findall(head))
        if layers == 0 or _PICTURE.search(head):
            continue
        if layers > _MOST_LAYERS:
            raise ArchiveBomb(f"{name} holds data that is packed {layers} times over.")
        for piece in _unpacked(data, begin.end(), layers):
            unpacked += len(piece)
            _allow(name, len(data), unpacked)


def _allow(name: str, size: int, unpacked: int) -> None:
    if unpacked > RATIO_FROM and unpacked > LARGEST_RATIO * size:
        raise ArchiveBomb(f"{name} unpacks to more than {LARGEST_RATIO} times its size.")
    if unpacked > LARGEST_UNPACKED:
        raise TooLarge(f"{name} unpacks to more than {LARGEST_UNPACKED // 1_000_000} MB.")


def _unpacked(data: bytes, start: int, layers: int) -> Iterator[bytes]:
    """What comes out of every layer, in small steps: what is counted may be inside, or outside and thrown away."""
    pieces: Iterable[bytes] = (data[at : at + _STEP] for at in range(start, len(data), _STEP))
    for _ in range(layers):
        pieces = _inflated(pieces)
    return iter(pieces)


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Up to the end of the packed data, or to where it is none."""
    inflater = zlib.decompressobj()
    for packed in pieces:
        waiting = packed
        while waiting and not inflater.eof:
            try:
                piece = inflater.decompress(waiting, _STEP)
            except zlib.error:
                return
            if piece:
                yield piece
            waiting = inflater.unconsumed_tail
        if inflater.eof:
            return
