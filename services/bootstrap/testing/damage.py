"""What a careless hand does to stores: a record, a row or an event is gone. For audits to find."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bootstrap.settings import Settings
from bootstrap.stores import TOPIC, Stores, open_stores
from eventkernel.ids import StreamId
from eventkernel.ports import TopicPartition
from eventkernel.runtime.cloudevents import version_of

SECONDS = 30.0


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


def trim_bus(file: Path, partition: int, before: int) -> int:
    """Remove the records of one partition of the embedded bus below an offset, as retention would; gives how many."""
    lane = "(SELECT lane FROM lanes WHERE topic = ? AND partition = ?)"
    values = (TOPIC, partition, before)
    gone = run_sql(
        file,
        f"DELETE FROM records WHERE position >> 40 = {lane} AND position & 1099511627775 < ?",  # noqa: S608 - constants
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


async def truncate(settings: Settings) -> None:
    """Remove everything that lies on the topic now, whatever stores these are."""
    stores = await open_stores(settings)
    try:
        ends = dict(await stores.tail.end_offsets(TOPIC))
    finally:
        await stores.close()
    if settings.store == "embedded":
        for source, end in ends.items():
            trim_bus(settings.data_dir / "bus.db", source.partition, end)
        return
    from confluent_kafka import TopicPartition as Place
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    places = [Place(TOPIC, source.partition, end) for source, end in ends.items()]
    for answer in admin.delete_records(places).values():
        answer.result(SECONDS)


def run_postgres(settings: Settings, statement: str, *values: object) -> int:
    """One statement on the views' database, committed; gives the number of rows it changed."""
    import psycopg

    from eventkernel_postgres.settings import PostgresSettings

    own = PostgresSettings(settings.postgres_dsn.get_secret_value())
    with psycopg.connect(own.dsn, options=f"-c search_path={own.schema}") as connection:
        return connection.execute(statement.encode(), values).rowcount


async def delete_from_journal(settings: Settings, stream: StreamId, version: int) -> None:
    """One event's row goes from Cassandra, conditionally, as a row must that was written conditionally."""
    from bootstrap.stores.stack import contact_points
    from eventkernel_cassandra.connect import open_session
    from eventkernel_cassandra.session import Kind, Statement
    from eventkernel_cassandra.settings import ConnectionSettings, Reach

    hosts, port = contact_points(settings.cassandra_contact_points)
    session = await open_session(ConnectionSettings(hosts, port, reach=Reach.GLOBAL), None)
    row = "stream = ? AND bucket = 0 AND kind = 0 AND seq = ? AND sub = 0x"
    cql = f"DELETE FROM {settings.cassandra_keyspace}.journal WHERE {row} IF EXISTS"  # noqa: S608 - a keyspace's name
    try:
        verdict = await session.apply(Statement("delete_event", cql, Kind.CONDITIONAL), [stream.key, version])
    finally:
        await session.close()
    if not verdict.applied:
        raise LookupError(f"{stream.key} has no version {version}")
