"""A probe tells a server that is ready from one that only listens."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from localstack import probes
from localstack.probes import ProbeFailed

Probe = Callable[[str, int], object]


def postgres(host: str, port: int) -> str:
    return probes.postgres_version(host, port, user="erx", database="erx")


def cassandra(host: str, port: int) -> str:
    return probes.cassandra_query(host, port, "SELECT release_version FROM system.local")


PROBES: list[Probe] = [cassandra, probes.kafka_brokers, postgres]


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """A server that gives one answer to each request of one connection, then closes it."""

    def serve() -> None:
        link, _ = server.accept()
        with link:
            for answer in answers:
                link.recv(4096)
                link.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def cql(opcode: int, body: bytes) -> bytes:
    return struct.pack(">BBhBi", 0x84, 0, 0, opcode, len(body)) + body


def kafka_metadata(brokers: int, controller: int) -> bytes:
    broker = struct.pack(">ih", 1, 9) + b"127.0.0.1" + struct.pack(">ih", 9092, -1)
    body = struct.pack(">iii", 1, 0, brokers) + broker * brokers + struct.pack(">h", 2) + b"id"
    body += struct.pack(">ii", controller, 0)
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize("probe", PROBES)
def test_nobody_there_is_no_answer(probe: Probe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        probe("127.0.0.1", port)


@pytest.mark.parametrize("probe", PROBES)
def test_a_connection_closed_without_an_answer_is_not_ready(probe: Probe) -> None:
    with answering(b"") as port, pytest.raises(OSError, match=r"closed|reset"):
        probe("127.0.0.1", port)


@pytest.mark.parametrize("probe", PROBES)
def test_an_answer_in_another_protocol_is_not_ready(probe: Probe) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9) as port, pytest.raises(OSError, match=r"protocol|closed"):
        probe("127.0.0.1", port)


def test_cassandra_tells_its_version() -> None:
    name = probes._text
    columns = struct.pack(">iii", 2, 1, 1) + name("system") + name("local") + name("release_version")
    rows = columns + struct.pack(">Hii", 0x000D, 1, 5) + b"5.0.6"
    with answering(cql(0x02, b""), cql(0x08, rows)) as port:
        assert cassandra("127.0.0.1", port) == "5.0.6"


def test_an_error_of_cassandra_is_told_with_its_code() -> None:
    error = struct.pack(">i", 0x1000) + probes._text("cannot achieve consistency level ALL")
    with answering(cql(0x02, b""), cql(0x00, error)) as port, pytest.raises(ProbeFailed, match=r"0x1000.*ALL"):
        cassandra("127.0.0.1", port)


def test_kafka_is_ready_with_a_broker_and_a_controller() -> None:
    with answering(kafka_metadata(1, 1)) as port:
        assert probes.kafka_brokers("127.0.0.1", port) == 1


@pytest.mark.parametrize(("brokers", "controller"), [(0, 1), (1, -1)])
def test_kafka_without_broker_or_controller_is_not_ready(brokers: int, controller: int) -> None:
    with answering(kafka_metadata(brokers, controller)) as port, pytest.raises(ProbeFailed, match="controller"):
        probes.kafka_brokers("127.0.0.1", port)


def test_postgres_that_still_recovers_is_not_ready() -> None:
    body = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"
    with (
        answering(b"E" + struct.pack(">i", len(body) + 4) + body) as port,
        pytest.raises(ProbeFailed, match="57P03: the database system is starting up"),
    ):
        postgres("127.0.0.1", port)
