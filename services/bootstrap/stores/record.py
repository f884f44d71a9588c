"""What the components of a process stand on: every port of one context."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

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


class Part(Enum):
    """What is opened before there are stores. A journal or a bus that is not among it connects by itself when it is used;
    of the bus, the topic is then not made. ``VIEWS``: rows of views, and webhooks.
    """

    JOURNAL = "journal"
    BUS = "bus"
    VIEWS = "views"


EVERY_PART = frozenset(Part)


class NotOpened:
    """In the place of a store that this process does not need. Using it is a mistake in the wiring."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} of the {self._part.value}: they were not opened for this process")


async def _there_already() -> None:
    """A topic that was made when the bus was opened."""


@dataclass(frozen=True, slots=True)
class Stores:
    """All ports of one context.

    ``subscribe`` makes one more member of the projectors' group; ``close`` releases everything; ``poke`` tells the outbox of
    this process that a stream has something to publish, where that saves it from looking. ``sweep`` looks through a store that
    can be swept for pending work that nothing points at, puts that right, and gives how much of it there was. ``pokes`` tells
    relays in other processes. ``make_topic`` is for whoever opened no bus and follows it nevertheless: ``StoreUnavailable``
    until that answers.
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
    make_topic: Callable[[], Awaitable[None]] = _there_already
