"""Restrict the addresses fetched for clients to public ones, unless the operator allows private ones."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult

from cavsync.deploy.server.refusals import RefusalError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# RFC 6052: the last 32 bits are an IPv4 address, reachable through a gateway.
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: IPAddress) -> bool:
    """Return whether the address is public: not loopback, private, link-local, multicast, reserved or unspecified.

    An IPv6 address that embeds an IPv4 address (mapped, 6to4, Teredo, NAT64) is as public as that one.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner:
            return all(is_public(embedded) for embedded in inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _embedded(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    if address in NAT64:
        return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
    embedded = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    return tuple(inner for inner in embedded if inner is not None)


def resolve(url: SplitResult, *, allow_private: bool) -> str:
    """Return the numeric address to connect to for `url`, so that no second look-up can return a different one.

    Raises:
        RefusalError: the host does not exist, or one of its addresses is not public.
    """
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RefusalError(400, f"the host {host!r:.100} cannot be found: give an address that exists") from None
    numbers = [str(info[4][0]) for info in found]
    internal = [number for number in numbers if not is_public(ipaddress.ip_address(number.partition("%")[0]))]
    if internal and not allow_private:
        raise RefusalError(
            403, f"{host!r:.100} is an internal address: give a public one, or start with --allow-private-addresses"
        )
    return numbers[0]
