"""From the bus, as a member of a consumer group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class TopicPartition:
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class BusRecord:
    """A record as it lies on the bus. ``offset`` grows within its partition, not necessarily by one."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class EventSubscription(Protocol):
    """A member of a consumer group: partitions are shared among members, one member a partition at a time (as a rule).

    Delivery is at least once and in order within a partition; after a rebalance or a restart it begins at the committed
    offset, or at the beginning where there is none. Two members may briefly get the same records in a rebalance: effects
    must be guarded by their own checkpoint. Errors: ``StoreUnavailable``.
    """

    async def poll(self, records_max: int, timeout_seconds: float) -> Sequence[BusRecord]:
        """The next records of the partitions held, or none when the time is over."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember the next offset to read per partition, for the group. Partitions no longer held are ignored."""

    async def rewind(self) -> None:
        """Go back to the committed offsets in every partition held; the next poll gives those records again."""

    async def close(self) -> None:
        """Leave the group."""
