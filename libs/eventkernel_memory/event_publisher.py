"""Publishing to the bus in memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eventkernel.ids import partition_of
from eventkernel.ports.event_publisher import BusMessage, EventPublisher
from eventkernel.ports.event_subscription import BusRecord
from eventkernel_memory.event_bus import MemoryBus


class MemoryEventPublisher:
    """All of a batch at once."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        """Add the messages, in their order, at the ends of their partitions."""
        for message in messages:
            partitions = self._bus.partitions(message.topic)
            number = partition_of(message.key, len(partitions))
            records = partitions[number]
            records.append(BusRecord(message.topic, number, len(records), message.key, message.value, message.headers))
        self._bus.changed()

    async def close(self) -> None:
        """Nothing is held."""


if TYPE_CHECKING:
    _: type[EventPublisher] = MemoryEventPublisher
