"""`erx stack`: real Cassandra, Kafka and PostgreSQL as local processes."""

from typing import NoReturn, cast

import typer

from bootstrap.local_stack import root_of
from bootstrap.settings import Settings
from localstack import LocalStackError, cli
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


def _end(error: Exception) -> NoReturn:
    typer.secho(f"stack: {error}", err=True, fg="red")
    raise typer.Exit(1) from error
