"""The event store on Cassandra."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from eventkernel.ids import StreamId
from eventkernel.ports.clock import Clock
from eventkernel.ports.event_store import (
    AppendOutcome,
    CommandRecord,
    Entry,
    EventStore,
    Loaded,
    Position,
    checked,
)
from eventkernel_cassandra.errors import NotExecuted
from eventkernel_cassandra.journal import Journal
from eventkernel_cassandra.reading import StreamReader
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.statements import Statements


class CassandraEventStore:
    """``EventStore``. It owns the session: closing the store closes it for the outbox and the others too."""

    def __init__(self, session: CqlSession, statements: Statements, layout: Layout, clock: Clock) -> None:
        self._session = session
        self._reader = StreamReader(session, statements, layout.bucket_events)
        self._journal = Journal(session, statements, layout, self._reader, clock)
        self._under_way = 0
        self._none_under_way = asyncio.Event()
        self._closed = False

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """One conditional batch; see ``Journal``."""
        checked(entries)
        if self._closed:
            raise NotExecuted("the event store is closed")
        self._under_way += 1
        try:
            return await self._journal.append(stream, expected, entries)
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._none_under_way.set()

    async def load(
        self, stream: StreamId, *, after: int = 0, up_to: int | None = None, events_max: int | None = None
    ) -> Loaded:
        """Bucket by bucket, page by page."""
        return await self._reader.load(stream, after, up_to, events_max)

    async def find_command(self, stream: StreamId, command_id: UUID) -> CommandRecord | None:
        """In every bucket, the open one serially."""
        found = await self._reader.find(stream.key, [command_id])
        return found[command_id].record if found else None

    async def close(self) -> None:
        """Let the appends under way end, then close the session."""
        self._closed = True
        while self._under_way:
            self._none_under_way.clear()
            await self._none_under_way.wait()
        await self._session.close()


if TYPE_CHECKING:
    _: type[EventStore] = CassandraEventStore
