"""Addresses that lead inside in every spelling that some parser takes, names that change what they stand for, and receivers
that send elsewhere: none of it makes the service connect to what only this machine can reach.

What is connected to is seen at the interpreter's own audit event, below every library, and what is not of this machine is
stopped there, so nothing leaves it.
"""

import asyncio
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, product
from typing import Any

import httpx2

from app.adapters.jwks import from_url
from app.adapters.named_address import Resolve, looked_up
from app.adapters.webhook_sender import WebhookSender
from app.addresses import Target, allowed, is_public, target_of
from ingest.errors import GroundedError
from tests.receivers import receiver

INSIDE = ("127.0.0.1", "10.1.2.3", "172.16.0.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0")
INSIDE6 = (
    "::1",
    "::",
    "fe80::1",
    "fc00::7",
    "fec0::1",
    "ff02::1",
    "2002:7f00:1::",
    "64:ff9b::a9fe:a9fe",
    "2001:db8::1",
)
PUBLIC = "93.184.216.34"
SHORT = (
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "0",
    "0x0",
    "00",
    "0x7f.1",
    "0177.1",
    "127.0x1",
    "017700000001",
    "4294967297",
)
DOTS = ("。", "．", "｡", "%E3%80%82", "%2E", "․", "·")  # what some parsers of names take for dots
CUTS = (
    "%0d%0a",
    "%0a",
    "%00",
    "%09",
    "%20",
    "\r\n",
    "\v",
    "\u2028",
    "\\",
    "\\\\",
    "%5c",
    ";",
    ",",
    "%23@",
    "%3f@",
    "[]@",
    "&@",
    "/..@",
)
NAMES = {  # public names of the world that stand for addresses inside, and their spellings
    "localtest.me": ["127.0.0.1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "169-254-169-254.sslip.io": ["169.254.169.254"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data.ec2.internal": ["169.254.169.254"],
    "kubernetes.default.svc": ["10.96.0.1"],
    "host.docker.internal": ["172.17.0.1"],
    "xn--lclhst-hwa5b.example": ["127.0.0.1"],
    "a.127-0-0-1.example": [PUBLIC, "127.0.0.1"],
    "six.example": ["2606:4700::1111", "::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "zone.example": ["fe80::1%eth0"],
    "none.example": [],
    "hooks.example": [],
}


def disguises(address: str) -> list[str]:
    """One IPv4 address as hosts in every spelling that some parser takes."""
    a, b, c, d = (int(part) for part in address.split("."))
    number = (a << 24) + (b << 16) + (c << 8) + d
    high, low = number >> 16, number & 0xFFFF
    return [
        address,
        f"{address}.",
        str(number),
        hex(number),
        hex(number).upper(),
        f"0{number:o}",
        f"{a}.{(b << 16) + (c << 8) + d}",
        f"{a}.{b}.{(c << 8) + d}",
        ".".join(f"0{part:o}" for part in (a, b, c, d)),
        ".".join(hex(part) for part in (a, b, c, d)),
        ".".join(f"{part:03}" for part in (a, b, c, d)),
        f"{hex(a)}.0{b:o}.{c}.{d}",
        address.translate(str.maketrans("0123456789", "０１２３４５６７８９")),
        address.replace(".", "。"),
        address.replace(".", "%2e"),
        "".join(f"%{ord(char):02x}" for char in address),
        f"[::ffff:{address}]",
        f"[::ffff:{high:x}:{low:x}]",
        f"[::{address}]",
        f"[::ffff:0:{address}]",
        f"[64:ff9b::{address}]",
        f"[64:ff9b:1::{address}]",
        f"[2002:{high:x}:{low:x}::]",
        f"[fe80::5efe:{address}]",
        f"[{address}]",
    ]


def forms() -> list[str]:
    urls = [f"https://{host}/hook" for address in INSIDE for host in disguises(address)]
    urls += [f"https://[{address}]/hook" for address in INSIDE6]
    urls += [
        "https://localhost/",
        "https://LOCALHOST/",
        "https://localhost./",
        "https://localhost.localdomain/",
        f"https://{socket.gethostname()}/",
        "https://ip6-localhost/",
        "https://127.0.0.1:22/",
        "https://127.0.0.1:0/",
        "https://127.0.0.1:70000/",
        "https://127.0.0.1:-1/",
        "https://[::1%lo]/",
        "https://[::1%25lo]/",
        "https://[fe80::1%25lo]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::1]:8000/",
        "https://hooks.example@127.0.0.1/",
        "https://hooks.example:pass@127.0.0.1/",
        "https://hooks.example%40127.0.0.1/",
        "https://127.0.0.1#@hooks.example/",
        "https://127.0.0.1\\@hooks.example/",
        "https://hooks.example\\@127.0.0.1/",
        "https://127.0.0.1?@hooks.example/",
        "https://127.0.0.1 /",
        "https://127.0.0.1\t/",
        "https://127.0.0.1\n/",
        "https://127.0.0.1\r\nhost: hooks.example/",
        "https://127.0.0.1\0.hooks.example/",
        "https:/127.0.0.1/",
        "https:127.0.0.1/",
        "https:///127.0.0.1/",
        "https:////127.0.0.1/",
        "https:\\\\127.0.0.1\\",
        "//127.0.0.1/",
        "127.0.0.1/",
        "HTTPS://127.0.0.1/",
        " https://127.0.0.1/",
        "\thttps://127.0.0.1/",
        "https://[/",
        "https://]/",
        "https://",
        "https://.",
        "https://-/",
        "https://①②⑦.⓪.⓪.①/",
        "https://lo\u0441alhost/",
        "https://localhost\u3002/",
        "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
        "https://127.0.0.1.nip.io@127.0.0.1/",
    ]
    urls += [f"{scheme}://127.0.0.1/hook" for scheme in ("http", "ftp", "gopher", "dict", "ldap", "ws", "jar:http")]
    urls += [f"https://{host}/hook" for host in SHORT]
    urls += [f"https://{name}/hook" for name in NAMES]
    urls += [f"https://127{dot}0{dot}0{dot}1/hook" for dot in DOTS]
    urls += [
        f"https://localhost{port}/hook" for port in (":", ":00443", ":443.", ":0x1bb", ":+443", ":443:443", ":４４３")
    ]
    urls += [f"https://hooks.example{cut}127.0.0.1/" for cut in CUTS]
    urls += ["file:///etc/passwd", "data:text/plain,a", "javascript:alert(1)", "unix:///var/run/docker.sock", ""]
    return urls


FORMS = list(dict.fromkeys(forms()))
LOCATIONS = (
    "http://127.0.0.1:{port}/inside",
    "//127.0.0.1:{port}/inside",
    "/inside",
    "inside",
    "https://127.0.0.1:{port}/inside",
    "http://localhost:{port}/inside",
    "http://[::ffff:127.0.0.1]:{port}/inside",
    "http://2130706433:{port}/inside",
    "http://user@127.0.0.1:{port}/inside",
    "file:///etc/passwd",
)
STATUSES = (301, 302, 303, 307, 308)
TARGET = Target("https", "hooks.example", 443, "/hook")


class Stopped(OSError):
    """A connection that would have left this machine."""


_seen: list[Any] | None = None


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None or event != "socket.connect":
        return
    address = arguments[1]
    _seen.append(address)
    if isinstance(address, tuple) and is_public(str(address[0])):
        raise Stopped("stopped")


sys.addaudithook(_heard)  # there is no way to take one back, so it is told when to listen


@contextmanager
def watched() -> Iterator[list[Any]]:
    """Every address that is connected to meanwhile."""
    global _seen  # noqa: PLW0603
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None


class Names:
    """A resolver that says something else every time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


async def known_names(host: str, port: int) -> list[str]:
    """What the world says of the names above; of all else, what this machine says."""
    return NAMES[host] if host in NAMES else await looked_up(host, port)


def post(url: str, sender: WebhookSender) -> str:
    """What becomes of it, with the operator's list out of the way: only what leads nowhere inside may be connected to."""
    target = target_of(url) if allowed(url, (url,)) else None
    if target is None:
        return "no address"
    try:
        asyncio.run(sender.post(target, b"{}", {}))
    except GroundedError as error:
        return error.code
    return "sent"


def fetch(url: str, resolve: Resolve) -> str:
    """The same for the other address that is connected to on somebody's word: where the keys of a provider are."""
    target = target_of(url)
    if target is None:
        return "no address"
    try:
        asyncio.run(from_url(target, private=False, resolve=resolve)())
    except (OSError, httpx2.HTTPError):
        return "refused"
    return "fetched"


def sweep(n: int, seed: int) -> dict[str, Any]:
    """Every form by both roads, `n` attempts at names that change their mind, and every redirect."""
    outcomes, wrong = _forms_tried()
    turned, inside = _rebound(n, random.Random(seed))
    redirects, followed = _redirected()
    wrong += inside + followed
    told = {"forms": len(FORMS), "outcomes": outcomes, "rebindings": turned, "redirects": redirects}
    return {**told, "connects_inside": len(wrong), "wrong": wrong}


def _forms_tried() -> tuple[dict[str, int], list[str]]:
    outcomes: dict[str, int] = {}
    wrong = []
    for url in FORMS:
        with watched() as connects:
            found = post(url, WebhookSender(2.0, resolve=known_names))
            also = fetch(url, known_names)
        outcomes[found] = outcomes.get(found, 0) + 1
        if connects or "sent" in (found, also) or also == "fetched":
            wrong.append(f"{url!r}: {found}, {also}, connects to {connects}")
    return outcomes, wrong


def _rebound(n: int, draw: random.Random) -> tuple[int, list[str]]:
    """Attempts at a name that is public or leads inside from one look-up to the next, while somebody listens inside."""
    wrong = []
    with receiver() as here, receiver(host="127.0.0.2") as there:
        target = Target("https", "hooks.example", here.port, "/hook")
        for _ in range(n):
            answers = [
                draw.sample([PUBLIC, "127.0.0.1", "127.0.0.2", *INSIDE, *INSIDE6], draw.randint(1, 3)) for _ in range(4)
            ]
            names = Names(*answers)
            with watched() as connects:
                asyncio.run(_attempt(WebhookSender(2.0, resolve=names), target))
            reached = [str(address[0]) for address in connects]
            if len(names.asked) != 1 or not all(map(is_public, reached)):
                wrong.append(f"{answers}: asked {len(names.asked)} times, connects to {reached}")
        if here.connections or there.connections:
            wrong.append(f"{here.connections + there.connections} connections to receivers inside")
    return n, wrong


async def _attempt(sender: WebhookSender, target: Target) -> None:
    try:
        await sender.post(target, b"{}", {})
    except GroundedError:
        return


def _redirected() -> tuple[int, list[str]]:
    """A receiver that is allowed, and sends on to one inside, by every status and every spelling."""
    wrong = []
    pairs = list(product(STATUSES, LOCATIONS))
    with receiver() as inside:
        told = cycle((status, {"location": place.format(port=inside.port)}, b"") for status, place in pairs)
        with receiver(lambda _: next(told)) as outside:
            target = target_of(outside.url())
            assert target is not None
            for _ in pairs:
                asyncio.run(_attempt(WebhookSender(5.0, loopback=True), target))
            if len(outside.requests) != len(pairs):
                wrong.append(f"{len(outside.requests)} requests instead of {len(pairs)}")
        if inside.connections:
            wrong.append(f"{inside.connections} redirects were followed")
    return len(pairs), wrong
