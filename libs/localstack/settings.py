"""Versions and server settings: the one place they are decided.

The plain processes (`localstack.cassandra`, `localstack.kafka`, `localstack.postgres`) are started
with these values, and a test holds `docker-compose.yml` and the `pom.xml` files to them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

CASSANDRA_VERSION = "5.0.6"
KAFKA_VERSION = "4.1.1"
KAFKA_SCALA_VERSION = "2.13"
# The version the containers run. Plain processes run what the system installed, any of MAJOR_MIN or newer.
POSTGRES_VERSION = "15.18"
POSTGRES_MAJOR_MIN = 14

CASSANDRA_HEAP_MB = 1024
CASSANDRA_RING_HEAP_MB = 512
KAFKA_HEAP_MB = 512

POSTGRES_USER = "erx"
POSTGRES_DATABASE = "erx"
POSTGRES_INITDB_ARGS = ("--encoding=UTF8", "--locale=C")

CommitlogSync = Literal["group", "batch", "periodic"]
ServiceName = Literal["cassandra", "kafka", "postgres"]
SERVICES: tuple[ServiceName, ...] = ("cassandra", "kafka", "postgres")

# "periodic", the server's default, acknowledges before it syncs and loses acknowledged writes on a
# kill -9 of the only replica. It is offered so that a test can show exactly that.
COMMITLOG_SYNC: Mapping[CommitlogSync, Mapping[str, str]] = {
    "group": {"commitlog_sync": "group", "commitlog_sync_group_window": "5ms"},
    "batch": {"commitlog_sync": "batch"},
    "periodic": {"commitlog_sync": "periodic", "commitlog_sync_period": "10000ms"},
}

_CASSANDRA: Mapping[str, object] = {
    "cluster_name": "erx",
    "num_tokens": 4,
    "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "endpoint_snitch": "SimpleSnitch",
    "authorizer": "AllowAllAuthorizer",
    # v1 reports a timed-out commit of a conditional write as a plain write timeout.
    "paxos_variant": "v2",
    # The synchronous commit log holds a writer's thread until the sync.
    "concurrent_writes": 256,
    "commitlog_total_space": "512MiB",
    "memtable": {
        "configurations": {"trie": {"class_name": "TrieMemtable"}, "default": {"inherits": "trie"}},
    },
    "sstable": {"selected_format": "bti"},
    "storage_compatibility_mode": "NONE",
    "auto_snapshot": False,
    "auto_bootstrap": False,
}

KAFKA_SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.coordinator.rebalance.protocols": "classic,consumer",
    "group.initial.rebalance.delay.ms": "0",
    # A restarted broker may register again when its killed predecessor's session has run out: 3 s instead of 9 s.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    # A killed consumer's partitions move after 6 s instead of the default 45 s.
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "1000",
}

POSTGRES_SETTINGS: Mapping[str, str] = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
}


def cassandra_settings(
    *,
    storage: str,
    address: str,
    seeds: Sequence[str],
    native_port: int,
    storage_port: int,
    ssl_storage_port: int,
    commitlog_sync: CommitlogSync = "group",
    password_authentication: bool = False,
    tokens: Sequence[int] = (),
) -> dict[str, object]:
    """The whole `cassandra.yaml` of one node; `storage` is the folder of its five data folders."""
    authenticator = "PasswordAuthenticator" if password_authentication else "AllowAllAuthenticator"
    settings: dict[str, object] = {
        **_CASSANDRA,
        **COMMITLOG_SYNC[commitlog_sync],
        "authenticator": authenticator,
        "listen_address": address,
        "rpc_address": address,
        "native_transport_port": native_port,
        "storage_port": storage_port,
        "ssl_storage_port": ssl_storage_port,
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": ",".join(f"{seed}:{storage_port}" for seed in seeds)}],
            }
        ],
        "data_file_directories": [f"{storage}/data"],
        "commitlog_directory": f"{storage}/commitlog",
        "cdc_raw_directory": f"{storage}/cdc_raw",
        "hints_directory": f"{storage}/hints",
        "saved_caches_directory": f"{storage}/saved_caches",
    }
    if tokens:
        settings["initial_token"] = ",".join(str(token) for token in tokens)
    return settings


def ring_tokens(node: int, nodes: int) -> list[int]:
    """The tokens of one node (0-based) of a ring in which every node owns equal, interleaved shares."""
    per_node = 4
    step = 2**64 // (nodes * per_node)
    return [-(2**63) + step * (slot * nodes + node) for slot in range(per_node)]


def render_yaml(settings: Mapping[str, object]) -> str:
    """YAML with one top-level key a line; the values are JSON, which YAML includes."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())


def render_properties(settings: Mapping[str, str]) -> str:
    """A Java properties file."""
    return "".join(f"{key}={value}\n" for key, value in settings.items())
