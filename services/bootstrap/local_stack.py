"""The settings that lead to the servers that `erx stack up` started."""

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bootstrap.settings import Settings, load
from localstack import LocalStackError, Stack


def root_of(settings: Settings) -> Path:
    """Where the local stack of this data folder lives."""
    return settings.data_dir / "stack"


def with_local_stack(settings: Settings) -> Settings:
    """The settings with the addresses of the local stack, where one was started and no address was given."""
    root = root_of(settings)
    if settings.store != "stack" or not root.exists():
        return settings
    try:
        stack = Stack.attach(root)
    except LocalStackError:
        return settings
    given = settings.model_fields_set
    found: dict[str, Any] = {
        "cassandra_contact_points": ",".join(str(node.endpoint) for node in stack.cassandra_nodes),
        "cassandra_replication": len(stack.cassandra_nodes),
        "kafka_bootstrap_servers": stack.kafka.bootstrap_servers,
        "postgres_dsn": SecretStr(stack.postgres.dsn()),
    }
    own = {name: getattr(settings, name) for name in given}
    return load(**{name: value for name, value in found.items() if name not in given}, **own)
