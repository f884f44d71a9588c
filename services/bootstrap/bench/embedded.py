"""`erx bench embedded`: commands against a bare echo, catch-up against bare upserts, memory by number of aggregates."""

import asyncio
import json
import os
import platform
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from bootstrap.bench import catch_up
from bootstrap.bench.processes import load, server
from bootstrap.settings import load as load_settings

CLIENTS = 64
PROCESSES = 2
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
        tell("commands: command server, relay and projector as processes of their own")
        facts["apart"] = await _commands(folder / "apart", seconds, apart=True)
        tell("commands: everything in one process")
        facts["together"] = await _commands(folder / "together", seconds, apart=False)
        for name in ("apart", "together"):
            facts[name]["ratio_to_echo"] = facts[name]["per_second"] / facts["echo"]["per_second"]
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
        done = await load("echo", address, clients=CLIENTS, processes=PROCESSES, seconds=seconds)
        return _facts(done, echo.cpu_seconds)


async def _commands(folder: Path, seconds: float, *, apart: bool) -> Facts:
    data = ("--data", str(folder))
    roles = ("command",) if apart else ()
    async with server("bootstrap", "serve", *roles, *data, *FREE) as serving:
        if not apart:
            return await _load_commands(serving, seconds)
        async with (
            server("bootstrap", "serve", "relay", *data, *FREE),
            server("bootstrap", "serve", "projector", *data, *FREE),
        ):
            return await _load_commands(serving, seconds)


async def _load_commands(serving: Any, seconds: float) -> Facts:
    before = serving.cpu_seconds
    done = await load("commands", serving.addresses["command"], clients=CLIENTS, processes=PROCESSES, seconds=seconds)
    return _facts(done, serving.cpu_seconds - before) | {"rss_mib": round(serving.rss_mib, 1)}


async def _catch_up(folder: Path, seconds: float) -> Facts:
    data = ("--data", str(folder))
    async with (
        server("bootstrap", "serve", "command", *data, *FREE) as serving,
        server("bootstrap", "serve", "relay", *data, *FREE),
    ):
        await load("commands", serving.addresses["command"], clients=CLIENTS, processes=PROCESSES, seconds=seconds)
    # The relay drains what it has in hand when it stops; what is still in the outbox is not part of this measure.
    found = await catch_up.measure(load_settings(data_dir=folder))
    return {
        "events": found.events,
        "per_second": found.events_per_second,
        "bare_upserts_per_second": found.upserts_per_second,
        "ratio_to_upserts": found.events_per_second / found.upserts_per_second,
    }


async def _memory(folder: Path, count: int) -> Facts:
    async with server("bootstrap", "serve", "command", "--data", str(folder), *FREE) as serving:
        before = serving.rss_mib
        address = serving.addresses["command"]
        await load("creates", address, clients=CLIENTS, processes=PROCESSES, seconds=600, calls_max=count)
        return {"rss_mib_empty": round(before, 1), "rss_mib": round(serving.rss_mib, 1)}


def _facts(done: Any, cpu_seconds: float) -> Facts:
    return {
        "calls": done.calls,
        "per_second": done.per_second,
        "p50_ms": done.p50_ms,
        "p99_ms": done.p99_ms,
        "cpu_us_per_call": cpu_seconds / done.calls * 1e6,
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
    table = Table("measure", "per second", "ratio", "p50 ms", "p99 ms", "CPU µs each", "MiB", box=None)
    rows = (
        ("bare echo", "echo", ""),
        ("commands, apart", "apart", "echo"),
        ("commands, one process", "together", "echo"),
    )
    for label, name, base in rows:
        f = facts[name]
        ratio = f"{f['ratio_to_echo']:.2f} of echo" if base else "1"
        size = f"{f['rss_mib']:.0f}" if "rss_mib" in f else ""
        table.add_row(
            label,
            f"{f['per_second']:,.0f}",
            ratio,
            f"{f['p50_ms']:.1f}",
            f"{f['p99_ms']:.1f}",
            f"{f['cpu_us_per_call']:.0f}",
            size,
        )
    c = facts["catch_up"]
    table.add_row("bare SQLite upserts", f"{c['bare_upserts_per_second']:,.0f}", "1", "", "", "", "")
    table.add_row(
        "catch-up, all views", f"{c['per_second']:,.0f}", f"{c['ratio_to_upserts']:.2f} of upserts", "", "", "", ""
    )
    for count, memory in facts["memory"].items():
        table.add_row(f"command server, {int(count):,} aggregates", "", "", "", "", "", f"{memory['rss_mib']:.0f}")
    machine = facts["machine"]
    table.caption = (
        f"{facts['clients']} clients in {facts['client_processes']} processes; {machine['processors']} processors, load"
        f" {machine['load_average'][0]}; Python {machine['python']}, SQLite {machine['sqlite']},"
        f" synchronous {machine['synchronous']}"
    )
    return table
