"""The outbox: what is stored and not yet known to be on the bus."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId


@dataclass(frozen=True, slots=True)
class PendingStream:
    """A stream that may have unpublished events. A relay may ask for those beyond version ``after`` alone: what lies before
    is on the bus, and its cursor on the way.
    """

    stream: StreamId
    shard: int
    opaque: object = None
    after: int = 0


@dataclass(frozen=True, slots=True)
class OutboxRun:
    """A contiguous run of unpublished events: versions ``published + 1`` … ``events[-1].version``; ``head`` is the stream's.

    Where the relay asked for less, it begins behind ``after``.
    """

    stream: StreamId
    published: int
    head: int
    events: tuple[RecordedEvent, ...]
    opaque: object = None


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """How much waits, and since when (None: nothing waits). A store that cannot tell cheaply may be late for a while."""

    events: int
    oldest_recorded_at: datetime | None


class Outbox(Protocol):
    """Unpublished events by stream.

    Completeness: every event whose append succeeded, however late, is found by ``pending`` until ``advance`` covers it.
    Order: within a stream by version. Several relays may work at once: ``advance`` is conditional on the cursor read, so
    two of them produce duplicates on the bus and nothing worse. Errors: ``StoreUnavailable``; an advance of unknown outcome
    counts as not done (it is repeated, and repeats are harmless).
    """

    async def pending(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        """Streams of these shards that have unpublished events, longest waiting first as far as the store can tell."""

    async def read(self, streams: Sequence[PendingStream], events_max: int) -> Sequence[OutboxRun]:
        """The runs of these streams, about ``events_max`` events in all at most; streams without any are left out."""

    async def advance(self, runs: Sequence[OutboxRun]) -> Sequence[bool]:
        """Move each run's cursor behind its last event and remove its outbox rows; False where another moved it first.

        Call it only after the bus has acknowledged every event of the run.
        """

    async def depth(self) -> OutboxDepth:
        """How much waits, for metrics and alarms."""
