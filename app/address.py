"""Whose address a request came from, when proxies of ours stand in between."""

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks in CIDR form. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The peer, or the last address in `X-Forwarded-For` that none of our proxies has.

    The header counts only as far as trusted proxies wrote it: from the right, each entry was added by the one after it.
    """
    address = peer
    for entry in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
        if not _is_trusted(address, trusted) or _parsed(entry) is None:
            return address
        address = entry
    return address


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
