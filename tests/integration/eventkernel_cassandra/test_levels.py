"""What drivers ask of the server on the wire: no answer of a single node tells at which consistency it was given."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import acsylla
import pytest

from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.settings import ConnectionSettings, Reach
from eventkernel_cassandra.statements import statements_of

HEADER = struct.Struct(">BBhBI")
COMPRESSED, EXECUTE = 0x01, 0x0A
QUORUM, LOCAL_QUORUM, SERIAL, LOCAL_SERIAL = 4, 6, 8, 9


@dataclass(frozen=True, slots=True)
class Asked:
    """The levels of one EXECUTE of the native protocol, version 4; ``serial`` is None where none was sent."""

    consistency: int
    serial: int | None


def executed(sent: bytes) -> list[Asked]:
    """Every EXECUTE among the frames that a driver sent over one connection."""
    found = []
    while len(sent) >= HEADER.size:
        _, flags, _, operation, length = HEADER.unpack_from(sent)
        body, sent = sent[HEADER.size : HEADER.size + length], sent[HEADER.size + length :]
        assert not flags & COMPRESSED
        if operation == EXECUTE and len(body) == length:
            found.append(_levels(body))
    return found


def _levels(body: bytes) -> Asked:
    at = 2 + int.from_bytes(body[:2])  # behind the prepared statement's id
    consistency, flags = struct.unpack_from(">HB", body, at)
    at += 3
    if flags & 0x01:  # values
        count = int.from_bytes(body[at : at + 2])
        at += 2
        for _ in range(count):
            at += 4 + max(0, int.from_bytes(body[at : at + 4], signed=True))
    if flags & 0x04:  # page size
        at += 4
    if flags & 0x08:  # paging state
        at += 4 + int.from_bytes(body[at : at + 4])
    return Asked(consistency, int.from_bytes(body[at : at + 2]) if flags & 0x10 else None)


class Listening:
    """Passes bytes on between drivers and the server, and keeps what the drivers send, by connection."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._sent: list[bytearray] = []

    async def open(self) -> ConnectionSettings:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return replace(self._settings, port=self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def during(self, call: Awaitable[object]) -> list[Asked]:
        """What is executed while this call is answered."""
        before = [len(sent) for sent in self._sent]
        await call
        known = [*before, *([0] * (len(self._sent) - len(before)))]
        return [one for sent, begin in zip(self._sent, known, strict=True) for one in executed(bytes(sent[begin:]))]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(
            self._settings.contact_points[0], self._settings.port
        )
        kept = bytearray()
        self._sent.append(kept)
        self._pumps.add(asyncio.create_task(self._pump(reader, inner_writer, kept.extend)))
        self._pumps.add(asyncio.create_task(self._pump(inner_reader, writer, lambda _: None)))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: Callable[[bytes], object]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                keep(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def wire(settings: ConnectionSettings) -> AsyncIterator[Listening]:
    opened = Listening(settings)
    yield opened
    await opened.close()


@pytest.mark.parametrize("reach", Reach)
async def test_each_kind_of_statement_is_asked_at_its_level(
    wire: Listening, driver: Driver, keyspace: str, reach: Reach
) -> None:
    quorum, serial = {Reach.LOCAL: (LOCAL_QUORUM, LOCAL_SERIAL), Reach.GLOBAL: (QUORUM, SERIAL)}[reach]
    session = await open_session(replace(await wire.open(), reach=reach), driver)
    statements, stream = statements_of(keyspace), "default/order-levels"
    assert await wire.during(session.read(statements.select_statics, [stream, 0])) == [Asked(quorum, None)]
    (serially,) = await wire.during(session.read(statements.select_statics_serially, [stream, 0]))
    assert serially.consistency == serial
    assert await wire.during(session.write(statements.insert_pending, [0, stream, 0, 1])) == [Asked(quorum, None)]
    assert await wire.during(session.apply(statements.pass_by, [2, stream, 0, None])) == [Asked(quorum, serial)]
    await session.close()


async def test_acsylla_is_told_to_repeat_nothing(settings: ConnectionSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its default policy goes to the next host on errors that one node cannot be brought to give."""
    told: dict[str, object] = {}
    create = acsylla.create_cluster

    def recording(*hosts: object, **options: object) -> object:
        told.update(options)
        return create(*hosts, **options)

    monkeypatch.setattr(acsylla, "create_cluster", recording)
    await (await open_session(settings, "acsylla")).close()
    assert (told["retry_policy"], told["speculative_execution_policy"]) == ("fallthrough", None)
