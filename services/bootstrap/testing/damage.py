"""What a careless hand does to stores: a record, a row or an event is gone. For audits to find."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bootstrap.stores import TOPIC, Stores
from eventkernel.ids import StreamId
from eventkernel.ports import TopicPartition
from eventkernel.runtime.cloudevents import version_of


def run_sql(file: Path, statement: str, *values: object) -> int:
    """One statement on a SQLite file, committed; gives the number of rows it changed."""
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(statement, values).rowcount


async def place_on_topic(stores: Stores, stream: StreamId, version: int) -> tuple[TopicPartition, int]:
    """Where a version first lies."""
    for source, end in (await stores.tail.end_offsets(TOPIC)).items():
        offset = 0
        while offset < end and (records := await stores.tail.read(source, offset, 1_000)):
            for record in records:
                if version_of(record) == (stream, version):
                    return source, record.offset
            offset = records[-1].offset + 1
    raise LookupError(f"{stream.key} version {version} is not on {TOPIC}")


async def topic_positions(stores: Stores) -> dict[TopicPartition, int]:
    """The ends of all partitions."""
    return dict(await stores.tail.end_offsets(TOPIC))


def trim_bus(file: Path, partition: int, before: int) -> int:
    """Remove the records of one partition of the embedded bus below an offset, as retention would; gives how many."""
    lane = "(SELECT lane FROM lanes WHERE topic = ? AND partition = ?)"
    values = (TOPIC, partition, before, TOPIC, partition)
    gone = run_sql(
        file,
        f"DELETE FROM records WHERE position >> 40 = {lane} AND position & 1099511627775 < ? AND {lane} IS NOT NULL",  # noqa: S608 - constants
        *values,
    )
    run_sql(
        file,
        "UPDATE lanes SET first_offset = max(first_offset, ?) WHERE topic = ? AND partition = ?",
        before,
        TOPIC,
        partition,
    )
    return gone
