"""What the bus suite runs against, and the messages it publishes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from eventkernel.ids import partition_of
from eventkernel.ports.bus_tail import BusTail
from eventkernel.ports.event_publisher import BusMessage, EventPublisher
from eventkernel.ports.event_subscription import BusRecord, EventSubscription, TopicPartition

PARTITIONS = 4
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.1
QUIET_POLLS = 3


@dataclass(frozen=True, slots=True)
class BusUnderTest:
    """The bus's adapters over the same data, as two processes would have them.

    ``create_topic(partitions)`` makes a topic nobody else uses and gives its name. ``subscribe(group, topic)`` gives a member
    that the suite closes. ``crash`` stops a member as if its process had died; None without ``Feature.TAKEOVER``. ``reopen``
    closes everything and opens the same data again; None without ``Feature.DURABLE``.
    """

    publisher: EventPublisher
    peer: EventPublisher
    tail: BusTail
    create_topic: Callable[[int], Awaitable[str]]
    subscribe: Callable[[str, str], EventSubscription]
    crash: Callable[[EventSubscription], Awaitable[None]] | None = None
    reopen: "Callable[[], Awaitable[BusUnderTest]] | None" = None


@asynccontextmanager
async def member(bus: BusUnderTest, group: str, topic: str) -> AsyncIterator[EventSubscription]:
    """A subscription, closed at the end of the block."""
    subscription = bus.subscribe(group, topic)
    try:
        yield subscription
    finally:
        await subscription.close()


def new_group() -> str:
    """A group nobody else uses."""
    return f"group-{uuid4().hex}"


def message(topic: str, key: bytes, value: bytes) -> BusMessage:
    """A message with headers as the relay writes them."""
    return BusMessage(topic, key, value, (("ce_id", uuid4().bytes), ("ce_type", b"orders.events.v1.Placed")))


def key_in(partition: int, partitions: int = PARTITIONS) -> bytes:
    """A key that falls into this partition."""
    return next(
        key for key in (b"default/order-%d" % n for n in range(10_000)) if partition_of(key, partitions) == partition
    )


async def publish(bus: BusUnderTest, topic: str, values: Iterable[bytes], key: bytes = b"default/order-1") -> None:
    """Publish these values under one key, in one batch."""
    await bus.publisher.publish([message(topic, key, value) for value in values])


async def receive(subscription: EventSubscription, count: int, records_max: int = 500) -> list[BusRecord]:
    """Poll until so many records came."""
    received: list[BusRecord] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(received) < count:
            received += await subscription.poll(records_max, POLL_SECONDS)
    return received


async def nothing_more(subscription: EventSubscription) -> bool:
    """Whether several polls give nothing."""
    return not any([await subscription.poll(500, POLL_SECONDS) for _ in range(QUIET_POLLS)])


async def commit_through(subscription: EventSubscription, records: Sequence[BusRecord]) -> None:
    """Commit behind these records."""
    await subscription.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})


async def settled(bus: BusUnderTest, topic: str, members: Sequence[EventSubscription]) -> list[set[int]]:
    """Publish to every partition and let all members poll, round by round, until each record of a round came to one member only
    and no member got more than its even share; gives the partitions of each. Everything received is committed.
    """
    share = -(-PARTITIONS // len(members))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            mark = uuid4().bytes
            await bus.publisher.publish([message(topic, key_in(partition), mark) for partition in range(PARTITIONS)])
            got: list[set[int]] = [set() for _ in members]
            for _ in range(PARTITIONS * QUIET_POLLS):
                for place, subscription in enumerate(members):
                    records = await subscription.poll(500, POLL_SECONDS / 4)
                    got[place] |= {record.partition for record in records if record.value == mark}
                    await commit_through(subscription, records)
                if sum(map(len, got)) >= PARTITIONS:
                    break
            if sum(map(len, got)) == PARTITIONS == len(set().union(*got)) and max(map(len, got)) <= share:
                return got
