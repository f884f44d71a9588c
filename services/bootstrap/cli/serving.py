"""`erx serve`: the roles of this process, from start to drain."""

import asyncio
import os
from contextlib import ExitStack

import structlog
import typer

from bootstrap import collector, logs
from bootstrap.local_stack import with_local_stack
from bootstrap.metrics import Metrics
from bootstrap.opening import open_when_available
from bootstrap.process import Process
from bootstrap.roles import ROLES, components, parts_of
from bootstrap.settings import Settings, SettingsError
from bootstrap.workers import WORKER_VARIABLE, reserved_port, stop_without_parent, supervise, workers_of
from eventkernel.errors import KernelError
from eventkernel.runtime.components import run_until_stopped, stop_on_signals
from eventkernel_grpc import BindFailed


def serve(settings: Settings, names: list[str], *, workers: int = 1) -> None:
    """Serve until a signal; exit code 1 where a component could not start or ended by itself."""
    unknown = [name for name in names if name not in ROLES]
    if unknown:
        typer.secho(f"serve: no such server: {', '.join(unknown)}; there are {', '.join(ROLES)}", err=True, fg="red")
        raise typer.Exit(2)
    logs.configure(settings)
    settings = with_local_stack(settings)
    try:
        if workers > 1:
            asyncio.run(run_workers(settings, names or list(ROLES), workers))
        else:
            asyncio.run(run(settings, names or list(ROLES)))
    except (KernelError, SettingsError, BindFailed) as error:
        typer.secho(f"serve: {error}", err=True, fg="red")
        raise typer.Exit(1) from error


async def run_workers(settings: Settings, names: list[str], count: int) -> None:
    """Run several processes of these roles side by side, their servers on one port."""
    addresses: dict[str, str] = {}
    with ExitStack() as held:
        for role, address in (("command", settings.command_address), ("query", settings.query_address)):
            if role in names:
                host, _, port = address.rpartition(":")
                holder = held.enter_context(reserved_port(host, int(port)))
                addresses[f"ERX_{role.upper()}_ADDRESS"] = f"{host}:{holder.getsockname()[1]}"
        await supervise(workers_of(settings, names, count, addresses), say)


async def run(settings: Settings, names: list[str], stop: asyncio.Event | None = None) -> None:
    """Run roles until ``stop`` (or a signal, where none is given)."""
    if stop is None:
        stop = asyncio.Event()
        stop_on_signals(stop)
    orphaned = asyncio.create_task(stop_without_parent(stop)) if WORKER_VARIABLE in os.environ else None
    stores = await open_when_available(settings, names, stop, say, parts_of(names))
    if stores is None:
        return
    metrics = Metrics()
    process = Process(settings, stores, metrics, failed=stop, said=say)
    try:
        if settings.metrics_address:
            try:
                port = metrics.serve(settings.metrics_address)
            except OSError as error:
                raise SettingsError(f"metrics_address: {settings.metrics_address}: {error.strerror}") from error
            say(f"metrics on {settings.metrics_address.rpartition(':')[0]}:{port}")
        structlog.get_logger().info("starting", roles=names, store=settings.store, data=str(settings.data_dir))
        with collector.relaxed():
            await run_until_stopped([*components(process, names), Ready(names)], stop)
    finally:
        if orphaned is not None:
            orphaned.cancel()
        await stores.close()


class Ready:
    """The last component: says that all before it serve."""

    name = "ready"

    def __init__(self, names: list[str]) -> None:
        self._names = names

    async def start(self) -> None:
        """Say so."""
        say(f"ready: {' '.join(self._names)}")

    async def stop(self) -> None:
        """Say that draining begins."""
        say("stopping")


def say(line: str) -> None:
    """One line to standard output, at once, for people and for programs that wait for it."""
    typer.echo(line)
