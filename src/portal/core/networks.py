"""Whom an address belongs to: what callers are counted by where nobody has signed in."""

from ipaddress import IPv6Address, ip_address, ip_network

_PREFIX = 64  # of IPv6: one customer has all addresses of it


def network_of(address: str) -> str:
    """The address itself of IPv4, the network that one customer has of IPv6."""
    parsed = ip_address(address)
    return str(ip_network((parsed, _PREFIX), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
