"""No address that anybody can write makes the service connect to what only this machine can reach.

What is connected to is seen at the interpreter's own audit event, below every library.
"""

import asyncio
import socket
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from app.adapters.webhook_sender import WebhookSender
from app.addresses import Target, allowed, is_public, target_of
from app.errors import WebhookFailed, WebhookTargetInside
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
    urls += ["file:///etc/passwd", "data:text/plain,a", "javascript:alert(1)", "unix:///var/run/docker.sock", ""]
    return urls


FORMS = list(dict.fromkeys(forms()))
_seen: list[Any] = []
_watching = False


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event == "socket.connect":
        _seen.append(arguments[1])


sys.addaudithook(_heard)  # there is no way to take one back, so it is told when to listen


@pytest.fixture
def connects() -> Iterator[list[Any]]:
    global _watching  # noqa: PLW0603
    _seen.clear()
    _watching = True
    yield _seen
    _watching = False


def test_there_are_enough_of_them() -> None:
    assert len(FORMS) >= 240


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


@pytest.mark.parametrize("url", FORMS, ids=ascii)
def test_no_form_of_an_address_leads_inside(url: str, connects: list[Any]) -> None:
    assert post(url, WebhookSender(2.0)) in ("no address", "webhook_target_inside", "webhook_failed")
    assert connects == []


def test_the_watch_sees_a_connection(connects: list[Any]) -> None:
    with receiver() as got:
        assert post(got.url(), WebhookSender(2.0, loopback=True)) == "sent"
        assert connects == [("127.0.0.1", got.port)]


class Names:
    """A resolver that says something else every time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


TARGET = Target("https", "hooks.example", 443, "/hook")


@pytest.mark.parametrize("inside", [*INSIDE, *INSIDE6, "::ffff:10.0.0.1", "::ffff:8.8.8.8", "fe80::1%eth0", "nonsense"])
def test_a_name_that_leads_inside_by_any_of_its_addresses_is_refused(inside: str, connects: list[Any]) -> None:
    for answer in ([inside], [PUBLIC, inside], [inside, PUBLIC], [PUBLIC, PUBLIC, inside]):
        names = Names(answer)
        with pytest.raises(WebhookTargetInside):
            asyncio.run(WebhookSender(2.0, resolve=names).post(TARGET, b"{}", {}))
        assert len(names.asked) == 1
    assert connects == []


@pytest.mark.parametrize("inside", ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0", PUBLIC])
def test_what_is_open_for_trying_out_is_this_machine_alone(inside: str, connects: list[Any]) -> None:
    for answer in ([inside], ["127.0.0.1", inside]):
        sender = WebhookSender(2.0, loopback=True, resolve=Names(answer))
        with pytest.raises(WebhookTargetInside):
            asyncio.run(sender.post(Target("http", "hooks.example", 80, "/"), b"{}", {}))
    assert connects == []


def test_a_name_that_says_something_else_the_second_time_is_not_asked_again() -> None:
    with receiver() as meant, receiver(host="127.0.0.2") as other:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        sender = WebhookSender(2.0, loopback=True, resolve=names)
        target = Target("http", "hooks.example", meant.port, "/hook")
        assert asyncio.run(sender.post(target, b"{}", {})) == 204
        assert names.asked == [("hooks.example", meant.port)]
        ((_, headers, _),) = meant.requests
        assert headers["host"] == f"hooks.example:{meant.port}"
        assert other.connections == 0


def test_a_name_that_has_turned_inside_by_the_next_attempt_is_refused_then(connects: list[Any]) -> None:
    names = Names([], ["127.0.0.1"])
    sender = WebhookSender(2.0, resolve=names)
    with pytest.raises(WebhookFailed):
        asyncio.run(sender.post(TARGET, b"{}", {}))
    with pytest.raises(WebhookTargetInside):
        asyncio.run(sender.post(TARGET, b"{}", {}))
    assert connects == []


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


@pytest.mark.parametrize(("status", "location"), list(product((301, 302, 303, 307, 308), LOCATIONS)))
def test_no_redirect_is_followed(status: int, location: str) -> None:
    with receiver() as inside:
        told = {"location": location.format(port=inside.port)}
        with receiver(lambda _: (status, told, b"elsewhere")) as got:
            sender = WebhookSender(2.0, loopback=True)
            target = target_of(got.url())
            assert target is not None
            assert asyncio.run(sender.post(target, b"{}", {})) == status
            assert len(got.requests) == 1
        assert inside.connections == 0


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as got:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert post(got.url(), WebhookSender(2.0, loopback=True)) == "sent"
        assert (proxy.connections, len(got.requests)) == (0, 1)


def test_what_is_checked_is_what_the_world_calls_public() -> None:
    assert is_public(PUBLIC)
