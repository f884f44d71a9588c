"""The three servers: up together, killed and restarted one by one without a loss, frozen and thawed."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import psycopg
import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from localstack import Stack, probes, settings
from localstack.cassandra import CassandraNode

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.xdist_group("localstack")]

names = count(1)
DEADLINE_SECONDS = 90.0
APPLIED = "01"  # the column [applied], a boolean


def cql(node: CassandraNode, statement: str, consistency: int = probes.CQL_ONE) -> str:
    return probes.cassandra_query(
        node.endpoint.host, node.endpoint.port, statement, consistency=consistency, seconds=30
    )


def first_message(consumer: Consumer) -> Message:
    """The first message; what the client tells of a broker that is just coming back is no message."""
    told: list[str] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            return message
        if message is not None:
            told.append(str(message.error()))
    pytest.fail(f"no message within {DEADLINE_SECONDS:.0f} s; the client told: {told}")


@pytest.fixture
def table(stack: Stack) -> str:
    keyspace = f"durable_{next(names)}"
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    cql(stack.cassandra, f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
    cql(stack.cassandra, f"CREATE TABLE {keyspace}.rows (key text PRIMARY KEY, value text)")
    return f"{keyspace}.rows"


@pytest.fixture
def topic(stack: Stack) -> str:
    name = f"topic-{next(names)}"
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(30)
    return name


@pytest.fixture
def consumer(stack: Stack, topic: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka.bootstrap_servers,
            "group.id": f"group-{next(names)}",
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    yield consumer
    consumer.close()


def test_each_server_runs_and_tells_its_version(stack: Stack) -> None:
    assert {server.name: server.state for server in stack.status()} == dict.fromkeys(settings.SERVICES, "running")
    versions = stack.versions()
    assert versions["cassandra"] == settings.CASSANDRA_VERSION
    assert versions["kafka"] == settings.KAFKA_VERSION
    assert int(versions["postgres"].split(".")[0]) >= settings.POSTGRES_MAJOR_MIN


def test_the_servers_do_not_share_ports_or_processes(stack: Stack) -> None:
    ports = [port for server in stack.servers.values() for port in server.record.ports.values()]
    assert len(set(ports)) == len(ports)
    assert len({server.pid for server in stack.servers.values()}) == 3


def test_what_cassandra_acknowledged_survives_kill_9(stack: Stack, table: str) -> None:
    def write(number: int) -> str:
        insert = f"INSERT INTO {table} (key, value) VALUES ('k{number}', 'v{number}') IF NOT EXISTS"
        assert cql(stack.cassandra, insert) == APPLIED
        return f"k{number}"

    with ThreadPoolExecutor(max_workers=8) as pool:
        acknowledged = list(pool.map(write, range(64)))
    stack.cassandra.kill9()
    stack.cassandra.restart()
    lost = [key for key in acknowledged if not cql(stack.cassandra, f"SELECT value FROM {table} WHERE key = '{key}'")]
    assert lost == []


def test_a_row_committed_in_postgres_survives_kill_9(stack: Stack) -> None:
    with psycopg.connect(stack.postgres.dsn(), autocommit=True) as session:
        session.execute("CREATE TABLE durable (id int PRIMARY KEY)")
        session.execute("INSERT INTO durable VALUES (42)")
        stack.postgres.kill9()
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    stack.postgres.restart()
    with psycopg.connect(stack.postgres.dsn()) as session:
        assert session.execute("SELECT id FROM durable").fetchall() == [(42,)]


def test_a_message_acknowledged_by_kafka_survives_kill_9(stack: Stack, topic: str, consumer: Consumer) -> None:
    producer = Producer({"bootstrap.servers": stack.kafka.bootstrap_servers, "enable.idempotence": True})
    failures: list[object] = []

    def acknowledged(error: object, _: Message) -> None:
        if error is not None:
            failures.append(error)

    producer.produce(topic, key=b"stream", value=b"event", on_delivery=acknowledged)
    assert producer.flush(30) == 0
    assert failures == []
    stack.kafka.kill9()
    stack.kafka.restart()
    assert first_message(consumer).value() == b"event"


def test_kafka_makes_no_topic_that_nobody_created(stack: Stack) -> None:
    producer = Producer({"bootstrap.servers": stack.kafka.bootstrap_servers, "message.timeout.ms": 2_000})
    failures: list[object] = []
    producer.produce("mistyped", value=b"x", on_delivery=lambda error, _: failures.append(error))
    producer.flush(30)
    assert len(failures) == 1
    assert failures[0] is not None
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap_servers})
    assert "mistyped" not in admin.list_topics(timeout=30).topics


def test_a_frozen_postgres_keeps_its_sessions_and_answers_after_the_thaw(stack: Stack) -> None:
    with psycopg.connect(stack.postgres.dsn()) as session:
        stack.postgres.freeze()
        with pytest.raises(OSError, match="timed out"):
            stack.postgres.probe()
        stack.postgres.thaw()
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_frozen_cassandra_and_kafka_answer_nothing_until_they_are_thawed(stack: Stack) -> None:
    for server in (stack.cassandra, stack.kafka):
        server.freeze()
        with pytest.raises(OSError, match="timed out"):
            server.probe()
        assert {status.name: status.state for status in stack.status()}[server.name] == "frozen"
        server.thaw()
        assert server.probe() == server.version


def test_a_second_starter_finds_the_servers_up(stack: Stack) -> None:
    pids = {server.name: server.pid for server in stack.servers.values()}
    other = Stack(stack.root, detached=True).up()
    assert {server.name: server.pid for server in other.servers.values()} == pids
    assert "cassandra" in other.logs("cassandra").lower()
