"""Ports that measure: the event store's appends, and how long events waited in the outbox. Everything else passes through."""

import time
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from bootstrap.metrics import Metrics
from eventkernel.ids import StreamId
from eventkernel.ports import (
    AppendOutcome,
    Clock,
    CommandRecord,
    Entry,
    EventStore,
    Loaded,
    Outbox,
    OutboxDepth,
    OutboxRun,
    PendingStream,
    Position,
)

OUTCOMES_MAX = 16


class MeasuredEventStore:
    """``EventStore``: the duration of every append, by what came of it."""

    def __init__(self, store: EventStore, metrics: Metrics) -> None:
        self._store = store
        # Children are kept: looking one up by its labels costs more than counting.
        self._seconds = lru_cache(OUTCOMES_MAX)(metrics.append_seconds.labels)

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """Append, and tell how long it took."""
        began, outcome = time.perf_counter(), "failed"
        try:
            answer = await self._store.append(stream, expected, entries)
            outcome = type(answer).__name__.lower()
        finally:
            self._seconds(outcome).observe(time.perf_counter() - began)
        return answer

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


class MeasuredOutbox:
    """``Outbox``: since when the oldest event waits that the relay has read, and how long each took from its recording to
    the moved cursor. Not every store can tell the first of these by itself.
    """

    def __init__(self, outbox: Outbox, metrics: Metrics, clock: Clock) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock

    async def pending(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        """What may wait."""
        found = await self._outbox.pending(shards, streams_max)
        if not found:
            self._metrics.outbox_oldest.set(0)
        return found

    async def read(self, streams: Sequence[PendingStream], events_max: int) -> Sequence[OutboxRun]:
        """What waits."""
        runs = await self._outbox.read(streams, events_max)
        oldest = min((run.events[0].meta.recorded_at for run in runs), default=None)
        self._metrics.outbox_oldest.set(oldest.timestamp() if oldest else 0)
        return runs

    async def advance(self, runs: Sequence[OutboxRun]) -> Sequence[bool]:
        """Move the cursors."""
        moved = await self._outbox.advance(runs)
        now = self._clock.now()
        for run, ok in zip(runs, moved, strict=True):
            for event in run.events if ok else ():
                self._metrics.relay_lag.observe(max((now - event.meta.recorded_at).total_seconds(), 0.0))
        return moved

    async def depth(self) -> OutboxDepth:
        """How much waits."""
        return await self._outbox.depth()


if TYPE_CHECKING:
    _: type[EventStore] = MeasuredEventStore
    __: type[Outbox] = MeasuredOutbox
