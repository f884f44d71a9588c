"""The bus as one SQLite file: topics of fixed partitions, records, groups; publishers, members and tails share one ``Bus``.

A partition is a *lane* with a number of its own, and a record's primary key is ``lane * 2**40 + offset``: records of a lane
lie together in offset order in the table itself, and no further index is kept. Offsets of a lane have no gaps.
"""

import sqlite3
from pathlib import Path

from eventkernel.errors import StoreMismatch
from eventkernel.ports.event_subscription import TopicPartition
from eventkernel_sqlite.arrivals import Arrivals, arrivals_of
from eventkernel_sqlite.connection import Schema
from eventkernel_sqlite.database import Database

STORE = "bus"
OFFSET_BITS = 40

CREATE_LANES = """
    CREATE TABLE lanes (
        lane INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
        first_offset INTEGER NOT NULL DEFAULT 0, next_offset INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, partition)
    ) STRICT
"""
CREATE_RECORDS = """
    CREATE TABLE records (
        position INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL, headers BLOB NOT NULL
    ) STRICT
"""
CREATE_GROUPS = "CREATE TABLE groups (name TEXT PRIMARY KEY, generation INTEGER NOT NULL) STRICT, WITHOUT ROWID"
CREATE_MEMBERS = """
    CREATE TABLE members (
        name TEXT NOT NULL, member TEXT NOT NULL, topics TEXT NOT NULL, session_micros INTEGER NOT NULL,
        beat_micros INTEGER NOT NULL, PRIMARY KEY (name, member)
    ) STRICT, WITHOUT ROWID
"""
CREATE_HOLDINGS = """
    CREATE TABLE holdings (
        name TEXT NOT NULL, lane INTEGER NOT NULL, member TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (name, lane)
    ) STRICT, WITHOUT ROWID
"""
CREATE_COMMITTED = """
    CREATE TABLE committed (
        name TEXT NOT NULL, lane INTEGER NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (name, lane)
    ) STRICT, WITHOUT ROWID
"""
BUS_SCHEMA = Schema(
    store=STORE,
    application_id=0x65765F62,
    migrations=((CREATE_LANES, CREATE_RECORDS, CREATE_GROUPS, CREATE_MEMBERS, CREATE_HOLDINGS, CREATE_COMMITTED),),
)

INSERT_LANE = "INSERT INTO lanes (topic, partition) VALUES (?, ?)"
SELECT_LANES = "SELECT lane FROM lanes WHERE topic = ? ORDER BY partition"
DELETE_BEFORE = "DELETE FROM records WHERE position >= ? AND position < ?"
MOVE_FIRST = "UPDATE lanes SET first_offset = ? WHERE lane = ? AND first_offset < ? RETURNING first_offset"
SELECT_ENDS = "SELECT first_offset, next_offset FROM lanes WHERE lane = ?"


class Bus:
    """One bus file as a process sees it. Every publisher, subscription and tail of the process may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = Database(path, BUS_SCHEMA)
        self.arrivals: Arrivals = arrivals_of(path)
        self._lanes: dict[str, tuple[int, ...]] = {}

    async def create_topic(self, topic: str, partitions: int) -> None:
        """Make a topic; one that exists must have as many partitions, else ``StoreMismatch``: keys would move."""
        if partitions < 1:
            raise ValueError(f"topic {topic} needs at least one partition, not {partitions}")

        def work(connection: sqlite3.Connection) -> int:
            found = len(connection.execute(SELECT_LANES, (topic,)).fetchall())
            if not found:
                connection.executemany(INSERT_LANE, [(topic, partition) for partition in range(partitions)])
            return found or partitions

        found = await self.database.write(work)
        if found != partitions:
            raise StoreMismatch(STORE, expected=f"topic {topic} with {partitions} partitions", actual=str(found))

    def lanes(self, topic: str) -> tuple[int, ...]:
        """The lanes of a topic by partition. Raises ``StoreMismatch`` for a topic that nobody has made."""
        known = self._lanes.get(topic)
        if known is None:
            rows = self.database.read_now(lambda connection: connection.execute(SELECT_LANES, (topic,)).fetchall())
            if not rows:
                raise StoreMismatch(STORE, expected=f"topic {topic}", actual="no such topic")
            known = self._lanes[topic] = tuple(lane for (lane,) in rows)
        return known

    def lane(self, source: TopicPartition) -> int:
        """The lane of one partition. Raises ``StoreMismatch`` where there is none."""
        lanes = self.lanes(source.topic)
        if not 0 <= source.partition < len(lanes):
            raise StoreMismatch(
                STORE, expected=f"{source.topic} with {len(lanes)} partitions", actual=str(source.partition)
            )
        return lanes[source.partition]

    async def trim(self, source: TopicPartition, before: int) -> int:
        """Forget the records of a partition below an offset; gives how many went. Nothing in the runtime calls this."""
        lane = self.lane(source)

        def work(connection: sqlite3.Connection) -> int:
            _, end = connection.execute(SELECT_ENDS, (lane,)).fetchone()
            until = min(before, end)
            gone = connection.execute(DELETE_BEFORE, (position(lane, 0), position(lane, until))).rowcount
            connection.execute(MOVE_FIRST, (until, lane, until)).fetchall()
            return gone

        return await self.database.write(work)

    async def close(self) -> None:
        """Finish what is under way and close the file. Close publishers, subscriptions and tails first."""
        await self.database.close()


def position(lane: int, offset: int) -> int:
    """The primary key of a record."""
    return (lane << OFFSET_BITS) | offset


def offset_of(key: int) -> int:
    """The offset in a record's primary key."""
    return key & ((1 << OFFSET_BITS) - 1)
