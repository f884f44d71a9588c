"""One journal, bus and view store in memory, and what handlers, relays and projectors over them need."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from eventkernel.ids import StreamId
from eventkernel.ports import EventStore, ViewStore
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler, HandlerLimits
from eventkernel.runtime.projector import Projector, ProjectorSettings
from eventkernel.runtime.relay import Relay, RelaySettings
from eventkernel.testing.counter import CODEC, COUNTER_SUMS, COUNTER_VIEW, COUNTERS, decode
from eventkernel.testing.faulty import Faults, FaultyEventStore, FaultyOutbox, FaultyPublisher
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.clock import ManualClock, SystemClock
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_publisher import MemoryEventPublisher
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.event_subscription import MemoryEventSubscription
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.outbox import MemoryOutbox
from eventkernel_memory.shard_leases import MemoryShardLeases
from eventkernel_memory.snapshot_store import MemorySnapshotStore
from eventkernel_memory.view_store import MemoryViewStore

TOPIC = "counters"
SHARDS = 4
VIEWS = (COUNTER_VIEW, COUNTER_SUMS)


@dataclass(slots=True)
class World:
    """The shared state of all processes of a test; every method is one more process."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    snapshots: MemorySnapshotStore = field(default_factory=MemorySnapshotStore)
    bus: MemoryBus = field(default_factory=MemoryBus)
    views: MemoryViewStore = field(default_factory=MemoryViewStore)
    clock: ManualClock = field(default_factory=ManualClock)
    faults: Faults = field(default_factory=Faults)
    owners: int = 0

    @property
    def store(self) -> MemoryEventStore:
        return MemoryEventStore(self.journal)

    def faulty_store(self) -> FaultyEventStore:
        return FaultyEventStore(self.store, self.faults)

    def handler(
        self,
        store: EventStore | None = None,
        *,
        limits: HandlerLimits | None = None,
        aggregates_max: int = 100,
        **options: Any,
    ) -> CommandHandler[Any, Any, Any, Any]:
        return CommandHandler(
            COUNTERS,
            store or self.store,
            options.pop("snapshots", self.snapshots),
            self.clock,
            AggregateCache(aggregates_max),
            limits=limits or HandlerLimits(),
            **options,
        )

    def relay(self, faults: Faults | None = None, **settings: Any) -> Relay:
        self.owners += 1
        faults = faults or self.faults
        return Relay(
            f"relay-{self.owners}",
            FaultyOutbox(MemoryOutbox(self.journal, SHARDS), faults),
            FaultyPublisher(MemoryEventPublisher(self.bus), faults),
            tail=MemoryBusTail(self.bus),
            leases=settings.pop("leases", None) or MemoryShardLeases(self.clock),
            clock=settings.pop("clock", self.clock),
            topic=TOPIC,
            source="/counters",
            wire_name=CODEC.wire_name,
            observer=settings.pop("observer", None),
            settings=RelaySettings(shard_count=SHARDS, **settings),
        )

    def subscription(self, group: str = "views") -> MemoryEventSubscription:
        return MemoryEventSubscription(self.bus, group, [TOPIC])

    def projector(
        self,
        subscription: Any = None,
        views: ViewStore | None = None,
        *,
        declared: Any = VIEWS,
        observer: Any = None,
        clock: Any = None,
        decode: Callable[..., Any] = decode,
        journal: EventStore | None = None,
        **settings: Any,
    ) -> Projector[Any]:
        return Projector(
            declared,
            subscription or self.subscription(),
            views or self.views,
            journal=journal or self.store,
            decode=decode,
            clock=clock or SystemClock(),
            settings=ProjectorSettings(**{"poll_seconds": 0.0, **settings}),
            observer=observer,
        )

    def published(self) -> dict[StreamId, list[int]]:
        """Versions on the bus by stream, in the order they arrived."""
        found: dict[StreamId, list[int]] = {}
        for records in self.bus.partitions(TOPIC):
            for record in records:
                version = int(dict(record.headers)["ce_sequence"])
                found.setdefault(StreamId.from_key(record.key.decode()), []).append(version)
        return found

    def stored(self, stream: StreamId) -> list[Any]:
        """The stream's events as stored."""
        return list(self.journal.streams[stream].events) if stream in self.journal.streams else []


@pytest.fixture
async def world() -> World:
    made = World()
    await made.bus.create_topic(TOPIC, 3)
    await made.views.prepare(VIEWS)
    return made
