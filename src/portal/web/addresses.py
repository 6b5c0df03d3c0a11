"""The client address of a request: the peer's, or the one that a trusted proxy reports.

Comes in: a request head. Leaves: an address as text, for rate limits, the sign-in throttle, the networks of tokens and
the log. Only X-Forwarded-For is read, and only from peers that PORTAL_TRUSTED_PROXIES names.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from portal.core import log

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_FORWARDED = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?", re.ASCII)
_log = log.get(__name__)


class Addresses:
    """The client addresses of one process's requests. Logs one warning if an untrusted peer sends X-Forwarded-For."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted = [ip_network(text) for text in trusted_proxies]
        self._warned = False

    def of(self, scope: Scope) -> str | None:
        """The client's address; None if the peer has none (a Unix socket)."""
        if not self._warned and _has_forwarded(scope) and not _is_trusted(_peer(scope), self._trusted):
            self._warned = True
            text = "X-Forwarded-For is ignored: PORTAL_TRUSTED_PROXIES does not name this peer (docs/operate.md)"
            _log.warning("proxy_not_trusted", peer=str(_peer(scope)), text=text)
        return client_address(scope, self._trusted)


def client_address(scope: Scope, trusted: list[Network]) -> str | None:
    """The peer's address; behind a trusted proxy, the last address in X-Forwarded-For that is not a trusted proxy.

    A text that is no address ends the search: the address to its right counts.
    """
    peer = _peer(scope)
    if peer is None or not _is_trusted(peer, trusted):
        return None if peer is None else str(peer)
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    for text in reversed(forwarded.split(",")):
        address = _address(_without_port(text.strip()))
        if address is None:
            break  # a text that is no address is not trusted, whichever proxy sends it
        peer = address
        if not _is_trusted(address, trusted):
            break
    return str(peer)


def _peer(scope: Scope) -> Address | None:
    return _address(scope["client"][0]) if scope.get("client") else None


def _has_forwarded(scope: Scope) -> bool:
    return any(name == b"x-forwarded-for" for name, _ in scope["headers"])


def _without_port(text: str) -> str:
    """The address without port and brackets, which some proxies add: `203.0.113.7:51234`, `[2001:db8::7]:443`."""
    match = _FORWARDED.fullmatch(text)
    return text if match is None else match[1] or match[2]


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return None  # a zone id may be any text, and means nothing on another machine
    return getattr(address, "ipv4_mapped", None) or address  # a dual-stack socket reports IPv4 as ::ffff:a.b.c.d


def _is_trusted(address: Address | None, networks: list[Network]) -> bool:
    return address is not None and any(address in network for network in networks)
