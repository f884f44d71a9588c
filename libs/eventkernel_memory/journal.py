"""The state behind the journal's adapters in memory: what is one partition, one file or one table elsewhere."""

from dataclasses import dataclass, field
from uuid import UUID

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import CommandRecord


@dataclass(slots=True)
class MemoryStream:
    """One stream: its events, its command records, up to which version it is on the bus, and since when it waits."""

    events: list[RecordedEvent] = field(default_factory=list)
    commands: dict[UUID, CommandRecord] = field(default_factory=dict)
    published: int = 0
    waits_since: int = 0

    @property
    def head(self) -> int:
        """The last version."""
        return len(self.events)


@dataclass(slots=True)
class MemoryJournal:
    """All streams. Nothing here awaits, so every step on it is atomic among the tasks of one event loop."""

    streams: dict[StreamId, MemoryStream] = field(default_factory=dict)
    appends: int = 0
