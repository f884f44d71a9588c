"""The event store in memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import (
    Appended,
    AppendOutcome,
    CommandRecord,
    Conflict,
    Entry,
    EventStore,
    Loaded,
    Position,
    Replayed,
    checked,
)
from eventkernel_memory.journal import MemoryJournal, MemoryStream


class MemoryEventStore:
    """Streams in a dictionary. Several stores may share one journal; nothing survives the process."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._closed = False

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """Look for taken ids, compare the version, store."""
        self._require_open()
        checked(entries)
        stored = self._journal.streams.get(stream) or MemoryStream()
        for entry in entries:
            if entry.command_id in stored.commands:
                return Replayed(stored.commands[entry.command_id])
        if stored.head != expected.version:
            return Conflict(stored.head)
        if stored.head == stored.published:
            self._journal.appends += 1
            stored.waits_since = self._journal.appends
        for version, entry in enumerate(entries, stored.head + 1):
            event = entry.event
            stored.events.append(
                RecordedEvent(stream, version, event.event_id, event.type, event.schema_version, event.data, event.meta)
            )
            stored.commands[entry.command_id] = CommandRecord(entry.command_id, entry.request_hash, version, version)
        self._journal.streams[stream] = stored
        return Appended(Position(stored.head))

    async def load(
        self, stream: StreamId, *, after: int = 0, up_to: int | None = None, events_max: int | None = None
    ) -> Loaded:
        """A slice of the list."""
        self._require_open()
        stored = self._journal.streams.get(stream) or MemoryStream()
        events = stored.events[after:up_to]
        if events_max is not None:
            events = events[:events_max]
        return Loaded(events, Position(events[-1].version if events else min(after, stored.head)))

    async def find_command(self, stream: StreamId, command_id: UUID) -> CommandRecord | None:
        """The record, if there is one."""
        self._require_open()
        stored = self._journal.streams.get(stream) or MemoryStream()
        return stored.commands.get(command_id)

    async def close(self) -> None:
        """Refuse what comes later."""
        self._closed = True

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("memory", "closed")


if TYPE_CHECKING:
    _: type[EventStore] = MemoryEventStore
