"""What processes of a test stand on: a folder, or a place of their own on real servers that run already."""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

import psycopg
from confluent_kafka.admin import AdminClient

from bootstrap.stores import TOPIC
from bootstrap.testing.program import Child, Erx, awaited, eventually
from eventkernel_cassandra.connect import open_session
from eventkernel_cassandra.errors import InDoubt
from eventkernel_cassandra.settings import ConnectionSettings
from localstack import CassandraNode, KafkaBroker, PostgresServer

ADMIN_SECONDS = 30.0
TURN_SECONDS = 280.0
"""How long another place on the same broker may last: somewhat less than a test may take before it counts as stuck."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One kind of store; every process that it starts shares it. ``dsn``: of its PostgreSQL, where it has one."""

    store: str
    erx: Erx
    data: Path
    variables: dict[str, str]

    @property
    def dsn(self) -> str:
        """Where its views and webhooks are; empty on the embedded store."""
        return self.variables.get("ERX_POSTGRES_DSN", "")

    def serve(self, *words: str | Path) -> Child:
        """``erx serve`` on it, ready."""
        return self.erx.serve(self.data, *words, environment=self.variables)


@contextmanager
def place_on(cassandra: CassandraNode, kafka: KafkaBroker, postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """A keyspace and a database of one's own, as settings in the environment, and the program's topic, empty.

    Programs have one topic: only one place at a time on a broker, so the next waits, in whatever process it is.
    """
    with _alone_on(kafka):
        yield from _place_on(cassandra, kafka, postgres)


@contextmanager
def _alone_on(kafka: KafkaBroker) -> Iterator[None]:
    with (kafka.folder / "place.lock").open("w") as turn:
        awaited(f"turn on {kafka.bootstrap_servers}", lambda: _taken(turn), seconds=TURN_SECONDS)
        yield


def _taken(turn: IO[str]) -> bool:
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _place_on(cassandra: CassandraNode, kafka: KafkaBroker, postgres: PostgresServer) -> Iterator[dict[str, str]]:
    name = f"place_{uuid4().hex[:12]}"
    _forget_topic(kafka)
    _in_postgres(postgres, f"CREATE DATABASE {name}")
    yield {
        "ERX_STORE": "stack",
        "ERX_CASSANDRA_CONTACT_POINTS": str(cassandra.endpoint),
        "ERX_CASSANDRA_KEYSPACE": name,
        "ERX_CASSANDRA_CREATE": "true",
        "ERX_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "ERX_POSTGRES_DSN": postgres.dsn(name),
        "ERX_CONSUMER_GROUP": name,
    }
    _in_postgres(postgres, f"DROP DATABASE {name} WITH (FORCE)")
    asyncio.run(_drop_keyspace(cassandra, name))
    _forget_topic(kafka)


def _in_postgres(server: PostgresServer, text: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(text.encode())


async def _drop_keyspace(server: CassandraNode, name: str) -> None:
    session = await open_session(ConnectionSettings((server.endpoint.host,), server.endpoint.port), "cassandra-driver")

    async def dropped() -> bool:
        try:
            await session.define(f"DROP KEYSPACE IF EXISTS {name}")
        except InDoubt:  # a busy machine takes longer for it than the driver waits; asked again it does no harm
            return False
        return True

    try:
        await eventually(f"end of the keyspace {name}", dropped)
    finally:
        await session.close()


def _forget_topic(server: KafkaBroker) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
    if TOPIC in admin.list_topics(timeout=ADMIN_SECONDS).topics:
        admin.delete_topics([TOPIC], operation_timeout=ADMIN_SECONDS)[TOPIC].result()
