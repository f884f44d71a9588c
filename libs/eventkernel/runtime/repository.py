"""Re-constitution: the latest usable snapshot plus the events since, upcast and folded."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, Generic, TypeVar

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import Divergence, EventUnreadable
from eventkernel.evolving import replaced
from eventkernel.following import FollowingCodec, settled, split_known, with_known
from eventkernel.ids import StreamId
from eventkernel.ports import EventStore, Position, Snapshot, SnapshotStore
from eventkernel.ports.event_store import Loaded as LoadedEvents
from eventkernel.runtime.aggregate import Aggregate, AggregateType
from eventkernel.runtime.moments import head_of, last_within, until

E = TypeVar("E")
S = TypeVar("S")

PAGE_EVENTS_MAX = 512
"""Events read in one call to the store while folding a long stream. The next ones are read while these are folded; smaller
pages cost more in being asked for than their readers wait less.
"""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """An aggregate and how it came. ``snapshot``: the version of the snapshot that was folded on from, 0 for none;
    ``unusable``: that of one which was found and could not be used, 0 for none: its state has another schema, its bytes cannot
    be read, or the journal ends before it.
    """

    aggregate: Aggregate[S]
    snapshot: int = 0
    unusable: int = 0


class Repository(Generic[E, S]):
    """Loads aggregates of one type from an event store and a snapshot store."""

    def __init__(self, kind: AggregateType[Any, E, S, Any], store: EventStore, snapshots: SnapshotStore) -> None:
        self._kind = kind
        self._store = store
        self._snapshots = snapshots
        events = kind.codecs.events
        self._read = events.read if isinstance(events, FollowingCodec) else events.decode

    def empty(self, stream: StreamId) -> Aggregate[S]:
        """The aggregate before its first event."""
        return Aggregate(stream, self._kind.decider.initial, Position(0))

    async def load(self, stream: StreamId) -> Aggregate[S]:
        """The aggregate at its head; version 0 where there is no stream."""
        return (await self.loaded(stream)).aggregate

    async def loaded(self, stream: StreamId) -> Loaded[S]:
        """The aggregate at its head, and how it came."""
        start = await self._start(stream, None)
        aggregate = await self._read_on(start.aggregate, None)
        if aggregate.version < start.snapshot:
            return Loaded(aggregate, unusable=start.snapshot)
        return replaced(start, aggregate=aggregate)

    async def replayed(self, stream: StreamId) -> Aggregate[S]:
        """The aggregate at its head, folded from its first event whatever snapshots there are."""
        return await self._read_on(self.empty(stream), None)

    def reads(self, stream: StreamId, snapshot: Snapshot) -> bool:
        """Whether a snapshot has the schema of today's state and can be read."""
        return self._from_snapshot(stream, snapshot) is not None

    async def refresh(self, aggregate: Aggregate[S]) -> Aggregate[S]:
        """The aggregate brought to its head from where it is."""
        return await self._read_on(aggregate, None)

    async def at_version(self, stream: StreamId, version: int) -> Aggregate[S]:
        """The aggregate as of a version; a version beyond the head gives the head."""
        return await self._read_on((await self._start(stream, version)).aggregate, version)

    async def at_time(self, stream: StreamId, moment: datetime, *, recorded: bool = False) -> Aggregate[S]:
        """The aggregate as of an effective (or, with ``recorded``, a recorded) time, inclusive.

        The end of a long stream's part is searched for by halves, and folded from a snapshot before it.
        """
        within = until(moment, recorded=recorded)
        first = await self._store.load(stream, events_max=PAGE_EVENTS_MAX)
        if len(first.events) < PAGE_EVENTS_MAX or not within(first.events[-1]):
            return self._evolve(self.empty(stream), list(takewhile(within, first.events)))
        head = await head_of(self._store, stream)
        return await self.at_version(stream, await last_within(self._store, stream, within, head))

    def snapshot_of(self, aggregate: Aggregate[S]) -> Snapshot:
        """The aggregate as a snapshot. It must have at least one event."""
        if aggregate.created_at is None or aggregate.occurred_at is None or aggregate.recorded_at is None:
            raise ValueError(f"{aggregate.stream.key} has no events to snapshot")
        states = self._kind.codecs.states
        return Snapshot(
            aggregate.version,
            states.schema,
            with_known(states.encode(aggregate.state), aggregate.known),
            aggregate.created_at,
            aggregate.occurred_at,
            aggregate.recorded_at,
        )

    async def _start(self, stream: StreamId, up_to: int | None) -> Loaded[S]:
        snapshot = await self._snapshots.latest(stream, up_to=up_to)
        if snapshot is None:
            return Loaded(self.empty(stream))
        aggregate = self._from_snapshot(stream, snapshot)
        if aggregate is None:
            return Loaded(self.empty(stream), unusable=snapshot.version)
        return Loaded(aggregate, snapshot=snapshot.version)

    def _from_snapshot(self, stream: StreamId, snapshot: Snapshot) -> Aggregate[S] | None:
        """None where it is not of today's schema, or not readable."""
        states = self._kind.codecs.states
        if snapshot.schema != states.schema:
            return None
        try:
            known, own = split_known(snapshot.state)
            state = states.decode(own)
        except EventUnreadable:
            return None
        position = Position(snapshot.version)
        times = (snapshot.created_at, snapshot.occurred_at, snapshot.recorded_at)
        size = len(snapshot.state)
        return Aggregate(stream, state, position, *times, commands=None, folded_bytes=size, known=known)

    async def _read_on(self, aggregate: Aggregate[S], up_to: int | None) -> Aggregate[S]:
        """The next page is on its way while one is folded."""
        stream = aggregate.stream
        loaded = await self._page(stream, aggregate.version, up_to)
        while True:
            if loaded.position.version < aggregate.version:
                # The journal ends before what a snapshot or a cache knows, as after a restore: only the journal counts.
                aggregate = self.empty(stream)
                loaded = await self._page(stream, 0, up_to)
                continue
            if len(loaded.events) < PAGE_EVENTS_MAX:
                aggregate = self._evolve(aggregate, loaded.events)
                return replaced(aggregate, position=loaded.position) if up_to is None else aggregate
            following = asyncio.ensure_future(self._page(stream, loaded.events[-1].version, up_to))
            try:
                await asyncio.sleep(0)  # it begins now, and not when the folding is done
                aggregate = self._evolve(aggregate, loaded.events)
                loaded = await following
            finally:
                await _ended(following)

    def _page(self, stream: StreamId, after: int, up_to: int | None) -> Coroutine[Any, Any, LoadedEvents]:
        return self._store.load(stream, after=after, up_to=up_to, events_max=PAGE_EVENTS_MAX)

    def _evolve(self, aggregate: Aggregate[S], events: Sequence[RecordedEvent]) -> Aggregate[S]:
        read, evolve = self._read, self._kind.decider.evolve
        state, known, version, size = aggregate.state, aggregate.known, aggregate.version, 0
        for event in events:
            version += 1
            if event.version != version:
                actual = str(event.version)
                raise Divergence(aggregate.stream.key, version=event.version, expected=str(version), actual=actual)
            data = event.data
            domain_event, known = settled(read(event.type, event.schema_version, data), known, version=version)
            state = evolve(state, domain_event)
            size += len(data)
        return aggregate.advanced_over(events, state, folded_bytes=size, known=known) if events else aggregate


async def _ended(reading: "asyncio.Future[LoadedEvents]") -> None:
    """Where nobody wants it any more, because the folding failed or the caller left, it ends before they are told."""
    if not reading.done():
        reading.cancel()
        await asyncio.wait([reading])
    if not reading.cancelled():
        reading.exception()
