"""Publishing: one transaction per batch, and the batches of several callers in one commit."""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from eventkernel.errors import KernelError, PublishFailed
from eventkernel.ids import partition_of
from eventkernel.ports.event_publisher import BusMessage, EventPublisher
from eventkernel_sqlite.event_bus import Bus, position
from eventkernel_sqlite.headers import encode_headers

SELECT_NEXT = "SELECT next_offset FROM lanes WHERE lane = ?"
INSERT_RECORD = "INSERT INTO records (position, key, value, headers) VALUES (?, ?, ?, ?)"
MOVE_NEXT = "UPDATE lanes SET next_offset = ? WHERE lane = ?"

_partition_of = lru_cache(maxsize=65_536)(partition_of)


class SqliteEventPublisher:
    """All of a batch is on the bus, or nothing of it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, messages: Sequence[BusMessage]) -> None:
        """Commit the messages, in their order, at the ends of their partitions."""
        if not messages:
            return
        by_lane: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
        try:
            for message in messages:
                lanes = self._bus.lanes(message.topic)
                lane = lanes[_partition_of(message.key, len(lanes))]
                row = (message.key, message.value, encode_headers(message.headers))
                by_lane.setdefault(lane, []).append(row)
            await self._bus.database.write(lambda connection: _append(connection, by_lane))
        except KernelError as error:
            raise PublishFailed(messages[0].topic, str(error)) from error
        self._bus.arrivals.announce()

    async def close(self) -> None:
        """Nothing is held: ``publish`` returns only when everything is committed."""


def _append(connection: sqlite3.Connection, by_lane: dict[int, list[tuple[bytes, bytes, bytes]]]) -> None:
    rows: list[tuple[int, bytes, bytes, bytes]] = []
    ends: list[tuple[int, int]] = []
    for lane in sorted(by_lane):
        (start,) = connection.execute(SELECT_NEXT, (lane,)).fetchone()
        rows += [(position(lane, offset), *row) for offset, row in enumerate(by_lane[lane], start)]
        ends.append((start + len(by_lane[lane]), lane))
    connection.executemany(INSERT_RECORD, rows)
    connection.executemany(MOVE_NEXT, ends)


if TYPE_CHECKING:
    _: type[EventPublisher] = SqliteEventPublisher
