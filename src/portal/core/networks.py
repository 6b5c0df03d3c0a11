"""The network of a client address: the key by which callers without a valid credential are counted."""

from ipaddress import IPv6Address, ip_address, ip_network

_PREFIX = 64  # of IPv6: one customer has all addresses of a /64


def network_of(address: str) -> str:
    """The IPv4 address itself; for IPv6 the /64 network, which one customer has to itself."""
    parsed = ip_address(address)
    return str(ip_network((parsed, _PREFIX), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
