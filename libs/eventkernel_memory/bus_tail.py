"""Reading the bus in memory without a group."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eventkernel.ports.event_subscription import BusRecord, TopicPartition
from eventkernel_memory.event_bus import MemoryBus


class MemoryBusTail:
    """Reads the lists."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        """The lengths of the partitions."""
        return {TopicPartition(topic, n): len(records) for n, records in enumerate(self._bus.partitions(topic))}

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """Where the group goes on, per partition."""
        committed = self._bus.group(group).committed
        return {source: committed.get(source, 0) for source in await self.end_offsets(topic)}

    async def read(self, source: TopicPartition, offset: int, records_max: int) -> Sequence[BusRecord]:
        """Records from an offset on."""
        return self._bus.partitions(source.topic)[source.partition][offset : offset + records_max]

    async def close(self) -> None:
        """Nothing is held."""


if TYPE_CHECKING:
    from eventkernel.ports.bus_tail import BusTail

    _: type[BusTail] = MemoryBusTail
