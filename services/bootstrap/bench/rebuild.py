"""`erx bench rebuild`: every view rebuilt while an import runs and once after it, against bare upserts of as many rows.

While the import runs, queries are asked without a pause; the measure counts those that failed and versions that went backwards,
of which there must be none, and ends with an audit of everything.
"""

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import typer
from rich.console import Console
from rich.table import Table

from bootstrap.audit import audit
from bootstrap.bench.catch_up import bare_upserts
from bootstrap.bench.processes import server
from bootstrap.local_stack import with_local_stack
from bootstrap.settings import load as load_settings
from bootstrap.stores import Stores, open_stores
from erx.eventlog.v1 import view_admin_service_pb2 as pb
from erx.eventlog.v1.view_admin_service_pb2_grpc import ViewAdminServiceStub
from erx.prescriptions.v1 import query_service_pb2
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub
from eventkernel.envelope import Actor
from eventkernel_grpc import call_metadata, channel
from prescriptions.domain.profiles import PROFILES
from prescriptions.imports.imports import Target, import_synthea

TENANT = "default"
FREE = ("--command-address", "127.0.0.1:0", "--query-address", "127.0.0.1:0", "--log-level", "warning")
PATIENT = ("--queue-seconds-max", "0")
"""Neighbours that are busy must not make the server refuse calls: failures are counted here."""
LOOK_SECONDS = 0.2
SETTLE_SECONDS = 600.0
CALL_SECONDS = 60.0
QUERIES_AT_ONCE = 4
REST_SECONDS = 20.0
"""Between two rebuilds beside the import."""

Facts = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """What queries met while the rebuilds ran."""

    answers: int = 0
    failures: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    seconds_max: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)


def bench(directory: Path, *, data: Path | None = None, as_json: bool) -> None:
    """Measure and print; exit code 1 where a query failed, an answer went backwards, or anything differs at the end.

    ``data`` is the folder of a local stack, to measure on that; else everything is embedded in a scratch folder.
    """
    console = Console(stderr=True)
    facts = asyncio.run(_measure(directory, data, console))
    typer.echo(json.dumps(facts, indent=2)) if as_json else Console().print(_table(facts))
    if facts["queries"]["failed"] or facts["queries"]["backwards"] or facts["differences"]:
        raise typer.Exit(1)


async def _measure(directory: Path, data: Path | None, console: Console) -> Facts:
    with tempfile.TemporaryDirectory(prefix="erx-bench-") as scratch:
        folder = data or Path(scratch)
        store = "embedded" if data is None else "stack"
        settings = with_local_stack(load_settings(data_dir=folder, store=store))
        async with server("bootstrap", "serve", "--data", str(folder), "--store", store, *FREE, *PATIENT) as serving:
            commands, queries = serving.addresses["command"], serving.addresses["query"]
            asked, over = Asked(), asyncio.Event()
            async with channel(queries) as opened:
                asking = [asyncio.create_task(_ask(opened, asked, over)) for _ in range(QUERIES_AT_ONCE)]
                console.print("[dim]import, with rebuilds of every view beside it")
                importing = asyncio.create_task(_import(directory, commands))
                during: list[Facts] = []
                while not importing.done():
                    await asyncio.wait({importing}, timeout=REST_SECONDS)
                    during.append(await _rebuild(opened))
                    console.print(f"[dim]{during[-1]}", highlight=False)
                over.set()
                await asyncio.gather(*asking)
                commands_done = await importing
                stores = await open_stores(settings)
                try:
                    console.print("[dim]the rest of the projection")
                    await _settled(stores)
                    console.print("[dim]a rebuild of every view beside nothing")
                    alone = await _rebuild(opened)
                    found = await audit(stores)
                finally:
                    await stores.close()
        upserts = bare_upserts(Path(scratch) / "bare.db", alone["events"])
    return {
        "commands": commands_done,
        "during_import": during,
        "alone": alone,
        "bare_upserts_per_second": upserts,
        "ratio_to_upserts": alone["events_per_second"] / upserts,
        "view_events_ratio_to_upserts": alone["events_per_second"] * alone["views"] / upserts,
        "queries": {
            "answers": asked.answers,
            "failed": asked.failures[:10],
            "backwards": asked.backwards[:10],
            "longest_seconds": asked.seconds_max,
        },
        "differences": list(found.differences[:10]),
    }


async def _import(directory: Path, address: str) -> int:
    done = await import_synthea(directory, Target(address, TENANT, None), profile=PROFILES["us"])
    return done.accepted


