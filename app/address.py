"""Whose address a request came from, when proxies of ours stand in between."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST = 45  # characters of an address


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks in CIDR form. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def client_address(peer: str, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """The peer, or the last address in `X-Forwarded-For` that none of our proxies has, as the budgets count it.

    The header counts only as far as trusted proxies wrote it: from the right, each entry was added by the one after it.
    """
    address = _parsed(peer)
    if address is None:
        return peer
    for entry in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
        client = _parsed(entry) if len(entry) <= LONGEST else None
        if client is None or not any(address in network for network in trusted):
            break
        address = client
    return _counted(address)


def _counted(address: Address) -> str:
    """Of IPv6 the first half: whoever has one address there has the other 2**64 of its network too."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))


@lru_cache(maxsize=4096)  # reading an address takes longer than reading a token that is known
def _parsed(text: str) -> Address | None:
    """As the one spelling of it: a socket for both families writes IPv4 addresses as IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
