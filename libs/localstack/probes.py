"""Is the server answering? Asked in each server's own protocol, over a plain socket.

An open port proves little: Kafka listens before it has a controller, PostgreSQL while it recovers.
Each probe returns what the server said, or raises `OSError` (`ProbeFailed` is one).
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_TIMEOUT_SECONDS = 2.0
_FRAME_MAX = 16 * 1024 * 1024

# CQL native protocol v4, section 2.4 (opcodes) and 3 (notations).
_CQL_VERSION = 4
_CQL_STARTUP, _CQL_ERROR, _CQL_QUERY, _CQL_RESULT, _CQL_READY = 0x01, 0x00, 0x07, 0x08, 0x02
_CQL_AUTHENTICATE, _CQL_AUTH_RESPONSE, _CQL_AUTH_SUCCESS = 0x03, 0x0F, 0x10
_CQL_TEXTS = (0x0001, 0x000A, 0x000D)  # ascii, text, varchar
CQL_ONE, CQL_ALL = 0x0001, 0x0005

_KAFKA_METADATA, _KAFKA_METADATA_VERSION = 3, 4

_POSTGRES_PROTOCOL = 196_608  # 3.0


class ProbeFailed(OSError):
    """The server answered, but not as a ready one."""


def cassandra_query(
    host: str,
    port: int,
    query: str,
    *,
    consistency: int = CQL_ONE,
    credentials: tuple[str, str] | None = None,
    seconds: float = _TIMEOUT_SECONDS,
) -> str:
    """Run a query; the first column of the first row, "" when there is no row; in hex if it is no text."""
    with _connected(host, port, seconds) as link:
        opcode, body = _cql(link, _CQL_STARTUP, struct.pack(">H", 1) + _text("CQL_VERSION") + _text("3.0.0"))
        if opcode == _CQL_AUTHENTICATE:
            user, password = credentials or ("cassandra", "cassandra")
            token = f"\0{user}\0{password}".encode()
            opcode, body = _cql(link, _CQL_AUTH_RESPONSE, struct.pack(">i", len(token)) + token)
        if opcode not in (_CQL_READY, _CQL_AUTH_SUCCESS):
            raise ProbeFailed(f"CQL opcode {opcode} instead of READY: {_cql_error(body)}")
        encoded = query.encode()
        opcode, body = _cql(
            link, _CQL_QUERY, struct.pack(">i", len(encoded)) + encoded + struct.pack(">HB", consistency, 0)
        )
        if opcode != _CQL_RESULT:
            raise ProbeFailed(_cql_error(body))
        return _cql_first(body)


def kafka_brokers(host: str, port: int) -> int:
    """How many brokers the cluster has in service; raises while it has no controller or no broker."""
    client = b"localstack"
    request = struct.pack(">hhih", _KAFKA_METADATA, _KAFKA_METADATA_VERSION, 1, len(client)) + client
    request += struct.pack(">i?", 0, False)  # no topics; create none
    with _connected(host, port) as link:
        link.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _exactly(link, 4))
        body = _exactly(link, size)
    brokers = int(struct.unpack_from(">i", body, 8)[0])  # after the correlation id and the throttle time
    position = 12
    for _ in range(brokers):
        position += 4  # node id
        position = _skip_kafka_string(body, position) + 4  # host, port
        position = _skip_kafka_string(body, position)  # rack
    position = _skip_kafka_string(body, position)  # cluster id
    (controller,) = struct.unpack_from(">i", body, position)
    if brokers < 1 or controller < 0:
        raise ProbeFailed(f"{brokers} brokers in service, controller {controller}")
    return brokers


def postgres_version(host: str, port: int, *, user: str, database: str) -> str:
    """The server's version, as it tells every client that connects."""
    with _postgres_connected(host, port, user, database) as link:
        for kind, body in _postgres_answers(link):
            if kind == b"S":
                name, value = body[:-1].split(b"\0")
                if name == b"server_version":
                    return value.decode().split()[0]
    raise ProbeFailed("the server did not tell its version")