async def _rebuild(opened: grpc.aio.Channel) -> Facts:
    """Every view, to the switch; events per second are those of the filling."""
    stub: Any = ViewAdminServiceStub(opened)
    metadata = call_metadata(tenant=TENANT, actor=Actor("bench", "system"))
    options: Any = {"metadata": metadata, "timeout": CALL_SECONDS}
    started = time.perf_counter()
    await stub.StartRebuild(pb.StartRebuildRequest(switch_when_equal=True), **options)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        views = (await stub.ListRebuilds(pb.ListRebuildsRequest(), **options)).rebuilds
        if not any(view.wanted for view in views):
            break
    events = max(view.events_done for view in views)
    seconds = max(view.time_taken.ToTimedelta().total_seconds() for view in views)
    return {
        "views": len(views),
        "events": events,
        "events_per_second": round(events / seconds) if seconds else 0,
        "seconds_to_the_switch": round(time.perf_counter() - started, 2),
        "agree": all(view.comparison.agrees for view in views),
        "switched": all(view.phase == pb.REBUILD_PHASE_SWITCHED for view in views),
        "errors": [view.error for view in views if view.error],
    }


async def _ask(opened: grpc.aio.Channel, asked: Asked, over: asyncio.Event) -> None:
    stub: Any = PrescriptionQueryServiceStub(opened)
    metadata = call_metadata(tenant=TENANT, actor=Actor("bench", "auditor"))
    while not over.is_set():
        began = time.perf_counter()
        try:
            request = query_service_pb2.FetchAllPrescriptionsRequest(page_size=50)
            answer = await stub.FetchAllPrescriptions(request, metadata=metadata)
            shown = list(answer.prescriptions)
            for known in [*asked.seen][-3:]:
                single = query_service_pb2.FetchPrescriptionRequest(prescription_id=known)
                before = asked.seen[known]
                one = (await stub.FetchPrescription(single, metadata=metadata)).prescription
                if one.version < before:
                    asked.backwards.append(f"{known}: {one.version} after {before}")
        except grpc.aio.AioRpcError as error:
            asked.failures.append(f"{error.code().name}: {error.details()}")
            continue
        for prescription in shown:
            newest = asked.seen.get(prescription.prescription_id, 0)
            asked.seen[prescription.prescription_id] = max(newest, prescription.version)
        asked.answers += 1
        asked.seconds_max = max(asked.seconds_max, time.perf_counter() - began)


async def _settled(stores: Stores) -> None:
    """Wait until the projector has read the bus to its end."""
    from bootstrap.stores import TOPIC

    ends_at = time.monotonic() + SETTLE_SECONDS
    group = load_settings().consumer_group
    while time.monotonic() < ends_at:
        depth = await stores.outbox.depth()
        ends, committed = await stores.tail.end_offsets(TOPIC), await stores.tail.committed(group, TOPIC)
        if not depth.events and all(committed.get(place, 0) >= end for place, end in ends.items()):
            return
        await asyncio.sleep(LOOK_SECONDS)


def _table(facts: Facts) -> Table:
    table = Table("measure", "value", box=None)
    alone, asked = facts["alone"], facts["queries"]
    table.add_row("commands imported meanwhile", f"{facts['commands']:,}")
    for number, one in enumerate(facts["during_import"], 1):
        told = f"{one['events']:,} events × {one['views']} views, {one['events_per_second']:,} events/s,"
        table.add_row(
            f"rebuild {number} beside the import", f"{told} agree: {one['agree']}, switched: {one['switched']}"
        )
    table.add_row("rebuild alone", f"{alone['events']:,} events × {alone['views']} views")
    table.add_row("  events/s", f"{alone['events_per_second']:,}")
    table.add_row("  old, new and a fresh fold agree", str(alone["agree"]))
    table.add_row("bare upserts/s", f"{facts['bare_upserts_per_second']:,.0f}")
    table.add_row("  events to upserts", f"{facts['ratio_to_upserts']:.3f}")
    table.add_row("  events × views to upserts", f"{facts['view_events_ratio_to_upserts']:.3f}")
    table.add_row("queries answered", f"{asked['answers']:,}, the longest in {asked['longest_seconds']:.2f} s")
    table.add_row("queries failed", str(len(asked["failed"])))
    table.add_row("answers that went backwards", str(len(asked["backwards"])))
    table.add_row("differences found by the audit", str(len(facts["differences"])))
    return table
