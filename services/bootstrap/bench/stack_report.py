"""The report of `erx bench stack`: rows in order, ratios, targets, the machine; as facts and as a table."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from bootstrap.bench.stack_ground import Ground

EVENTS = 1_000
Facts = dict[str, Any]

PARTS = (
    ("a", "appends acsylla 1", "bare batches, acsylla, 1 process"),
    ("a", "appends acsylla 2", "bare batches, acsylla, 2 processes"),
    ("a", "appends cassandra-driver 1", "bare batches, cassandra-driver, 1 process"),
    ("a", "appends cassandra-driver 2", "bare batches, cassandra-driver, 2 processes"),
    ("b", "commands 1", "commands, 1 worker"),
    ("b", "commands 2", "commands, 2 workers"),
    ("c", "produce", "bare idempotent produce"),
    ("c", "cursors", "bare cursor writes, as events"),
    ("c", "relay", "relay, events"),
    ("d", "upserts", "bare batched upserts"),
    ("d", "projector", "projector catch-up, events"),
    ("d", "projector rows", "the same, rows and checkpoints"),
    ("e", "whole way", "commands with all roles beside"),
    ("e", "visible", "reply to visible, half load"),
    ("f", "load bare_events", "1,000 events, bare read"),
    ("f", "load events", "aggregate of 1,000 events"),
    ("f", "load bare_snapshot", "snapshot, bare read"),
    ("f", "load snapshot", "aggregate with snapshot"),
    ("g", "selects", "bare SELECTs by key"),
    ("g", "queries", "queries, FetchPrescription"),
)
"""Part, name in the facts, text in table and chart."""


def finished(rows: dict[str, Facts], before: Facts, seconds: float) -> Facts:
    """All facts of a run, with ratios and targets."""

    def ratio(name: str, *bare: str) -> float | None:
        """To the slowest of the bare sides; None where a part was not measured."""
        if not all(found in rows for found in (name, *bare)):
            return None
        found: float = rows[name]["per_second"] / min(rows[one]["per_second"] for one in bare)
        return found

    ratios = {
        "commands 1": ratio("commands 1", "appends cassandra-driver 1"),
        "commands 2": ratio("commands 2", "appends cassandra-driver 2"),
        "relay": ratio("relay", "produce", "cursors"),
        "projector": ratio("projector", "upserts"),
        "projector rows": ratio("projector rows", "upserts"),
        "load events": ratio("load events", "load bare_events"),
        "load snapshot": ratio("load snapshot", "load bare_snapshot"),
        "queries": ratio("queries", "selects"),
    }
    for name, found in ratios.items():
        if found is not None:
            rows[name]["ratio"] = found

    def fact(name: str, field: str, unit: float = 1.0) -> float | None:
        return rows[name][field] / unit if name in rows else None

    wanted: tuple[tuple[str, str, float | None, dict[str, float]], ...] = (
        ("b", "of bare batches through cassandra-driver", ratios["commands 1"], {"at_least": 0.7}),
        ("b", "of bare batches through acsylla", ratio("commands 1", "appends acsylla 1"), {"at_least": 0.25}),
        ("b", "ms of CPU a command", fact("commands 1", "cpu_us", 1_000), {"at_most": 0.6}),
        ("c", "of the slower of produce and cursor writes", ratios["relay"], {"at_least": 0.3}),
        ("d", "of bare upserts", ratios["projector"], {"at_least": 0.3}),
        ("e", "ms at p99 from reply to visible", fact("visible", "p99_ms"), {"at_most": 500}),
        ("f", "ms at p50 without snapshot", fact("load events", "p50_ms"), {"at_most": 10}),
        ("f", "ms at p50 with snapshot", fact("load snapshot", "p50_ms"), {"at_most": 1}),
    )
    return {
        "seconds": seconds,
        "commitlog_sync": "group",
        "machine": before | {"load_after": round(os.getloadavg()[0], 1)},
        "rows": rows,
        "targets": [target(part, text, found, **limit) for part, text, found, limit in wanted if found is not None],
    }


def target(part: str, text: str, found: float, *, at_least: float | None = None, at_most: float | None = None) -> Facts:
    """What was wanted, what was found, and whether it is reached."""
    reached = found >= at_least if at_least is not None else at_most is not None and found <= at_most
    wanted = f"≥ {at_least:g}" if at_least is not None else f"≤ {at_most:g}"
    return {"part": part, "text": text, "wanted": wanted, "found": found, "reached": reached}


def machine(ground: "Ground") -> Facts:
    """The machine before the run, and the versions of everything measured."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    clients = ("acsylla", "cassandra-driver", "confluent-kafka", "psycopg", "grpcio")
    return {
        "processors": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "free_mib": free // 1024,
        "python": platform.python_version(),
        "servers": ground.stack.versions(),
        "clients": {name: importlib.metadata.version(name) for name in clients},
    }


def table(facts: Facts) -> Table:
    """For people."""
    made = Table("", "measure", "a second", "ratio", "p50 ms", "p99 ms", "CPU µs", "MiB", "machine", "load", box=None)
    for column in made.columns[2:]:
        column.justify = "right"
    for part, name, text in PARTS:
        f = facts["rows"].get(name)
        if f is None:
            continue
        made.add_row(
            part,
            text,
            f"{f['per_second']:,.0f}",
            f"{f['ratio']:.2f}" if "ratio" in f else "",
            number(f.get("p50_ms")),
            number(f.get("p99_ms")),
            f"{f['cpu_us']:,.0f}",
            f"{f['peak_mib']:,.0f}",
            f"{f['machine_busy']:.1f}" if "machine_busy" in f else "",
            f"{f['load']:.0f}" if "load" in f else "",
        )
    m = facts["machine"]
    lines = [
        f"{t['part']}: {number(t['found'])} {t['text']}, wanted {t['wanted']}: {'yes' if t['reached'] else 'no'}"
        for t in facts["targets"]
    ]
    servers = ", ".join(f"{name} {version}" for name, version in m["servers"].items())
    lines.append(
        f"{m['processors']} processors, load {m['load_before']} before and {m['load_after']} after; commit log in group mode;"
        f" Python {m['python']}; {servers}. Ratio of commands: to cassandra-driver with as many processes. CPU: of the clients"
        " where bare, of our server else. Machine: processors busy, with everybody's work. p50 and p99 of c and d: a round or"
        " a batch; of e: reply to visible."
    )
    made.caption = "\n".join(lines)
    made.caption_justify = "left"
    return made


def number(value: float | None) -> str:
    """Three figures that matter."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
