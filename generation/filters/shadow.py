"""Text as patterns see it: one byte for each code point, so that RE2's offsets are those of the text.

Digits of every script are digits, every dash is a hyphen and every blank a space; letters beyond Latin-1 are a question
mark, which no pattern takes for a part of anything.
"""

import sys
import unicodedata
from typing import Any, Final

import re2

_DIGITS = {
    code: str(unicodedata.digit(chr(code)))
    for code in range(0x80, sys.maxunicode)
    if unicodedata.category(chr(code)) == "Nd"
}
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")
_SPACES = "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_BLANKS = dict.fromkeys(map(ord, _SPACES), " ")
_FULL_WIDTH = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_FOLDED: Final = _FULL_WIDTH | _DIGITS | _DASHES | _BLANKS


def shadow(text: str) -> bytes:
    """As many bytes as the text has code points."""
    if text.isascii():
        return text.replace("\t", " ").encode("ascii")
    return text.translate(_FOLDED).encode("latin-1", "replace")


def compiled(pattern: str, *, any_case: bool = False) -> Any:
    """A pattern for shadows, in RE2's syntax: linear in the text, whatever the text. Offsets count code points."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = not any_case
    return re2.compile(pattern.encode("latin-1"), options=options)