def postgres_execute(host: str, port: int, *, user: str, database: str, sql: str) -> None:
    """Run one statement that returns no rows; raises `ProbeFailed` with the server's message and code."""
    with _postgres_connected(host, port, user, database) as link:
        for _ in _postgres_answers(link):
            pass
        encoded = sql.encode() + b"\0"
        link.sendall(b"Q" + struct.pack(">i", len(encoded) + 4) + encoded)
        for _ in _postgres_answers(link):
            pass


@contextmanager
def _connected(host: str, port: int, seconds: float = _TIMEOUT_SECONDS) -> Iterator[socket.socket]:
    """A connection; an answer that cannot be taken apart is no answer of a ready server."""
    with socket.create_connection((host, port), timeout=seconds) as link:
        try:
            yield link
        except (struct.error, ValueError) as error:
            raise ProbeFailed(f"another protocol: {error}") from error


def _cql(link: socket.socket, opcode: int, body: bytes) -> tuple[int, bytes]:
    link.sendall(struct.pack(">BBhBi", _CQL_VERSION, 0, 0, opcode, len(body)) + body)
    _version, _flags, _stream, answer, size = struct.unpack(">BBhBi", _exactly(link, 9))
    return answer, _exactly(link, size)


def _cql_error(body: bytes) -> str:
    if len(body) < 6:
        return repr(body)
    code, size = struct.unpack_from(">iH", body)
    return f"error 0x{code & 0xFFFF:04x}: {body[6 : 6 + size].decode(errors='replace')}"


def _cql_first(body: bytes) -> str:
    """The first value of a result whose columns are of simple types."""
    (kind,) = struct.unpack_from(">i", body)
    if kind != 0x0002:  # not rows
        return ""
    flags, columns = struct.unpack_from(">ii", body, 4)
    position = 12
    if flags & 0x0001:  # keyspace and table once, for all columns
        position = _skip_text(body, _skip_text(body, position))
    types: list[int] = []
    for _ in range(columns):
        if not flags & 0x0001:
            position = _skip_text(body, _skip_text(body, position))
        position = _skip_text(body, position)
        types += struct.unpack_from(">H", body, position)
        position += 2
    (rows,) = struct.unpack_from(">i", body, position)
    if rows == 0:
        return ""
    (size,) = struct.unpack_from(">i", body, position + 4)
    value = body[position + 8 : position + 8 + max(size, 0)]
    return value.decode() if types[0] in _CQL_TEXTS else value.hex()


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _skip_text(body: bytes, position: int) -> int:
    (size,) = struct.unpack_from(">H", body, position)
    return position + 2 + int(size)


def _skip_kafka_string(body: bytes, position: int) -> int:
    (size,) = struct.unpack_from(">h", body, position)
    return position + 2 + max(int(size), 0)


@contextmanager
def _postgres_connected(host: str, port: int, user: str, database: str) -> Iterator[socket.socket]:
    parameters = f"user\0{user}\0database\0{database}\0\0".encode()
    with _connected(host, port) as link:
        link.sendall(struct.pack(">ii", len(parameters) + 8, _POSTGRES_PROTOCOL) + parameters)
        yield link


def _postgres_answers(link: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Messages up to "ready for query"; an error message is raised."""
    while True:
        kind, size = struct.unpack(">ci", _exactly(link, 5))
        body = _exactly(link, size - 4)
        if kind == b"E":
            fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
            raise ProbeFailed(f"{fields.get(b'C', '')}: {fields.get(b'M', '')}")
        if kind == b"R" and body[:4] != b"\0\0\0\0":
            raise ProbeFailed("the server asks for a password")
        if kind == b"Z":
            return
        yield kind, body


def _exactly(link: socket.socket, size: int) -> bytes:
    if not 0 <= size <= _FRAME_MAX:
        raise ProbeFailed(f"a frame of {size} bytes: another protocol")
    received = bytearray()
    while len(received) < size:
        part = link.recv(size - len(received))
        if not part:
            raise ProbeFailed("the server closed the connection")
        received += part
    return bytes(received)
