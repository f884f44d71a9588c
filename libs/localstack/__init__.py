"""Real Cassandra, Kafka and PostgreSQL servers as plain processes, without Docker.

`Stack` starts, stops, kills, freezes and restarts them; `available` says which of them this machine
can run. Nothing here needs more than the standard library, a Java 17, Maven (once) and PostgreSQL.
"""

from localstack.cassandra import CassandraNode
from localstack.errors import (
    JarsUnavailable,
    LocalStackError,
    MissingTool,
    NotReady,
    NotRunning,
    ServerExited,
    StackMismatch,
)
from localstack.kafka import KafkaBroker
from localstack.postgres import PostgresServer
from localstack.server import Endpoint, Progress, ProgressCallback, Server
from localstack.stack import ServerStatus, Stack
from localstack.tools import Availability, available

__all__ = [
    "Availability",
    "CassandraNode",
    "Endpoint",
    "JarsUnavailable",
    "KafkaBroker",
    "LocalStackError",
    "MissingTool",
    "NotReady",
    "NotRunning",
    "PostgresServer",
    "Progress",
    "ProgressCallback",
    "Server",
    "ServerExited",
    "ServerStatus",
    "Stack",
    "StackMismatch",
    "available",
]
