"""Which addresses count as public, and which texts as an address that every parser reads alike."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.addresses import Target, allowed, is_loopback, is_public, target_of

PUBLIC = ("8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1")
INSIDE = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.0.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    *("255.255.255.255", "168.63.129.16"),
    *("::", "::1", "::2", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:20::1"),
    *("2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00::1"),
    *("fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "ff0e::1", "2606:4700::1111%eth0"),
)
NO_ADDRESSES = ("", "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "8.8.8.8 ", "[::1]", "1.2.3.4.5")


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public(address: str) -> None:
    assert is_public(address)
    assert not is_loopback(address)


@pytest.mark.parametrize("address", [*INSIDE, *NO_ADDRESSES])
def test_what_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1"])
def test_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "0.0.0.0", "::", "10.0.0.1", "fe80::1", *NO_ADDRESSES])
def test_what_only_looks_like_this_machine(address: str) -> None:
    assert not is_loopback(address)


@given(st.ip_addresses(v=4))
def test_no_address_of_a_private_network_is_public_in_any_disguise(address: ipaddress.IPv4Address) -> None:
    high, low = int(address) >> 16, int(address) & 0xFFFF
    disguises = (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}", f"2002:{high:x}:{low:x}::1")
    assert not any(map(is_public, disguises))
    if address.is_private or address.is_multicast or address.is_reserved:
        assert not is_public(str(address))


@given(st.ip_addresses(v=6))
def test_nothing_beyond_the_internets_own_range_is_public(address: ipaddress.IPv6Address) -> None:
    if int(address) >> 125 != 1:  # 2000::/3
        assert not is_public(str(address))


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://hooks.example", Target("https", "hooks.example", 443, "/"), "hooks.example"),
        ("https://Hooks.Example:443/A?b=C", Target("https", "hooks.example", 443, "/A?b=C"), "hooks.example"),
        ("https://hooks.example:8443/a", Target("https", "hooks.example", 8443, "/a"), "hooks.example:8443"),
        ("http://127.0.0.1:8000/a", Target("http", "127.0.0.1", 8000, "/a"), "127.0.0.1:8000"),
        ("http://localhost/a", Target("http", "localhost", 80, "/a"), "localhost"),
        ("https://[2606:4700::1111]/a", Target("https", "2606:4700::1111", 443, "/a"), "[2606:4700::1111]"),
        ("https://xn--bcher-kva.example/", Target("https", "xn--bcher-kva.example", 443, "/"), "xn--bcher-kva.example"),
    ],
)
def test_what_is_an_address(url: str, target: Target, authority: str) -> None:
    assert target_of(url) == target
    assert target.authority == authority


@given(st.text())
def test_whatever_is_written_is_an_address_or_none(url: str) -> None:
    for text in (url, f"https://{url}", f"https://hooks.example/{url}", f"https://hooks.example@{url}"):
        found = target_of(text)
        assert found is None or (found.scheme in ("http", "https") and "@" not in found.host and found.host.isascii())


class TestAllowed:
    def test_a_host_stands_for_https_on_its_port_alone(self) -> None:
        allow = ("hooks.example", "Other.Example")
        for url in (
            "https://hooks.example",
            "https://hooks.example/a?b",
            "https://HOOKS.example:443/",
            "https://other.example/",
        ):
            assert allowed(url, allow), url
        for url in (
            *(
                "http://hooks.example/",
                "https://hooks.example:8443/",
                "https://a.hooks.example/",
                "https://hooks.example.",
            ),
            *(
                "https://hooks.example.evil.example/",
                "https://evilhooks.example/",
                "https://hooks.example@evil.example/",
            ),
        ):
            assert not allowed(url, allow), url

    def test_an_address_stands_for_itself_alone(self) -> None:
        allow = ("https://hooks.example:8443/a",)
        assert allowed("https://hooks.example:8443/a", allow)
        for url in ("https://hooks.example:8443/ab", "https://hooks.example:8443/a?b", "https://hooks.example/a"):
            assert not allowed(url, allow), url

    def test_nothing_is_allowed_of_itself(self) -> None:
        assert not allowed("https://hooks.example/", ())
        assert not allowed("ftp://hooks.example/", ("ftp://hooks.example/",))
