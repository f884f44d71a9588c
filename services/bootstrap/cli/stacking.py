"""`erx stack`: real Cassandra, Kafka and PostgreSQL as local processes, and the settings that lead to them."""

from pathlib import Path
from typing import Any, NoReturn, cast

import typer
from pydantic import SecretStr

from bootstrap.settings import Settings, load
from localstack import LocalStackError, Stack, cli
from localstack.settings import COMMITLOG_SYNC, CommitlogSync


def up(settings: Settings, *, nodes: int, commitlog_sync: str) -> None:
    """Start what is not running, and print how to serve on it."""
    if commitlog_sync not in COMMITLOG_SYNC:
        raise typer.BadParameter(
            f"{commitlog_sync!r} is none of {', '.join(COMMITLOG_SYNC)}", param_hint="--commitlog-sync"
        )
    try:
        cli.up(root_of(settings), nodes, commitlog_sync=cast("CommitlogSync", commitlog_sync), echo=typer.echo)
    except (LocalStackError, OSError) as error:
        _end(error)
    typer.echo("serve on it: ./erx serve --store stack")


def down(settings: Settings, *, keep_data: bool) -> None:
    """Stop the servers."""
    try:
        cli.down(root_of(settings), keep_data=keep_data, echo=typer.echo)
    except (LocalStackError, OSError) as error:
        _end(error)


def status(settings: Settings) -> None:
    """Say what runs; exit code 3 when not everything does."""
    try:
        servers = cli.status(root_of(settings), echo=typer.echo)
    except (LocalStackError, OSError) as error:
        _end(error)
    if not servers or any(server.state != "running" for server in servers):
        raise typer.Exit(3)


def logs(settings: Settings, name: str, *, lines: int) -> None:
    """Print the end of the servers' logs."""
    try:
        cli.logs(root_of(settings), name, lines, echo=typer.echo)
    except (LocalStackError, OSError) as error:
        _end(error)


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


def _end(error: Exception) -> NoReturn:
    typer.secho(f"stack: {error}", err=True, fg="red")
    raise typer.Exit(1) from error
