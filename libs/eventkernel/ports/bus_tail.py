"""Reading the bus without a group: for read-back by relays, overlays, audits and tails."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from eventkernel.ports.event_subscription import BusRecord, TopicPartition


class BusTail(Protocol):
    """Reads anywhere without acknowledging anything and without touching any group. Errors: ``StoreUnavailable``."""

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        """The offset after the last record of every partition."""

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """The group's committed next offset per partition; partitions without one give 0."""

    async def read(self, source: TopicPartition, offset: int, records_max: int) -> Sequence[BusRecord]:
        """Records from ``offset`` on in order, as many as there are now up to the maximum; empty at the end."""

    async def close(self) -> None:
        """Release what the adapter holds."""
