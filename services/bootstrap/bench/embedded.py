"""`erx bench embedded`: commands against a bare echo, catch-up against bare upserts, memory by number of aggregates.

The echo is measured before and after the commands, because the machine may be doing something else meanwhile; ratios are to
the mean of both. Clients and server share the machine: how busy each is says which of them was the limit.
"""

import asyncio
import json
import os
import platform
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from bootstrap.bench import catch_up
from bootstrap.bench.processes import Server, load, server
from bootstrap.settings import load as load_settings
from prescriptions.views import VIEWS

CLIENTS = 64
PROCESSES = 2
WARM_UP_SECONDS = 1.0
FREE = ("--command-address", "127.0.0.1:0", "--query-address", "127.0.0.1:0", "--log-level", "warning")
AGGREGATES = (1_000, 100_000)

Facts = dict[str, Any]


def bench(*, seconds: float, aggregates_max: int, as_json: bool) -> None:
    """Measure and print; nothing is asserted."""
    console = Console(stderr=True)
    facts = asyncio.run(_measure(seconds, aggregates_max, lambda line: console.print(f"[dim]{line}")))
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    Console().print(_table(facts))


async def _measure(seconds: float, aggregates_max: int, tell: Callable[[str], None]) -> Facts:
    facts: Facts = {"machine": _machine(), "clients": CLIENTS, "client_processes": PROCESSES}
    with tempfile.TemporaryDirectory(prefix="erx-bench-") as scratch:
        folder = Path(scratch)
        tell("echo: a bare grpc.aio server")
        facts["echo"] = await _echo(seconds)
        tell("commands: the command server by itself")
        facts["alone"] = await _commands(folder / "alone", seconds, ("command",), ())
        tell("commands: command server, relay and projector as processes of their own")
        facts["apart"] = await _commands(folder / "apart", seconds, ("command",), ("relay", "projector"))
        tell("commands: everything in one process")
        facts["together"] = await _commands(folder / "together", seconds, (), ())
        tell("echo again")
        facts["echo_after"] = await _echo(seconds)
        echo = (facts["echo"]["per_second"] + facts["echo_after"]["per_second"]) / 2
        for name in ("alone", "apart", "together"):
            facts[name]["ratio_to_echo"] = facts[name]["per_second"] / echo
        tell("catch-up: fresh views from the bus")
        facts["catch_up"] = await _catch_up(folder / "catch-up", seconds)
        facts["memory"] = {}
        for count in AGGREGATES:
            if count <= aggregates_max:
                tell(f"memory: {count:,} aggregates")
                facts["memory"][str(count)] = await _memory(folder / f"memory-{count}", count)
    return facts


async def _echo(seconds: float) -> Facts:
    async with server("bootstrap.bench.echo") as echo:
        (address,) = echo.addresses.values()
        return await _measured("echo", echo, address, seconds)


async def _commands(folder: Path, seconds: float, roles: tuple[str, ...], beside: tuple[str, ...]) -> Facts:
    """Commands to a process of these roles (none named: all), with more roles beside it in processes of their own."""
    data = ("--data", str(folder))
    async with AsyncExitStack() as running:
        serving = await running.enter_async_context(server("bootstrap", "serve", *roles, *data, *FREE))
        for role in beside:
            await running.enter_async_context(server("bootstrap", "serve", role, *data, *FREE))
        facts = await _measured("commands", serving, serving.addresses["command"], seconds)
        return facts | {"rss_mib": round(serving.rss_mib, 1)}


async def _measured(kind: str, serving: Server, address: str, seconds: float) -> Facts:
    await load(kind, address, clients=CLIENTS, processes=PROCESSES, seconds=WARM_UP_SECONDS)
    before = serving.cpu_seconds
    done = await load(kind, address, clients=CLIENTS, processes=PROCESSES, seconds=seconds)
    spent = serving.cpu_seconds - before
    return {
        "calls": done.calls,
        "per_second": done.per_second,
        "p50_ms": done.p50_ms,
        "p99_ms": done.p99_ms,
        "cpu_us_per_call": spent / done.calls * 1e6,
        "server_busy": round(spent / done.seconds, 2),
        "client_busy": round(done.busy, 2),
    }


async def _catch_up(folder: Path, seconds: float) -> Facts:
    async with server("bootstrap", "serve", "command", "--data", str(folder), *FREE) as serving:
        address = serving.addresses["command"]
        done = await load("commands", address, clients=CLIENTS, processes=PROCESSES, seconds=seconds)
    found = await catch_up.measure(load_settings(data_dir=folder), done.made)
    return {
        "events": found.events,
        "views": len(VIEWS),
        "published_per_second": found.published_per_second,
        "per_second": found.events_per_second,
        "bare_upserts_per_second": found.upserts_per_second,
        "ratio_to_upserts": found.events_per_second / found.upserts_per_second,
    }


async def _memory(folder: Path, count: int) -> Facts:
    async with server("bootstrap", "serve", "command", "--data", str(folder), *FREE) as serving:
        before = serving.rss_mib
        address = serving.addresses["command"]
        await load("creates", address, clients=CLIENTS, processes=PROCESSES, seconds=600, calls_max=count)
        grown, kept = serving.rss_mib - before, min(count, load_settings().aggregates_max)
        return {
            "rss_mib_empty": round(before, 1),
            "rss_mib": round(serving.rss_mib, 1),
            "aggregates_kept": kept,
            "bytes_per_aggregate": round(grown * 1024 * 1024 / kept),
        }


def _machine() -> Facts:
    return {
        "processors": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "synchronous": "FULL",
    }


def _table(facts: Facts) -> Table:
    table = Table("measure", "a second", "ratio", "p50 ms", "p99 ms", "CPU µs", "busy", "MiB", box=None)
    for label, name in (
        ("bare echo", "echo"),
        ("command server", "alone"),
        (" relay, projector apart", "apart"),
        (" all in one process", "together"),
        ("bare echo again", "echo_after"),
    ):
        f = facts[name]
        table.add_row(
            label,
            f"{f['per_second']:,.0f}",
            f"{f['ratio_to_echo']:.2f}" if "ratio_to_echo" in f else "1",
            f"{f['p50_ms']:.1f}",
            f"{f['p99_ms']:.1f}",
            f"{f['cpu_us_per_call']:.0f}",
            f"{f['server_busy']:.2f}/{f['client_busy']:.2f}",
            f"{f['rss_mib']:.0f}" if "rss_mib" in f else "",
        )
    c = facts["catch_up"]
    table.add_row("bare upserts", f"{c['bare_upserts_per_second']:,.0f}", "1")
    table.add_row("relay, journal to bus", f"{c['published_per_second']:,.0f}")
    table.add_row(f"catch-up, {c['views']} views", f"{c['per_second']:,.0f}", f"{c['ratio_to_upserts']:.3f}")
    for count, memory in facts["memory"].items():
        label = f"{int(count):,} aggregates"
        table.add_row(label, "", "", "", "", "", "", f"{memory['rss_mib']:.0f}")
    machine = facts["machine"]
    crowded = machine["processors"] < 2 + facts["client_processes"]
    table.caption = (
        "Ratios of commands to the echo, of catch-up to the upserts. Busy: processor time a second of the server and of the"
        f" busiest client. {facts['clients']} clients in {facts['client_processes']} processes; {machine['processors']}"
        f" processors, load {machine['load_average'][0]}; Python {machine['python']}, SQLite {machine['sqlite']},"
        f" synchronous {machine['synchronous']}."
        + (" Clients and server compete for the processors." if crowded else "")
    )
    return table
