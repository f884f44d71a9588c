"""The commands behind `python -m localstack` and the product's own `stack` command group."""

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from localstack.errors import LocalStackError
from localstack.server import Progress
from localstack.settings import COMMITLOG_SYNC, SERVICES, CommitlogSync, ServiceName
from localstack.stack import NODES_MAX, ServerStatus, Stack
from localstack.tools import available

DEFAULT_ROOT = Path(".erx/stack")

Echo = Callable[[str], None]


def up(
    root: Path = DEFAULT_ROOT,
    nodes: int = 1,
    services: Collection[ServiceName] = SERVICES,
    commitlog_sync: CommitlogSync = "group",
    *,
    echo: Echo = print,
) -> Stack:
    """Start the servers, say what happens, and leave them running."""
    stack = Stack(root, nodes, services, commitlog_sync, detached=True)
    stack.up(lambda happened: echo(describe_progress(happened)))
    for line in describe_endpoints(stack):
        echo(line)
    return stack


def down(root: Path = DEFAULT_ROOT, *, keep_data: bool = False, echo: Echo = print) -> None:
    """Stop the servers; without `keep_data` their folder goes too. No stack there is no error."""
    if not root.exists():
        echo(f"no stack in {root}")
        return
    Stack.attach(root).down(keep_data=keep_data)
    echo(f"stopped; data kept in {root}" if keep_data else f"stopped; {root} removed")


def status(root: Path = DEFAULT_ROOT, *, echo: Echo = print) -> list[ServerStatus]:
    """Say of each server whether it runs, where, and which version; without a stack, what could run."""
    if not root.exists():
        echo(f"no stack in {root}")
        for service in available().values():
            echo(f"  {service.service:<12} {'can run: ' if service.runnable else ''}{service.detail}")
        return []
    servers = Stack.attach(root).status()
    for server in servers:
        pid = f"pid {server.pid}" if server.pid else ""
        echo(f"  {server.name:<12} {server.state:<8} {server.endpoint!s:<16} {server.version or '-':<8} {pid}".rstrip())
        if server.state == "lost":
            echo(
                f"    ended though nobody stopped it: see {server.log}; where that ends without a reason, it was killed"
            )
    return servers


def logs(root: Path = DEFAULT_ROOT, name: str = "", lines: int = 100, *, echo: Echo = print) -> None:
    """Print the end of one server's log, or of all when no name is given."""
    stack = Stack.attach(root)
    for server in [stack[name]] if name else stack.servers.values():
        echo(f"==> {server.log}")
        echo(server.log_tail(lines))


def describe_progress(happened: Progress) -> str:
    """One line for one event of a start."""
    return f"  {happened.server:<12} {happened.seconds:5.1f} s  {happened.message}"


def describe_endpoints(stack: Stack) -> list[str]:
    """How to reach each service."""
    lines = []
    if nodes := stack.cassandra_nodes:
        lines.append(f"Cassandra   {','.join(node.endpoint.host for node in nodes)} port {nodes[0].endpoint.port}")
    if "kafka" in stack.servers:
        lines.append(f"Kafka       {stack.kafka.bootstrap_servers}")
    if "postgres" in stack.servers:
        lines.append(f"PostgreSQL  {stack.postgres.dsn()}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors are told in one sentence and end with status 1."""
    chosen = _parser().parse_args(arguments)
    root: Path = chosen.root
    try:
        match chosen.command:
            case "up":
                services: list[ServiceName] = chosen.services or list(SERVICES)
                up(root, chosen.nodes, services, chosen.commitlog_sync)
            case "down":
                down(root, keep_data=chosen.keep_data)
            case "status":
                servers = status(root)
                return 0 if servers and all(server.state == "running" for server in servers) else 3
            case _:
                logs(root, chosen.name, chosen.lines)
    except (LocalStackError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localstack", description="Cassandra, Kafka and PostgreSQL without Docker."
    )
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="folder of data, logs and state (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start the servers and leave them running")
    start.add_argument("--nodes", type=int, default=1, choices=range(1, NODES_MAX + 1), help="Cassandra nodes (1)")
    start.add_argument("--services", nargs="+", choices=SERVICES, help="only these (all)")
    start.add_argument(
        "--commitlog-sync", choices=sorted(COMMITLOG_SYNC), default="group", help="Cassandra's durability"
    )
    stop = commands.add_parser("down", help="stop the servers and remove their data")
    stop.add_argument("--keep-data", action="store_true", help="leave the data for the next up")
    commands.add_parser("status", help="what runs where; exit status 3 unless everything runs")
    show = commands.add_parser("logs", help="the end of the logs")
    show.add_argument("name", nargs="?", default="", help="one server (all)")
    show.add_argument("--lines", type=int, default=100)
    return parser
