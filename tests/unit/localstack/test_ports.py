"""Ports are free where they are wanted, and stay so between a crash and a restart."""

import socket
from pathlib import Path

import pytest

from localstack import ports

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_differ_and_can_be_bound_on_every_address() -> None:
    addresses = [address for address in ("127.0.0.1", "127.0.0.2") if ports.bindable(address)]
    chosen = ports.free_ports(5, addresses)
    assert len(set(chosen)) == 5
    for port in chosen:
        for address in addresses:
            with socket.socket() as server:
                server.bind((address, port))


def test_a_port_in_use_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = ports.free_ports(2)
    with socket.create_server(("127.0.0.1", taken)):
        monkeypatch.setattr("random.sample", lambda _, **__: [taken, free])
        assert ports.free_ports(1) == [free]


@pytest.mark.skipif(not RANGE.exists(), reason="the system does not tell its range")
def test_ports_lie_below_those_of_outgoing_connections() -> None:
    assert max(ports.free_ports(50)) < int(RANGE.read_text().split()[0])


def test_too_few_free_ports_are_an_error_that_names_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.sample", lambda _, **__: [])
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        ports.free_ports(1)


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    assert ports.bindable("127.0.0.1")
    assert not ports.bindable("192.0.2.1")  # TEST-NET-1, RFC 5737
