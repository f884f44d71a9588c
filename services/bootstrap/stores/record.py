"""What the components of a process stand on: every port of one context."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventkernel.ids import StreamId
from eventkernel.ports import (
    BusTail,
    Clock,
    EventPublisher,
    EventStore,
    EventSubscription,
    Outbox,
    ShardLeases,
    SnapshotStore,
    StreamDirectory,
    ViewStore,
)
from eventkernel.ports.webhook_store import WebhookStore

if TYPE_CHECKING:
    from eventkernel_cassandra.pokes import PokeSender

TOPIC = "erx.prescriptions.events.v1"
SOURCE = "/erx/prescriptions"


@dataclass(frozen=True, slots=True)
class Stores:
    """All ports of one context.

    ``subscribe`` makes one more member of the projectors' group; ``close`` releases everything; ``poke`` tells the outbox of
    this process that a stream has something to publish, where that saves it from looking. ``sweep`` looks through a store that
    can be swept for pending work that nothing points at, puts that right, and gives how much of it there was. ``pokes`` tells
    relays in other processes.
    """

    clock: Clock
    events: EventStore
    snapshots: SnapshotStore
    outbox: Outbox
    leases: ShardLeases
    directory: StreamDirectory
    publisher: EventPublisher
    tail: BusTail
    views: ViewStore
    webhooks: WebhookStore
    subscribe: Callable[[], EventSubscription]
    close: Callable[[], Awaitable[None]]
    poke: Callable[[StreamId], None] = lambda _stream: None
    sweep: Callable[[], Awaitable[int]] | None = None
    pokes: "PokeSender | None" = None
