"""A member of a consumer group on the bus in memory."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eventkernel.errors import StoreUnavailable
from eventkernel.ports.event_subscription import BusRecord, EventSubscription, TopicPartition
from eventkernel_memory.event_bus import MemoryBus


class MemoryEventSubscription:
    """Joins its group with the first ``poll``. Nobody dies unnoticed here: a member is there until it is closed."""

    def __init__(self, bus: MemoryBus, group: str, topics: Sequence[str]) -> None:
        self._bus = bus
        self._group = bus.group(group)
        self._topics = tuple(topics)
        self._generation = -1
        self._next: dict[TopicPartition, int] = {}
        self._turn = 0
        self._closed = False

    async def poll(self, records_max: int, timeout_seconds: float) -> Sequence[BusRecord]:
        """The next records, each partition in turn being the first to give."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while not self._closed:
            records = self._take(records_max)
            left = deadline - loop.time()
            if records or left <= 0:
                return records
            await self._bus.wait(left)
        raise StoreUnavailable("bus", "the subscription is closed")

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember the offsets of partitions that are held."""
        held = self._bus.holdings(self._group, self)
        self._group.committed |= {source: offset for source, offset in offsets.items() if source in held}

    async def rewind(self) -> None:
        """Forget the positions; the next poll takes the committed ones."""
        self._next.clear()

    async def close(self) -> None:
        """Leave the group."""
        self._closed = True
        if self._group.members.pop(self, None) is not None:
            self._group.generation += 1
            self._bus.changed()

    def _take(self, records_max: int) -> list[BusRecord]:
        if self not in self._group.members:
            self._group.members[self] = self._topics
            self._group.generation += 1
            self._bus.changed()
        held = self._bus.holdings(self._group, self)
        if self._group.generation != self._generation:
            self._next = {source: offset for source, offset in self._next.items() if source in held}
            self._generation = self._group.generation
        self._turn += 1
        taken: list[BusRecord] = []
        for place in range(len(held)):
            source = held[(self._turn + place) % len(held)]
            offset = self._next.get(source, self._group.committed.get(source, 0))
            records = self._bus.partitions(source.topic)[source.partition][offset : offset + records_max - len(taken)]
            self._next[source] = offset + len(records)
            taken += records
        return taken


if TYPE_CHECKING:
    _: type[EventSubscription] = MemoryEventSubscription
