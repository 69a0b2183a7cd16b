"""Ways to write a text so that whoever compares letters does not know it again."""

import base64
import codecs
import html
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

B64 = base64.b64encode
ENCODED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "swapped": str.swapcase,
    "spaced": " ".join,
    "dotted": ".".join,
    "hyphens": "-".join,
    "lines": "\n".join,
    "stars": lambda text: " ".join(f"**{word}**" for word in text.split()),
    "underscores": lambda text: text.replace(" ", "_"),
    "no blanks": lambda text: text.replace(" ", ""),
    "zero width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "joiners": "\u2060".join,
    "tags between": "\U000e0041".join,
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text),
    "bold letters": lambda text: "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower()),
    "circled": lambda text: "".join(chr(0x24D0 + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower()),
    "accents": lambda text: unicodedata.normalize("NFC", "".join(c + "\u0301" if c in "aeiou" else c for c in text)),
    "cyrillic": lambda text: text.translate(str.maketrans("aeopcxy", "аеорсху")),
    "greek": lambda text: text.translate(str.maketrans("oiv", "οιν")),
    "reversed": lambda text: text[::-1],
    "words reversed": lambda text: " ".join(word[::-1] for word in text.split()),
    "order reversed": lambda text: " ".join(reversed(text.split())),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "rot13 reversed": lambda text: codecs.encode(text, "rot13")[::-1],
    "base64": lambda text: B64(text.encode()).decode(),
    "base64 shifted": lambda text: B64(("x" + text).encode()).decode(),
    "base64 upper": lambda text: B64(text.upper().encode()).decode(),
    "base64 lower": lambda text: B64(text.lower().encode()).decode(),
    "base64 lines": lambda text: "\n".join(B64(text.encode()).decode()[at : at + 20] for at in range(0, 200, 20)),
    "base64 url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 reversed": lambda text: B64(text[::-1].encode()).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex upper": lambda text: text.encode().hex().upper(),
    "hex spaced": lambda text: text.encode().hex(" "),
    "hex escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "hex 0x": lambda text: " ".join(f"0x{byte:02x}" for byte in text.encode()),
    "unicode escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "decimal": lambda text: " ".join(map(str, text.encode())),
    "binary": lambda text: " ".join(f"{byte:08b}" for byte in text.encode()),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "quoted": quote,
    "escaped": html.escape,
}
