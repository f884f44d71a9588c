"""The real stack as ports: the journal on Cassandra, the bus on Kafka, the views on PostgreSQL."""

import logging
from collections.abc import Collection
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bootstrap.settings import Settings, SettingsError
from bootstrap.stores.record import TOPIC, NotOpened, Part, Stores
from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel.ports import Clock, EventSubscription, ViewStore
from eventkernel.ports.webhook_store import WebhookStore

if TYPE_CHECKING:
    from eventkernel_cassandra.connect import Driver
    from eventkernel_cassandra.session import CqlSession
    from eventkernel_cassandra.settings import ConnectionSettings, Layout
    from eventkernel_kafka.settings import KafkaSettings
    from eventkernel_postgres.settings import PostgresSettings

_log = logging.getLogger(__name__)

CASSANDRA = "cassandra"
WEBHOOK_CONNECTIONS = 2
"""For transactions, and as many for readings."""
_NO_VIEWS = (cast("ViewStore", NotOpened(Part.VIEWS)), cast("WebhookStore", NotOpened(Part.VIEWS)))
_CLIENTS: dict[str, "Driver | None"] = {"auto": None, "acsylla": "acsylla", "driver": "cassandra-driver"}


async def open_stack(settings: Settings, parts: Collection[Part]) -> Stores:
    """Connect to the servers that these parts lie on, bring their schemas up to date, and make the topic.

    Raises ``StoreUnavailable`` for a store that does not answer, ``StoreMismatch`` for one that cannot be used.
    """
    from eventkernel_cassandra.event_store import CassandraEventStore
    from eventkernel_cassandra.late_session import LateSession
    from eventkernel_cassandra.outbox import CassandraOutbox
    from eventkernel_cassandra.pokes import PokeSender
    from eventkernel_cassandra.settings import Layout
    from eventkernel_cassandra.shard_leases import CassandraShardLeases
    from eventkernel_cassandra.snapshot_store import CassandraSnapshotStore
    from eventkernel_cassandra.statements import Statements
    from eventkernel_cassandra.stream_directory import CassandraStreamDirectory
    from eventkernel_cassandra.sweep import PendingSweep
    from eventkernel_kafka.bus_tail import KafkaBusTail
    from eventkernel_kafka.event_publisher import KafkaEventPublisher
    from eventkernel_kafka.event_subscription import KafkaEventSubscription
    from eventkernel_memory.clock import SystemClock

    clock = SystemClock()
    layout = Layout(shard_count=settings.shard_count)
    kafka = _kafka(settings)

    def subscribe() -> EventSubscription:
        subscription = KafkaEventSubscription(kafka, settings.consumer_group, [TOPIC])
        closing.push_async_callback(subscription.close)
        return subscription

    async def make_topic() -> None:
        await _make_topic(settings, kafka)

    async with AsyncExitStack() as opened:
        session: CqlSession | None = None
        if Part.JOURNAL in parts:
            session = await _open_journal(settings, layout, clock)
            opened.push_async_callback(session.close)
        if Part.BUS in parts:
            await make_topic()
        views, webhooks = await open_views(settings, opened) if Part.VIEWS in parts else _NO_VIEWS
        if session is None:
            # Last, so that it need not be given up where another store is not there yet.
            session = LateSession(partial(_open_journal, settings, layout, clock), clock)
            opened.push_async_callback(session.close)
        # Neither asks for a broker before it is used.
        publisher = KafkaEventPublisher(kafka)
        opened.push_async_callback(publisher.close)
        tail = KafkaBusTail(kafka)
        opened.push_async_callback(tail.close)
        closing = opened.pop_all()
    statements = Statements(settings.cassandra_keyspace)
    outbox = CassandraOutbox(session, statements, layout, clock)
    leases = CassandraShardLeases(session, statements, settings.cassandra_keyspace)
    pokes = PokeSender(partial(leases.holders, settings.shard_count), settings.shard_count)
    closing.push_async_callback(pokes.close)
    sweeping = PendingSweep(session, statements, layout)

    async def sweep() -> int:
        return (await sweeping.run_once()).healed

    return Stores(
        clock=clock,
        events=CassandraEventStore(session, statements, layout, clock),
        snapshots=CassandraSnapshotStore(session, statements),
        outbox=outbox,
        leases=leases,
        directory=CassandraStreamDirectory(session, statements, layout),
        publisher=publisher,
        tail=tail,
        views=views,
        webhooks=webhooks,
        subscribe=subscribe,
        close=closing.aclose,
        poke=outbox.poke,
        sweep=sweep,
        pokes=pokes,
        make_topic=make_topic,
    )


