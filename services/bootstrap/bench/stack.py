"""`erx bench stack`: every part of the way through Cassandra, Kafka and PostgreSQL beside what the bare driver does there.

All in one run, one after the other, on the same servers and the same disk; the commit log is in ``group`` mode throughout.
Parts are processes of their own. Targets are told and gate nothing.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from bootstrap import logs
from bootstrap.bench.processes import child, load, server
from bootstrap.bench.stack_chart import chart
from bootstrap.bench.stack_ground import RAW_TOPIC, Busy, Ground, ground, prepare
from bootstrap.bench.stack_report import EVENTS, finished, machine, table
from bootstrap.settings import SettingsError, as_environment
from bootstrap.settings import load as load_settings
from bootstrap.stores import TOPIC, open_stores
from localstack import LocalStackError

CLIENTS = 64
PROCESSES = 2
CHANNELS = 8
WARM_UP_SECONDS = 1.0
DRAIN_SECONDS = 90.0
DRAIN_LOOK_SECONDS = 0.2
MODULE = "bootstrap.bench"

Facts = dict[str, Any]
Tell = Callable[[str], None]


NEEDS = {"a": "", "b": "", "c": "b", "d": "bc", "e": "", "f": "", "g": "bcd"}
"""The parts, and those whose data each stands on."""


def bench(*, seconds: float, data: Path | None, only: str, as_json: bool, chart_file: Path | None) -> None:
    """Measure and print; nothing is asserted."""
    console = Console(stderr=True)
    logs.configure(load_settings(log_level="error"))
    # Asked to end, it ends what it has started: an exception goes through every block that cleans up.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    began = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {line}")

    try:
        with ground(data, tell) as found:
            facts = asyncio.run(_Run(found, seconds, tell).parts(only))
    except (LocalStackError, SettingsError) as error:
        typer.secho(f"bench: {error}", err=True, fg="red")
        raise typer.Exit(1) from error
    if chart_file is not None:
        chart_file.write_text(chart(facts), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    Console().print(table(facts))


class _Run:
    """One run; ``rows`` in the order of the report."""

    def __init__(self, found: Ground, seconds: float, tell: Tell) -> None:
        self._ground = found
        self._seconds = seconds
        self._tell = tell
        self._environment = as_environment(found.settings)
        self._dsn = found.settings.postgres_dsn.get_secret_value()
        self._rows: dict[str, Facts] = {}
        self._events = 0

    async def parts(self, only: str) -> Facts:
        """These parts with those they stand on; without a choice every part."""
        wanted = set(only or NEEDS).union(*(NEEDS[part] for part in only))
        before = machine(self._ground)
        await prepare(self._ground)
        works = {
            "a": self._appends,
            "b": self._both_commands,
            "c": self._relay,
            "d": self._projector,
            "g": self._queries,
            "e": self._visible,
            "f": self._aggregate,
        }
        for part, work in works.items():
            if part in wanted:
                await work()
        return finished(self._rows, before, self._seconds)

    async def _both_commands(self) -> None:
        for workers in (1, 2):
            await self._commands(workers)

    async def _part(self, name: str, text: str, work: Any) -> Facts:
        """Run one part and keep its facts with what the machine did meanwhile."""
        self._tell(text)
        busy = Busy(self._ground.server_pids())
        facts: Facts = await work
        self._rows[name] = facts | busy.facts()
        return facts

    async def _appends(self) -> None:
        host, port = self._ground.cassandra
        for driver in ("acsylla", "cassandra-driver"):
            for processes in (1, 2):
                words = (driver, host, str(port), self._ground.raw_keyspace, str(CLIENTS // processes))

                async def run(words: tuple[str, ...] = words, processes: int = processes) -> Facts:
                    module = f"{MODULE}.raw_appends"
                    return together(
                        await asyncio.gather(*(child(module, *words, str(self._seconds)) for _ in range(processes)))
                    )

                done = await self._part(
                    f"appends {driver} {processes}", f"raw appends, {driver}, processes: {processes}", run()
                )
                if "cursors" in done:
                    cursors = self._rows[f"appends {driver} {processes}"].pop("cursors")
                    if processes == 1:
                        self._rows["cursors"] = per_event(cursors)

    async def _commands(self, workers: int) -> None:
        async def run() -> Facts:
            async with AsyncExitStack() as running:
                words = ("bootstrap", "serve", "command", "--workers", str(workers))
                serving = await running.enter_async_context(
                    server(*words, environment=self._environment, workers=workers)
                )
                return await self._loaded("commands", serving, serving.addresses["command"])

        await self._part(f"commands {workers}", f"commands, workers: {workers}", run())

    async def _loaded(self, kind: str, serving: Any, address: str) -> Facts:
        """A load on a server, after a warm-up."""
        settings = {"clients": CLIENTS, "processes": PROCESSES, "channels": CHANNELS}
        warm = await load(kind, address, seconds=WARM_UP_SECONDS, **settings)
        before = serving.cpu_seconds
        done = await load(kind, address, seconds=self._seconds, **settings)
        spent = serving.cpu_seconds - before
        self._events += warm.made + done.made if kind == "commands" else 0
        return {
            "operations": done.calls,
            "seconds": done.seconds,
            "per_second": done.per_second,
            "p50_ms": done.p50_ms,
            "p99_ms": done.p99_ms,
            # Processor time is told from start to end of the load's processes, so their first calls belong to it.
            "cpu_us": spent / done.made * 1e6,
            "busy": spent / done.seconds,
            "client_busy": done.busy,
            "peak_mib": serving.peak_mib,
        }

    async def _relay(self) -> None:
        servers, partitions = self._ground.settings.kafka_bootstrap_servers, self._ground.settings.topic_partitions
        words = (servers, RAW_TOPIC, str(partitions), str(self._seconds))
        await self._part("produce", "bare idempotent produce", child(f"{MODULE}.raw_bus", *words))
        await self._part("relay", f"relay, {self._events:,} events", self._moved("relay"))

    async def _projector(self) -> None:
        words = ("upserts", self._dsn, str(self._seconds))
        await self._part("upserts", "bare batched upserts", child(f"{MODULE}.raw_rows", *words))
        facts = await self._part("projector", f"projector, {self._events:,} events", self._moved("projector"))
        rows = facts["rows"]
        self._rows["projector rows"] = {
            "operations": rows,
            "seconds": facts["seconds"],
            "per_second": rows / facts["seconds"],
            "cpu_us": facts["cpu_us"] * facts["operations"] / rows,
            "peak_mib": facts["peak_mib"],
        }

    async def _queries(self) -> None:
        words = ("selects", self._dsn, str(self._seconds))
        await self._part("selects", "bare SELECTs", child(f"{MODULE}.raw_rows", *words))

        async def run() -> Facts:
            async with server("bootstrap", "serve", "query", environment=self._environment) as serving:
                return await self._loaded("queries", serving, serving.addresses["query"])

        await self._part("queries", "queries", run())

    async def _visible(self) -> None:
        """Full load on the whole way first, which says what half of it is; then, when all of that is applied, half."""
        async with AsyncExitStack() as running:
            started = {
                role: await running.enter_async_context(
                    server("bootstrap", "serve", role, environment=self._environment)
                )
                for role in ("command", "relay", "projector", "query")
            }
            command, query = started["command"].addresses["command"], started["query"].addresses["query"]
            full = await self._part(
                "whole way",
                "commands with relay, projector and query server beside",
                self._loaded("commands", started["command"], command),
            )
            self._rows["whole way"]["drained_seconds"] = await self._drained()
            words = (command, query, str(full["per_second"] / 2), str(self._seconds))
            await self._part("visible", "from reply to visible at half load", child(f"{MODULE}.visible", *words))
            self._rows["visible"]["drained_seconds"] = await self._drained()
            self._rows["visible"]["peaks_mib"] = {role: round(one.peak_mib) for role, one in started.items()}

    async def _drained(self) -> float:
        """Wait until nothing is on its way to the views; gives how long that took."""
        stores = await open_stores(self._ground.settings)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            while True:
                committed = await stores.tail.committed(self._ground.settings.consumer_group, TOPIC)
                ends = await stores.tail.end_offsets(TOPIC)
                behind = sum(end - committed.get(place, 0) for place, end in ends.items())
                if not behind and not (await stores.outbox.depth()).events:
                    return loop.time() - began
                if loop.time() - began > DRAIN_SECONDS:
                    raise RuntimeError(f"{behind} events are still not applied after {DRAIN_SECONDS:g} s")
                await asyncio.sleep(DRAIN_LOOK_SECONDS)
        finally:
            await stores.close()

    async def _aggregate(self) -> None:
        work = child(f"{MODULE}.moving", "aggregate", str(EVENTS), environment=self._environment)
        found = await self._part("aggregate", f"an aggregate of {EVENTS:,} events", work)
        around = {name: value for name, value in self._rows.pop("aggregate").items() if name not in found}
        for name, facts in found.items():
            self._rows[f"load {name}"] = facts | around

    def _moved(self, what: str) -> Any:
        return child(f"{MODULE}.moving", what, str(self._events), environment=self._environment)


def together(children: list[Facts]) -> Facts:
    """What several processes did: rates and memory add up, percentiles are the worst one's, processor time is the mean."""
    if len(children) == 1:
        return children[0]
    return {
        "operations": sum(one["operations"] for one in children),
        "seconds": max(one["seconds"] for one in children),
        "per_second": sum(one["per_second"] for one in children),
        "p50_ms": max(one["p50_ms"] for one in children),
        "p99_ms": max(one["p99_ms"] for one in children),
        "cpu_us": sum(one["cpu_us"] * one["operations"] for one in children) / sum(o["operations"] for o in children),
        "busy": max(one["busy"] for one in children),
        "peak_mib": sum(one["peak_mib"] for one in children),
    }


def per_event(cursors: Facts) -> Facts:
    """A cursor that moves over a prescription moves over three events."""
    each = 3
    return cursors | {"per_second": cursors["per_second"] * each, "cpu_us": cursors["cpu_us"] / each}
