"""Servers that all tests of a run share, and a Cassandra that asks for a password."""

from pathlib import Path

import pytest

from localstack import CassandraNode, KafkaBroker, PostgresServer, Stack, probes

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("localstack")]


def test_the_servers_of_the_run_answer(
    cassandra_server: CassandraNode, kafka_server: KafkaBroker, postgres_server: PostgresServer
) -> None:
    for server in (cassandra_server, kafka_server, postgres_server):
        assert server.probe() == server.version


@pytest.mark.stack("cassandra")
def test_a_node_with_password_authentication_refuses_the_wrong_password(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack", services=["cassandra"], password_authentication=True) as stack:
        where = (stack.cassandra.endpoint.host, stack.cassandra.endpoint.port)
        question = "SELECT role FROM system_auth.roles"
        assert probes.cassandra_query(*where, question, credentials=("cassandra", "cassandra")) == "cassandra"
        with pytest.raises(probes.ProbeFailed, match="0x0100"):
            probes.cassandra_query(*where, question, credentials=("cassandra", "guess"))
