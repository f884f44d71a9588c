"""Free ports on loopback addresses."""

import random
import socket
from collections.abc import Sequence
from pathlib import Path

# Below the range from which the system takes the source ports of outgoing connections: a port that
# lies in it can be taken by a client between a server's crash and its restart on the same port.
_LOWEST = 15_000
_ABOVE_HIGHEST = 32_000
_ATTEMPTS_MAX = 1_000


def free_ports(count: int, addresses: Sequence[str] = ("127.0.0.1",)) -> list[int]:
    """Ports that are free on each of the addresses now; chosen at random, so that two starters differ."""
    above = min(_ABOVE_HIGHEST, _ephemeral_lowest())
    lowest = min(_LOWEST, above // 2)
    chosen: list[int] = []
    for port in random.sample(range(lowest, above), k=min(_ATTEMPTS_MAX, above - lowest)):
        if all(_is_free(address, port) for address in addresses):
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise OSError(f"no {count} free ports between {lowest} and {above} on {', '.join(addresses)}")


def bindable(address: str) -> bool:
    """Whether servers can listen on the address; macOS has no 127.0.0.2 until it is added to lo0."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of a stopped predecessor, still in TIME_WAIT, do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _ephemeral_lowest() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return _ABOVE_HIGHEST
