"""Where a webhook may go. Whoever subscribes names a URL, and must not reach the network behind the server by it.

A name is looked up once, every address that it has is judged, and the connection is made to an address that was judged:
what the name leads to a moment later does not matter. TLS still asks for the name's certificate.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpcore

from eventkernel.errors import InvalidCommand
from eventkernel_webhooks.errors import AddressRefused

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def checked_url(url: str, *, private_allowed: bool) -> str:
    """The URL, or ``InvalidCommand``: https (http only where private addresses are allowed), a host, no user, no fragment.

    An address that stands in it must be allowed too; where a name leads is looked at each time a message is sent.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidCommand("url", "cannot be read") from error
    schemes = ("https", "http") if private_allowed else ("https",)
    if parts.scheme not in schemes:
        raise InvalidCommand("url", f"must begin with {' or '.join(schemes)}")
    if not parts.hostname or port == 0:
        raise InvalidCommand("url", "must name a host and a port that can be")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidCommand("url", "must hold neither user nor fragment")
    if any(character <= " " or character > "~" for character in url):
        raise InvalidCommand("url", "must be visible ASCII; encode other characters")
    if not private_allowed and _is_private(parts.hostname):
        raise InvalidCommand("url", "must not name a private address")
    return url


def _is_private(host: str) -> bool:
    """Whether a host is an address, and not a public one."""
    try:
        return not is_public(host)
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether an address is one of the Internet at large, also where it hides an IPv4 address in an IPv6 one."""
    found: _Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, in the system's order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were judged, and to nothing else."""

    def __init__(self, *, private_allowed: bool, resolve: Resolve = resolve) -> None:
        self._private_allowed = private_allowed
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look up, judge all, connect to the first that answers. Raises ``AddressRefused``."""
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} is unknown") from error
        if not addresses:
            raise httpcore.ConnectError(f"{host} has no address")
        if not self._private_allowed and not all(map(is_public, addresses)):
            raise AddressRefused(host)
        for place, address in enumerate(addresses):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                if place == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(host)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise AddressRefused(path)

    async def sleep(self, seconds: float) -> None:
        """Between a connection's own attempts."""
        await self._inner.sleep(seconds)
