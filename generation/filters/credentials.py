"""Keys, tokens and addresses with passwords, e-mail addresses and IPv6: what a pattern alone tells. Pure."""

import ipaddress
from collections.abc import Callable
from typing import Final

from generation.filters.finding import ByPattern
from generation.filters.shadow import compiled

REST_OF_DRAWN: Final = r"[A-Za-z0-9_\-+/=]*"
REST_OF_KEY: Final = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
HEAD_OF_KEY: Final = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:\\n|\s){0,8}"
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_DIGIT = compiled(r"[0-9]")
_LETTER = compiled(r"[A-Za-z]")


def _drawn(text: bytes, start: int, end: int) -> bool:
    """Random characters have digits among them; words joined by hyphens seldom do."""
    return bool(_DIGIT.search(text, start + 3, end)) and bool(_LETTER.search(text, start + 3, end))


def _ipv6(text: bytes, start: int, end: int) -> bool:
    if (start and text[start - 1] in b":.-") or (
        end < len(text) and text[end] in b":.-" and text[end + 1 : end + 2].isalnum()
    ):
        return False
    try:
        address = ipaddress.IPv6Address(text[start:end].decode())
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified) and text.count(b":", start, end) >= 3


def _bounded(text: bytes, start: int, end: int) -> bool:
    """Whether an address of e-mail is whole: nothing that could belong to it stands in front of it."""
    del end
    return not start or (text[start - 1] not in _WORD and text[start - 1] not in b".%+-@")


_LETTERS: Final = r"A-Za-z0-9\xc0-\xff"
_EMAIL: Final = (
    rf"\b[{_LETTERS}_][{_LETTERS}._%+'\-]{{0,63}}@(?:[{_LETTERS}][{_LETTERS}\-]{{0,62}}\.){{1,4}}[A-Za-z]{{2,24}}\b"
)
_HEX: Final = "[0-9A-Fa-f]"
_TOKENS: Final = (
    r"\b(?:AKIA|ASIA|AROA|AIDA|AGPA|AIPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}\b",  # AWS
    r"\bgh[pousr]_[A-Za-z0-9]{36,255}",  # GitHub
    r"\bgithub_pat_[A-Za-z0-9_]{22,255}",
    r"\bglpat-[A-Za-z0-9_\-]{20,255}",  # GitLab
    r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,255}",  # Slack
    r"\bAIza[A-Za-z0-9_\-]{35}",  # Google
    r"\b(?:sk|rk|pk|whsec)_(?:live_|test_)[A-Za-z0-9]{16,255}",  # Stripe
    r"\bhf_[A-Za-z0-9]{30,255}",  # Hugging Face
    r"\bnpm_[A-Za-z0-9]{36}",
    r"\bpypi-[A-Za-z0-9_\-]{40,255}",
    r"\bSG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}",  # SendGrid
    r"\bgrd_[A-Za-z0-9_\-]{20,255}",  # our own
    r"\beyJ[A-Za-z0-9_\-]{8,220}\.eyJ[A-Za-z0-9_\-]{16}[A-Za-z0-9_\-]{0,100}(?:\.[A-Za-z0-9_\-]{0,40})?",  # JWT
)
_DRAWN: Final = (r"\bsk-[A-Za-z0-9_\-]{20,255}",)  # OpenAI, and those who write like it


def finder_of(kind: str) -> list[ByPattern]:
    """The finders of `email`, `ip_address` (IPv6), `secret` or `url_credentials`."""
    made: dict[str, Callable[[], list[ByPattern]]] = {
        "email": lambda: [ByPattern("email", _EMAIL, _bounded)],
        "ip_address": lambda: [ByPattern("ip_address", rf"\b{_HEX}{{1,4}}:{_HEX}{{0,4}}:[0-9A-Fa-f:]{{1,31}}", _ipv6)],
        "url_credentials": lambda: [
            ByPattern(
                "url_credentials",
                r"\b[A-Za-z][A-Za-z0-9+.\-]{1,20}://([^\s/@:?#\"'<>]{1,100}:[^\s/@?#\"'<>]{1,200})@",
            )
        ],
        "secret": _secrets,
    }
    return made[kind]() if kind in made else []


def _secrets() -> list[ByPattern]:
    any_token = "|".join(f"(?:{token})" for token in _TOKENS)
    aws = r"secret[A-Za-z_ ]{0,20}[\"']?\s{0,3}[:=]\s{0,3}[\"']?([A-Za-z0-9/+]{40})"
    return [
        ByPattern("secret", any_token, rest="token"),
        *(ByPattern("secret", pattern, _drawn, rest="token") for pattern in _DRAWN),
        ByPattern("secret", aws, any_case=True, rest="token"),
        ByPattern("secret", HEAD_OF_KEY + r"[A-Za-z0-9+/=]{16}", rest="private_key"),
    ]
