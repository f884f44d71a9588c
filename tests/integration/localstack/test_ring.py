"""Three Cassandra nodes on one machine are a ring that survives the loss of one."""

import time
from collections.abc import Iterator

import pytest

from localstack import CassandraNode, Stack, probes

pytestmark = [pytest.mark.stack("cassandra"), pytest.mark.slow, pytest.mark.xdist_group("localstack")]

CQL_QUORUM = 0x0004
APPLIED = "01"  # the column [applied], a boolean


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("ring") / "stack", nodes=3, services=["cassandra"]) as stack:
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 3}"
        cql(stack.cassandra, f"CREATE KEYSPACE ring WITH replication = {replication}")
        cql(stack.cassandra, "CREATE TABLE ring.rows (key text PRIMARY KEY, value text)")
        await_one_schema(stack)
        yield stack


def await_one_schema(ring: Stack) -> None:
    deadline = time.monotonic() + 30
    question = "SELECT schema_version FROM system.local"
    while len({cql(node, question, probes.CQL_ONE) for node in ring.cassandra_nodes}) > 1:
        assert time.monotonic() < deadline, "the nodes do not agree on the schema"


def cql(node: CassandraNode, statement: str, consistency: int = CQL_QUORUM) -> str:
    return probes.cassandra_query(
        node.endpoint.host, node.endpoint.port, statement, consistency=consistency, seconds=30
    )


def test_the_nodes_are_three_on_three_addresses_with_one_port(ring: Stack) -> None:
    endpoints = [node.endpoint for node in ring.cassandra_nodes]
    assert [endpoint.host for endpoint in endpoints] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert len({endpoint.port for endpoint in endpoints}) == 1


def test_a_write_at_all_reaches_every_node(ring: Stack) -> None:
    cql(ring.cassandra, "INSERT INTO ring.rows (key, value) VALUES ('a', '1')", probes.CQL_ALL)
    assert [
        cql(node, "SELECT value FROM ring.rows WHERE key = 'a'", probes.CQL_ONE) for node in ring.cassandra_nodes
    ] == [
        "1",
        "1",
        "1",
    ]


@pytest.mark.parametrize("victim", [0, 2])
def test_conditional_writes_go_on_without_one_node_and_reach_it_when_it_is_back(ring: Stack, victim: int) -> None:
    killed = ring.cassandra_nodes[victim]
    survivor = ring.cassandra_nodes[1]
    killed.kill9()
    insert = f"INSERT INTO ring.rows (key, value) VALUES ('without-{victim}', '2') IF NOT EXISTS"
    assert cql(survivor, insert) == APPLIED
    killed.restart()
    ring.await_ring()
    assert cql(killed, f"SELECT value FROM ring.rows WHERE key = 'without-{victim}'") == "2"
