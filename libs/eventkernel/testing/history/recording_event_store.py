"""An event store that writes down what its caller asks and hears."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports import (
    Appended,
    AppendOutcome,
    CommandRecord,
    Conflict,
    Entry,
    EventStore,
    Loaded,
    Position,
    Replayed,
    Unknown,
)
from eventkernel.testing.history.recorder import Recorder, WriteCall


class RecordingEventStore:
    """Around a real adapter, as one client. Each entry of an append is a write; a load to the head is a read."""

    def __init__(self, events: EventStore, recorder: Recorder, client: str = "") -> None:
        self._events = events
        self._recorder = recorder
        self._client = client

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """A call that ends without an outcome, because the process or the task does, stays unknown."""
        calls = [
            self._recorder.write(
                stream, entry.command_id, client=self._client, event_id=entry.event.event_id, expected=version
            )
            for version, entry in enumerate(entries, expected.version)
        ]
        try:
            outcome = await self._events.append(stream, expected, entries)
        except StoreUnavailable as error:
            for call in calls:
                call.refused(str(error))
            raise
        for version, (call, entry) in enumerate(zip(calls, entries, strict=True), expected.version + 1):
            _tell(call, entry, version, outcome)
        return outcome

    async def load(
        self, stream: StreamId, *, after: int = 0, up_to: int | None = None, events_max: int | None = None
    ) -> Loaded:
        """Recorded where it goes to the head."""
        if up_to is not None or events_max is not None:
            return await self._events.load(stream, after=after, up_to=up_to, events_max=events_max)
        call = self._recorder.read(stream, client=self._client)
        loaded = await self._events.load(stream, after=after)
        call.saw(loaded.position.version, (event.event_id for event in loaded.events))
        return loaded

    async def find_command(self, stream: StreamId, command_id: UUID) -> CommandRecord | None:
        """Not recorded."""
        return await self._events.find_command(stream, command_id)

    async def close(self) -> None:
        """Close the store."""
        await self._events.close()


def _tell(call: WriteCall, entry: Entry, version: int, outcome: AppendOutcome) -> None:
    match outcome:
        case Appended():
            call.ok(version)
        case Replayed(record) if record.command_id == entry.command_id:
            call.ok(record.last_version)
        case Replayed():
            call.refused("another command of the append was stored before")
        case Conflict():
            call.conflict()
        case Unknown(cause):
            call.unknown(cause)


if TYPE_CHECKING:
    _: type[EventStore] = RecordingEventStore
