"""Reading the bus file without a group."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eventkernel.ports.event_subscription import BusRecord, TopicPartition
from eventkernel_sqlite.event_bus import Bus, offset_of, position
from eventkernel_sqlite.headers import decode_headers

SELECT_NEXTS = "SELECT partition, next_offset FROM lanes WHERE topic = ?"
SELECT_COMMITTED = (
    "SELECT lanes.partition, coalesce(committed.next_offset, 0) FROM lanes"
    " LEFT JOIN committed ON committed.lane = lanes.lane AND committed.name = ? WHERE lanes.topic = ?"
)
SELECT_RECORDS = (
    "SELECT position, key, value, headers FROM records WHERE position >= ? AND position < ? ORDER BY position LIMIT ?"
)


class SqliteBusTail:
    """Sees what is committed. Where records were trimmed, reading begins at the first that is left."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        """The next offset of every partition."""
        self._bus.lanes(topic)
        return self._by_partition(topic, SELECT_NEXTS, (topic,))

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        """Where the group goes on, per partition."""
        self._bus.lanes(topic)
        return self._by_partition(topic, SELECT_COMMITTED, (group, topic))

    async def read(self, source: TopicPartition, offset: int, records_max: int) -> Sequence[BusRecord]:
        """Records from an offset on."""
        lane = self._bus.lane(source)
        return await self._bus.database.read(
            lambda connection: read_lane(connection, source, lane, offset, records_max)
        )

    async def close(self) -> None:
        """Nothing is held."""

    def _by_partition(self, topic: str, statement: str, parameters: tuple[str, ...]) -> dict[TopicPartition, int]:
        rows = self._bus.database.read_now(lambda connection: connection.execute(statement, parameters).fetchall())
        return {TopicPartition(topic, partition): offset for partition, offset in rows}


def read_lane(
    connection: sqlite3.Connection, source: TopicPartition, lane: int, offset: int, records_max: int
) -> list[BusRecord]:
    """Records of one lane from an offset on, at most so many."""
    rows = connection.execute(SELECT_RECORDS, (position(lane, offset), position(lane + 1, 0), records_max))
    topic, partition = source.topic, source.partition
    return [
        BusRecord(topic, partition, offset_of(place), key, value, decode_headers(headers))
        for place, key, value, headers in rows
    ]


if TYPE_CHECKING:
    from eventkernel.ports.bus_tail import BusTail

    _: type[BusTail] = SqliteBusTail
