"""An event store that lets the rest of its process know what was stored: what overlays and caches are written through by."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from eventkernel.envelope import NewEvent, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import Appended, AppendOutcome, CommandRecord, Entry, EventStore, Loaded, Position


class TellingEventStore:
    """Tells ``heard`` what it has stored for certain, right after it did. Everything else passes through."""

    def __init__(self, store: EventStore, heard: Callable[[Sequence[RecordedEvent]], None]) -> None:
        self._store = store
        self._heard = heard

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """Append, and tell."""
        outcome = await self._store.append(stream, expected, entries)
        if isinstance(outcome, Appended):
            first = outcome.position.version - len(entries) + 1
            self._heard([_stored(stream, version, entry.event) for version, entry in enumerate(entries, first)])
        return outcome

    async def load(
        self, stream: StreamId, *, after: int = 0, up_to: int | None = None, events_max: int | None = None
    ) -> Loaded:
        """Load."""
        return await self._store.load(stream, after=after, up_to=up_to, events_max=events_max)

    async def find_command(self, stream: StreamId, command_id: UUID) -> CommandRecord | None:
        """Find."""
        return await self._store.find_command(stream, command_id)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


def _stored(stream: StreamId, version: int, new: NewEvent) -> RecordedEvent:
    return RecordedEvent(stream, version, new.event_id, new.type, new.schema_version, new.data, new.meta)


if TYPE_CHECKING:
    _: type[EventStore] = TellingEventStore
