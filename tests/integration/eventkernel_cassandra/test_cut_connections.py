"""Replies that are cut off on the wire, after the server has executed what they answer."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from cassandra.policies import RetryPolicy

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import Appended
from eventkernel.testing.contracts.journal import append, fill, new_entry, new_stream
from eventkernel_cassandra import driver_session
from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.errors import InDoubt
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.statements import statements_of
from eventkernel_memory.clock import SystemClock


class Wire:
    """Passes bytes on between drivers and the server, and can cut a connection in place of the next reply."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._cut: bytes | None = None
        self.was_cut = asyncio.Event()

    async def open(self) -> ConnectionSettings:
        """Listen; settings that lead through here."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return replace(self._settings, port=self._server.sockets[0].getsockname()[1])

    def cut_next_reply_about(self, stream: StreamId) -> None:
        """Cut the connection that next carries a request about this stream, in the place of the server's next bytes on it."""
        self._cut = stream.key.encode()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(
            self._settings.contact_points[0], self._settings.port
        )
        writers, asked = (inner_writer, writer), asyncio.Event()
        self._pumps.add(asyncio.create_task(self._pump(reader, inner_writer, writers, asked, replies=False)))
        self._pumps.add(asyncio.create_task(self._pump(inner_reader, writer, writers, asked, replies=True)))

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        asked: asyncio.Event,
        *,
        replies: bool,
    ) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    if replies and asked.is_set():
                        self.was_cut.set()
                        return
                    if not replies and self._cut is not None and self._cut in data:
                        self._cut = None
                        asked.set()
                    writer.write(data)
                    await writer.drain()
        finally:
            for end in both:
                end.close()


# A connection that cassandra-driver was opening again while it was shut down is left to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
async def wire(settings: ConnectionSettings) -> AsyncIterator[Wire]:
    opened = Wire(settings)
    yield opened
    await opened.close()
    gc.collect()


async def open_store(
    wire: Wire, driver: Driver, keyspace: str, layout: Layout
) -> tuple[CqlSession, CassandraEventStore]:
    session = await open_session(await wire.open(), driver)
    return session, CassandraEventStore(session, statements_of(keyspace), layout, SystemClock())


async def test_an_append_whose_reply_is_cut_off_is_found_to_be_stored_and_stored_once(
    wire: Wire, driver: Driver, keyspace: str, layout: Layout
) -> None:
    _, store = await open_store(wire, driver, keyspace, layout)
    stream = new_stream()
    await fill(store, stream, 2)
    position = (await store.load(stream)).position
    entry = new_entry(stream)
    position = await append(store, stream, position, new_entry(stream))
    wire.cut_next_reply_about(stream)
    outcome = await store.append(stream, position, [entry])
    assert wire.was_cut.is_set()
    assert isinstance(outcome, Appended)
    events = (await store.load(stream)).events
    assert [event.event_id for event in events].count(entry.event.event_id) == 1
    assert len(events) == 4
    await store.close()


async def test_a_session_says_of_a_cut_off_reply_that_it_does_not_know(
    wire: Wire, driver: Driver, keyspace: str, layout: Layout
) -> None:
    session, store = await open_store(wire, driver, keyspace, layout)
    statements, stream = statements_of(keyspace), new_stream()
    await session.apply(statements.pass_by, [2, stream.key, 0, None])
    wire.cut_next_reply_about(stream)
    with pytest.raises(InDoubt):
        await session.apply(statements.pass_by, [4, stream.key, 0, 2])
    await store.close()


async def test_the_drivers_default_retry_policy_takes_a_stored_append_for_one_that_was_not_executed(
    wire: Wire, keyspace: str, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_session, "FallthroughRetryPolicy", RetryPolicy)
    _, store = await open_store(wire, "cassandra-driver", keyspace, layout)
    stream = new_stream()
    await fill(store, stream, 1)
    position = await append(store, stream, (await store.load(stream)).position, new_entry(stream))
    wire.cut_next_reply_about(stream)
    with pytest.raises(StoreUnavailable):
        await store.append(stream, position, [new_entry(stream)])
    healthy = CassandraEventStore(
        await open_session(wire._settings, "cassandra-driver"), statements_of(keyspace), layout, SystemClock()
    )
    assert len((await healthy.load(stream)).events) == 3, "what was said not to be executed is there"
    await healthy.close()
    await store.close()
