"""Whose request it is: what a trusted proxy tells, in every way that proxies write it, and of nobody else anything."""

from ipaddress import ip_network

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from portal.web.addresses import Addresses, client_address


def scope(headers: list[tuple[bytes, bytes]], client: tuple[str, int] | None = ("192.0.2.1", 1)) -> Scope:
    return {"type": "http", "headers": headers, "client": client}


PROXIES = ["10.0.0.0/8", "::1", "2001:db8::/32"]

ADDRESSES: dict[str, tuple[str | None, list[str], str | None]] = {
    "a stranger": ("192.0.2.1", [], "192.0.2.1"),
    "a stranger who claims another address": ("192.0.2.1", ["6.6.6.6"], "192.0.2.1"),
    "a stranger who claims to be the proxy": ("192.0.2.1", ["10.0.0.1"], "192.0.2.1"),
    "behind the proxy": ("10.0.0.1", ["6.6.6.6"], "6.6.6.6"),
    "behind the proxy, with a forged beginning": ("10.0.0.1", ["1.1.1.1, 6.6.6.6"], "6.6.6.6"),
    "behind two proxies": ("10.0.0.1", ["6.6.6.6, 10.9.9.9"], "6.6.6.6"),
    "behind two proxies, forged": ("10.0.0.1", ["1.1.1.1, 6.6.6.6, 10.9.9.9"], "6.6.6.6"),
    "two headers are one list": ("10.0.0.1", ["1.1.1.1", "6.6.6.6"], "6.6.6.6"),
    "the proxy itself": ("10.0.0.1", [], "10.0.0.1"),
    "an empty list": ("10.0.0.1", [""], "10.0.0.1"),
    "nothing but proxies": ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
    "no address": ("10.0.0.1", ["not-an-ip <script>"], "10.0.0.1"),
    "no address behind an address": ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
    "no address before a proxy": ("10.0.0.1", ["unknown, 10.0.0.2"], "10.0.0.2"),
    "a gap": ("10.0.0.1", ["6.6.6.6,,10.0.0.2"], "10.0.0.2"),
    "an address with a port": ("10.0.0.1", ["6.6.6.6:51234"], "6.6.6.6"),
    "an IPv6 address with a port": ("10.0.0.1", ["[2001:db9::7]:443"], "2001:db9::7"),
    "an IPv6 address in brackets": ("10.0.0.1", ["[2001:db9::7]"], "2001:db9::7"),
    "a proxy with a port": ("10.0.0.1", ["6.6.6.6:1, 10.0.0.2:51234"], "6.6.6.6"),
    "an IPv6 address and no port": ("10.0.0.1", ["2001:db9::7:443"], "2001:db9::7:443"),
    "a port of six digits": ("10.0.0.1", ["6.6.6.6:512345"], "10.0.0.1"),
    "a port that is none": ("10.0.0.1", ["6.6.6.6:http"], "10.0.0.1"),
    "a port without its colon": ("10.0.0.1", ["[2001:db9::7]443"], "10.0.0.1"),
    "a bracket that stays open": ("10.0.0.1", ["[2001:db9::7:443"], "10.0.0.1"),
    "a zone in brackets": ("10.0.0.1", ["[fe80::1%eth0]:443"], "10.0.0.1"),
    "leading zeros": ("10.0.0.1", ["006.006.006.006"], "10.0.0.1"),
    "a zone": ("10.0.0.1", ["fe80::1%<script>"], "10.0.0.1"),
    "a zone before a proxy": ("10.0.0.1", ["2001:db9::1%0, 10.0.0.2"], "10.0.0.2"),
    "an IPv4 proxy on a dual-stack socket": ("::ffff:10.0.0.1", ["6.6.6.6"], "6.6.6.6"),
    "an IPv4 stranger on a dual-stack socket": ("::ffff:192.0.2.1", ["6.6.6.6"], "192.0.2.1"),
    "an IPv6 client": ("::1", ["2001:DB9::0001"], "2001:db9::1"),
    "two IPv6 proxies": ("::1", ["6.6.6.6, 2001:db8::7"], "6.6.6.6"),
    "a socket": (None, ["6.6.6.6"], None),
    "a peer that is no address": ("testclient", ["6.6.6.6"], None),
}


@pytest.mark.parametrize(("peer", "forwarded", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_is_the_nearest_that_is_not_a_trusted_proxy(
    peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    over = scope(headers, client=None if peer is None else (peer, 1))
    assert client_address(over, [ip_network(text) for text in PROXIES]) == expected


def test_without_trusted_proxies_nothing_is_believed() -> None:
    names = (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"remote-addr", b"x_forwarded_for")
    assert client_address(scope([(name, b"6.6.6.6") for name in names]), []) == "192.0.2.1"


def test_other_headers_are_believed_of_nobody() -> None:
    names = (b"forwarded", b"x-real-ip", b"x_forwarded_for", b"cf-connecting-ip", b"true-client-ip")
    over = scope([(name, b"6.6.6.6") for name in names], client=("10.0.0.1", 1))
    assert client_address(over, [ip_network("10.0.0.0/8")]) == "10.0.0.1"


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_any_forwarded_header_gives_an_address(values: list[bytes]) -> None:
    over = scope([(b"x-forwarded-for", value) for value in values], client=("10.0.0.1", 1))
    assert client_address(over, [ip_network("10.0.0.0/8")]) is not None


FORWARDED = [(b"x-forwarded-for", b"6.6.6.6")]


@pytest.mark.parametrize("proxies", [[], ["172.16.0.0/12"]])
def test_a_proxy_that_is_not_trusted_is_told_once(proxies: list[str]) -> None:
    addresses = Addresses(proxies)
    with structlog.testing.capture_logs() as logs:
        assert addresses.of(scope([])) == "192.0.2.1"
        assert logs == []
        for _ in range(3):
            assert addresses.of(scope(FORWARDED)) == "192.0.2.1"
    (line,) = logs
    assert (line["event"], line["log_level"], line["peer"]) == ("proxy_not_trusted", "warning", "192.0.2.1")
    assert "PORTAL_TRUSTED_PROXIES" in line["text"]


def test_a_proxy_that_is_trusted_is_not_told() -> None:
    with structlog.testing.capture_logs() as logs:
        assert Addresses(["192.0.2.0/24"]).of(scope(FORWARDED)) == "6.6.6.6"
    assert logs == []
