"""Which encoding bytes without a mark are in: what the text says of itself, else what makes the likeliest text of it.

Western encodings share most of their bytes, and a guesser takes one for another. There the alphabets of languages
decide: of the readings of a text, the right one is that whose letters all belong to one language.
"""

import re
from collections import Counter

from charset_normalizer import from_bytes

_SAMPLE = 1 << 16  # bytes; more says no more
_DECLARED = re.compile(
    rb"<\?xml[^<>]{0,80}encoding=[\"']([A-Za-z0-9_.-]{1,40})|<meta[^<>]{0,200}charset[ \t]*=[ \t]*[\"']?([A-Za-z0-9_:.-]{1,40})",
    re.IGNORECASE,
)
_LATIN = re.compile(
    r"cp(?:125[02478]|437|775|85\d|86[0135])|iso8859_(?:\d|1[03456])|latin_1|hp_roman8|mac_(?!cyr|greek)"
)
_NOT_LATIN = {"iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8", "cp855", "cp856"}
_READINGS = ("cp1252", "cp1250", "iso8859_2", "cp1254", "cp1257", "iso8859_15", "latin_1")
_JAPANESE = {"cp932", "shift_jis", "shift_jis_2004", "shift_jisx0213"}
_ALPHABETS = tuple(
    frozenset(letters + letters.upper())
    for letters in (
        *(
            "äöüß",
            "àâæçéèêëîïôœùûüÿ",
            "áéíñóúü",
            "áâãàçéêíóôõúü",
            "àèéìîòóù",
            "éëïóöüèê",
            "æøåéöä",
            "åäöéš",
            "áðéíóúýþæö",
        ),
        *("àçèéíïòóúü", "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîșțşţ", "ëç"),
        *("çğıöşüİâîû", "äõöüšž", "āčēģīķļņšūžŗō", "ąčęėįšųūž", "ĉĝĥĵŝŭ", "ċġħżàèìòù", "âêîôûŵŷáéíóúëïöü"),
        "àáâãèéêìíòóôõùúýăđĩũơư\u0300\u0301\u0303\u0309\u0323",
    )
)
_NEUTRAL = frozenset("\u00a0„“”‚‘’«»‹›–—…•·§°€£©®™¡¿ªº¹²³½¼¾×±")  # of no language
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_CAPITAL = f"[{''.join(sorted({letter for known in _ALPHABETS for letter in known if letter.isupper()}))}]"
# A capital within a word or alone, a small number in front of a letter, a tone on what is no vowel.
_ODD = re.compile(
    rf"(?<=[a-z]){_CAPITAL}|(?<![^\W\d_]){_CAPITAL}(?![^\W\d_])"
    r"|[¹²³¼½¾](?=[^\W\d_])"
    "|(?<![aeiouyâăêôơưAEIOUYÂĂÊÔƠƯ])[\u0300\u0301\u0303\u0309\u0323]"
)


def declared_in(data: bytes) -> str | None:
    """The encoding that markup says it is in."""
    found = _DECLARED.search(data[:4096])
    return (found.group(1) or found.group(2)).decode("ascii") if found else None


def guess(data: bytes) -> str | None:
    """The encoding of text that is neither UTF-8 nor marked; None where no encoding makes text of it."""
    sample = data[:_SAMPLE]
    best = from_bytes(sample).best()
    if best is not None and _narrow(sample, best.encoding):
        best = from_bytes(sample, cp_exclusion=sorted(_JAPANESE)).best() or best
    if best is None:
        return None
    found: str = best.encoding
    if _LATIN.match(found) and found not in _NOT_LATIN:
        readings = (found, *_READINGS) if found in _READINGS else (*_READINGS, found)
        return max(readings, key=lambda encoding: likeness(sample, encoding))
    if found in _JAPANESE:
        return next((encoding for encoding in ("shift_jis", "cp932") if _decodes(data, encoding)), found)
    return found


def likeness(sample: bytes, encoding: str) -> float:
    """The share of letters beyond ASCII that belong to the one language they fit best, in this reading."""
    try:
        text = sample.decode(encoding)
    except UnicodeError:
        return -1.0
    letters = Counter(letter for letter in _FOREIGN.findall(text) if letter not in _NEUTRAL)
    odd = sum(1 for _ in _ODD.finditer(text))
    total = letters.total()
    covered = max(sum(times for letter, times in letters.items() if letter in known) for known in _ALPHABETS)
    return (covered - odd) / total if total else 0.0


def _narrow(sample: bytes, encoding: str) -> bool:
    """Whether a reading is mostly the narrow kana that Cyrillic and Greek bytes stand for in Japanese encodings."""
    if encoding not in _JAPANESE:
        return False
    letters = _FOREIGN.findall(sample.decode(encoding, errors="replace"))
    return 3 * sum(1 for letter in letters if "\uff61" <= letter <= "\uff9f") > len(letters)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeError:
        return False
    return True
