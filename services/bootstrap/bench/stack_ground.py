"""What a measurement of the stack stands on: servers of its own, or a keyspace and a database of its own on running ones."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from bootstrap.bench.processes import cpu_seconds
from bootstrap.settings import Settings, SettingsError, load
from bootstrap.stores import TOPIC
from bootstrap.stores.stack import contact_points
from eventkernel_cassandra.connect import open_session
from eventkernel_cassandra.migrations import migrate
from eventkernel_cassandra.settings import ConnectionSettings, Layout, Reach
from eventkernel_kafka.bus_tail import KafkaBusTail
from eventkernel_kafka.settings import KafkaSettings
from eventkernel_kafka.topics import Topic, ensure_topic
from eventkernel_memory.clock import SystemClock
from localstack import Stack

RAW_TOPIC = "erx.bench.raw"
DROP_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Ground:
    """The settings of our processes, where the bare drivers go, and the servers."""

    settings: Settings
    raw_keyspace: str
    stack: Stack
    own: bool

    @property
    def cassandra(self) -> tuple[str, int]:
        """A node."""
        hosts, port = contact_points(self.settings.cassandra_contact_points)
        return hosts[0], port

    def server_pids(self) -> list[int]:
        """The servers that run."""
        return [server.pid for server in self.stack.status() if server.pid]


@contextmanager
def ground(data: Path | None, tell: Callable[[str], None]) -> Iterator[Ground]:
    """Servers in a scratch folder, gone afterwards; or those that run in ``data``, without a trace of the measurement."""
    with tempfile.TemporaryDirectory(prefix="erx-bench-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        if data is None:
            tell("starting Cassandra, Kafka and PostgreSQL")
            with Stack(folder / "stack") as stack:
                yield _ground(stack, folder, own=True)
            return
        stack = Stack.attach(data / "stack")
        if any(node.commitlog_sync != "group" for node in stack.cassandra_nodes):
            raise SettingsError("commitlog_sync of the running stack is not group: no figure of it would compare")
        found = _ground(stack, folder, own=False)
        if asyncio.run(_records(found)):
            raise SettingsError(f"{TOPIC} holds records: a measurement needs a topic that nobody uses")
        with psycopg.connect(stack.postgres.dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {found.raw_keyspace}".encode())
        try:
            yield found
        finally:
            asyncio.run(_remove(found))


def _ground(stack: Stack, folder: Path, *, own: bool) -> Ground:
    name = f"bench_{uuid4().hex[:12]}"
    settings = load(
        store="stack",
        data_dir=folder / "data",
        cassandra_contact_points=",".join(str(node.endpoint) for node in stack.cassandra_nodes),
        cassandra_keyspace=f"{name}_erx",
        cassandra_create=True,
        cassandra_replication=len(stack.cassandra_nodes),
        kafka_bootstrap_servers=stack.kafka.bootstrap_servers,
        postgres_dsn=SecretStr(stack.postgres.dsn() if own else stack.postgres.dsn(name)),
        consumer_group=name,
        command_address="127.0.0.1:0",
        query_address="127.0.0.1:0",
        queue_seconds_max=0,  # a load that is all the machine can take must not be refused
        log_level="error",
    )
    return Ground(settings, name, stack, own)


async def prepare(found: Ground) -> None:
    """The keyspace and the topic of the bare drivers."""
    settings = found.settings
    host, port = found.cassandra
    session = await open_session(ConnectionSettings((host,), port, reach=Reach.GLOBAL))
    replication = settings.cassandra_replication
    await migrate(session, found.raw_keyspace, Layout(), SystemClock(), replication=replication)
    await session.close()
    topic = Topic(RAW_TOPIC, settings.topic_partitions, replication_factor=1, in_sync_replicas_min=1)
    await ensure_topic(KafkaSettings(settings.kafka_bootstrap_servers), topic)


async def _records(found: Ground) -> int:
    kafka = KafkaSettings(found.settings.kafka_bootstrap_servers)
    topic = Topic(TOPIC, found.settings.topic_partitions, replication_factor=1, in_sync_replicas_min=1)
    await ensure_topic(kafka, topic)
    tail = KafkaBusTail(kafka)
    try:
        return sum((await tail.end_offsets(TOPIC)).values())
    finally:
        await tail.close()


async def _remove(found: Ground) -> None:
    """Everything of the measurement; the topic of events is made again by the next process that wants it."""
    host, port = found.cassandra
    session = await open_session(ConnectionSettings((host,), port, request_timeout_seconds=DROP_SECONDS))
    for keyspace in (found.raw_keyspace, found.settings.cassandra_keyspace):
        await session.define(f"DROP KEYSPACE IF EXISTS {keyspace}")
    await session.close()
    admin = AdminClient(KafkaSettings(found.settings.kafka_bootstrap_servers).common())
    for deleted in admin.delete_topics([TOPIC, RAW_TOPIC], request_timeout=DROP_SECONDS).values():
        deleted.result()
    with psycopg.connect(found.stack.postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {found.raw_keyspace} WITH (FORCE)".encode())


class Busy:
    """How many processors were busy since it was made: all of the machine's, and those with the servers' work."""

    def __init__(self, server_pids: list[int]) -> None:
        self._pids = server_pids
        self._began, self._machine, self._servers = time.perf_counter(), _machine_seconds(), self._server_seconds()

    def facts(self) -> dict[str, Any]:
        """Also the load average now."""
        elapsed = time.perf_counter() - self._began
        return {
            "machine_busy": round((_machine_seconds() - self._machine) / elapsed, 2),
            "servers_busy": round((self._server_seconds() - self._servers) / elapsed, 2),
            "load": round(os.getloadavg()[0], 1),
        }

    def _server_seconds(self) -> float:
        # PostgreSQL works in children, whose time is told when they end: they are left out.
        return sum(map(cpu_seconds, self._pids))


def _machine_seconds() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _waiting, irq, softirq, _stolen = fields
    return (user + nice + system + irq + softirq) / _TICKS