async def _open_journal(settings: Settings, layout: "Layout", clock: Clock) -> "CqlSession":
    from eventkernel_cassandra.connect import open_session
    from eventkernel_cassandra.durability import concerns
    from eventkernel_cassandra.errors import JournalAbsent, NotExecuted, ServerRefused
    from eventkernel_cassandra.migrations import migrate

    client: Driver | None = _CLIENTS[settings.cassandra_client]
    async with AsyncExitStack() as opened:
        try:
            session = await open_session(_cassandra(settings), client)
            opened.push_async_callback(session.close)
            keyspace, replication = settings.cassandra_keyspace, settings.cassandra_replication
            beside = settings.cassandra_create
            await migrate(session, keyspace, layout, clock, replication=replication, beside=beside)
            for concern in await concerns(session):
                _log.warning("cassandra: %s", concern)
        except NotExecuted as error:
            raise StoreUnavailable(CASSANDRA, str(error)) from error
        except JournalAbsent as error:
            wanted = f"{error.expected}, or cassandra_create to begin one"
            raise StoreMismatch(CASSANDRA, expected=wanted, actual=error.actual) from error
        except ServerRefused as error:
            raise StoreMismatch(CASSANDRA, expected="a server this program may use", actual=str(error)) from error
        opened.pop_all()
    return session


async def _make_topic(settings: Settings, kafka: "KafkaSettings") -> None:
    from eventkernel_kafka.topics import Topic, ensure_topic

    replicas = settings.kafka_replication
    topic = Topic(
        TOPIC, settings.topic_partitions, replication_factor=replicas, in_sync_replicas_min=max(1, replicas - 1)
    )
    await ensure_topic(kafka, topic)


async def open_views(settings: Settings, opened: AsyncExitStack) -> tuple[ViewStore, WebhookStore]:
    """PostgreSQL's part alone, closed with the stack. Raises as ``open_stack`` does."""
    from eventkernel_postgres.view_store import PostgresViewStore
    from eventkernel_postgres.webhook_store import PostgresWebhookStore

    views = await PostgresViewStore.open(postgres_of_views(settings))
    opened.push_async_callback(views.close)
    webhooks = await PostgresWebhookStore.open(postgres_of_webhooks(settings))
    opened.push_async_callback(webhooks.close)
    return views, webhooks


def _cassandra(settings: Settings) -> "ConnectionSettings":
    from eventkernel_cassandra.settings import ConnectionSettings, Reach, Tls

    hosts, port = contact_points(settings.cassandra_contact_points)
    return ConnectionSettings(
        contact_points=hosts,
        port=port,
        username=settings.cassandra_username,
        password=settings.cassandra_password.get_secret_value() if settings.cassandra_password else "",
        tls=Tls(_pem(settings.cassandra_ca)) if settings.cassandra_ca else None,
        reach=Reach.LOCAL if settings.cassandra_serial == "LOCAL_SERIAL" else Reach.GLOBAL,
    )


def _kafka(settings: Settings) -> "KafkaSettings":
    from eventkernel_kafka.settings import KafkaSettings, Sasl, Tls

    password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
    return KafkaSettings(
        settings.kafka_bootstrap_servers,
        tls=Tls(authority=settings.kafka_ca) if settings.kafka_ca else None,
        sasl=Sasl("SCRAM-SHA-512", settings.kafka_username, password) if settings.kafka_username else None,
    )


def postgres_of_views(settings: Settings) -> "PostgresSettings":
    """What webhooks leave of the connections, a fifth for transactions."""
    from eventkernel_postgres.settings import PostgresSettings

    left = settings.postgres_connections_max - 2 * WEBHOOK_CONNECTIONS
    writers = max(1, left // 5)
    dsn = settings.postgres_dsn.get_secret_value()
    return PostgresSettings(dsn, writers_max=writers, readers_max=left - writers)


def postgres_of_webhooks(settings: Settings) -> "PostgresSettings":
    """In a schema of their own, since that of the views may be dropped."""
    from eventkernel_postgres.settings import PostgresSettings

    dsn, few = settings.postgres_dsn.get_secret_value(), WEBHOOK_CONNECTIONS
    return PostgresSettings(dsn, schema="webhooks", writers_max=few, readers_max=few)


def contact_points(listed: str) -> tuple[tuple[str, ...], int]:
    """Hosts and their one port from ``host:port`` by commas. Raises ``SettingsError``."""
    hosts, ports = [], set()
    for item in filter(None, (part.strip() for part in listed.split(","))):
        host, colon, port = item.rpartition(":")
        if not colon or not port.isdigit():
            raise SettingsError(f"cassandra_contact_points: {item!r} is not host:port")
        hosts.append(host.strip("[]"))
        ports.add(int(port))
    if len(ports) != 1:
        raise SettingsError("cassandra_contact_points: at least one host:port, all with the same port")
    return tuple(hosts), ports.pop()


def _pem(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
