"""Which addresses may be connected to on somebody else's word. Pure: no name is looked up and nothing is connected here.

Whoever names an address that the service then connects to could otherwise reach what only this machine can reach: itself,
its network, the metadata of its cloud. An address counts as public only if every way of reading it is.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_HTTPS = 443
_LONGEST = 2048
# Printable ASCII without what parsers disagree about: blanks, quotes, backslashes, `<>^`{|}`.
_PLAIN = re.compile(r"https?://[!#-;=?-\[\]_a-z~]+", re.IGNORECASE)
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# What the standard library calls global although somebody inside may answer there: protocol assignments, 6to4's relays, a
# cloud's own host; in IPv6, of what is assigned to the internet: Teredo and its like, documentation, 6to4.
_NEVER4 = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_INTERNET6 = IPv6Network("2000::/3")
_NEVER6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: `host` is a name or an address without brackets, `path` has the query with it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": _HTTPS, "http": 80}[self.scheme] else f"{host}:{self.port}"


def is_public(text: str) -> bool:
    """Whether the address, as a resolver gives it, belongs to the public internet and to nothing else."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NEVER4)
    inside = address not in _INTERNET6 or address.scope_id is not None  # mapped, translated and NAT64 are not in it
    return not inside and not any(address in network for network in _NEVER6)


def is_loopback(text: str) -> bool:
    """Whether the address is this machine's own, written without any disguise."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_loopback and not (isinstance(address, IPv6Address) and address.ipv4_mapped is not None)


def target_of(url: str) -> Target | None:
    """The parts of an address that every parser reads alike, or None: https or http, a host name or a bracketed IPv6
    address or a dotted IPv4 address, no user, no fragment."""
    if len(url) > _LONGEST or not _PLAIN.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc or "#" in url:
        return None
    if not _is_host(host, bracketed=parts.netloc.startswith("[")) or port == 0:
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or {"https": _HTTPS, "http": 80}[parts.scheme], path)


def allowed(url: str, allow: Collection[str]) -> bool:
    """Whether the operator has named the very address, or its host, which then stands for https on port 443."""
    target = target_of(url)
    if target is None:
        return False
    plain = target.scheme == "https" and target.port == _HTTPS
    return url in allow or (plain and target.host in {entry.lower() for entry in allow if "/" not in entry})


def _is_host(host: str, *, bracketed: bool) -> bool:
    """A name whose last part is a number would be read as an IPv4 address by some, so it has to be one in full."""
    if bracketed:
        return "%" not in host and _is_address(host, IPv6Address)
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return _is_address(host, IPv4Address)
    return _NAME.fullmatch(host) is not None


def _is_address(host: str, kind: type[IPv4Address] | type[IPv6Address]) -> bool:
    try:
        return isinstance(ip_address(host), kind)
    except ValueError:
        return False
