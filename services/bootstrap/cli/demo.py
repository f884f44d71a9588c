"""`erx demo`: the whole loop on real prescriptions, with a check that both sides agree."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from bootstrap import logs
from bootstrap.audit import Audit, audit
from bootstrap.cli.auditing import SHOWN_MAX, summary
from bootstrap.cli.importing import print_report, target_of, with_progress
from bootstrap.cli.printing import console
from bootstrap.cli.reading import statistics_tables, status_text, time_text
from bootstrap.local_stack import with_local_stack
from bootstrap.metrics import Metrics
from bootstrap.process import Process
from bootstrap.roles import ROLES, components
from bootstrap.settings import Settings, SettingsError, load
from bootstrap.stores import Stores, open_stores
from erx.prescriptions.v1 import lifecycle_commands_pb2, query_service_pb2, statistics_pb2
from erx.prescriptions.v1.command_service_pb2_grpc import PrescriptionCommandServiceStub
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub
from eventkernel.envelope import Actor
from eventkernel.errors import KernelError
from eventkernel.ids import DEFAULT_TENANT
from eventkernel.runtime.components import run_until_stopped
from eventkernel_grpc import RemoteError, call_metadata, channel, remote_errors
from prescriptions.imports.errors import ImportRefused
from prescriptions.imports.imports import STILL_SECONDS, import_synthea, verify_synthea
from prescriptions.imports.report import ImportReport

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = Path(__file__).parent.parent / "samples" / "synthea"
MEDICATIONS_SHOWN = 8
DEMO_REQUEST = "5c1b7d1e-0000-4000-8000-00000000de30"


@dataclass(frozen=True, slots=True)
class Said:
    """Where the servers of the demo listen."""

    command: str
    query: str


def demo(settings: Settings) -> None:
    """Serve, import, read, compare; exit code 1 where the read side disagrees with what went in.

    On the embedded store it has a folder of its own, made anew; on the real stack a tenant of its own, where a second run finds
    what the first one brought.
    """
    settings = with_local_stack(settings)
    folder = settings.data_dir
    if settings.store == "embedded":
        folder /= "demo"
        shutil.rmtree(folder, ignore_errors=True)
    own = load(
        **{
            **settings.model_dump(exclude_unset=True),
            "data_dir": folder,
            "command_address": "127.0.0.1:0",
            "query_address": "127.0.0.1:0",
            "log_level": "warning",
        }
    )
    logs.configure(own)
    try:
        agrees = asyncio.run(_run(own, console()))
    except (KernelError, SettingsError, ImportRefused) as error:
        typer.secho(f"demo: {error}", err=True, fg="red")
        raise typer.Exit(1) from error
    if not agrees:
        raise typer.Exit(1)


async def _run(settings: Settings, console: Console) -> bool:
    stop = asyncio.Event()
    stores = await open_stores(settings)
    heard: dict[str, str] = {}

    def said(line: str) -> None:
        name, _, address = line.partition(" server on ")
        heard[name] = address

    process = Process(settings, stores, Metrics(), failed=stop, said=said)
    story = _Story(settings, stores, console, heard, stop)
    try:
        await run_until_stopped([*components(process, list(ROLES)), story], stop)
    finally:
        await stores.close()
    return story.agrees


class _Story:
    """The last component: starts telling when everything before it serves, and stops the process at the end."""

    name = "story"

    def __init__(
        self, settings: Settings, stores: Stores, console: Console, heard: dict[str, str], stop: asyncio.Event
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._console = console
        self._tenant = tenant_of(settings)
        self._heard = heard
        self._stop = stop
        self._telling: asyncio.Task[None] | None = None
        self.agrees = False

    async def start(self) -> None:
        """Begin."""
        self._telling = asyncio.create_task(self._tell())
        self._telling.add_done_callback(lambda _: self._stop.set())

    async def stop(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._telling is not None:
            await self._telling

    async def _tell(self) -> None:
        console, servers = self._console, Said(self._heard["command"], self._heard["query"])
        console.print(f"Servers: commands on {servers.command}, queries on {servers.query}, {where(self._settings)}")
        console.print(
            f"\n[bold]1. Import[/] {sum(1 for _ in (SAMPLE / 'medications.csv').open()) - 1} medication rows of Synthea"
        )
        done = await self._import(servers)
        console.print("\n[bold]2. Read side[/], once the events have come through outbox, relay and bus")
        different = await verify_synthea(SAMPLE, target_of(self._settings, servers.query, self._tenant))
        async with channel(servers.query) as queries, channel(servers.command) as commands:
            answer = await self._statistics(queries)
            different += _sums(done, answer)
            console.print("\n[bold]3. One prescription[/], now, as of before, and refused")
            prescription_id = await self._one(PrescriptionQueryServiceStub(queries))
            await self._refusal(PrescriptionCommandServiceStub(commands), prescription_id)
        audited = await self._audit(patient=not different)
        different += audited.differences
        self.agrees = done.complete and not different
        if self.agrees:
            console.print(
                f"\n[green bold]The counts agree[/]: {answer.totals.prescriptions:,} prescriptions,"
                f" {answer.totals.fills:,} fills on both sides."
            )
        console.print(f"Folded anew and compared: {summary(audited)}.", soft_wrap=True)
        for line in different[:SHOWN_MAX]:
            console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        _farewell(console, self._settings, prescription_id)

    async def _import(self, servers: Said) -> ImportReport:
        target = target_of(self._settings, servers.command, self._tenant)
        done = await with_progress(lambda tell: import_synthea(SAMPLE, target, progress=tell), Console(stderr=True))
        print_report(done, self._console)
        return done

    async def _audit(self, *, patient: bool) -> Audit:
        """Fold everything anew and compare, a little later again where the last events may still be on their way."""
        ends_at = asyncio.get_running_loop().time() + (STILL_SECONDS if patient else 0)
        while True:
            found = await audit(self._stores)
            if not found.differences or asyncio.get_running_loop().time() >= ends_at:
                return found
            await asyncio.sleep(0.2)

    async def _statistics(self, queries: Any) -> statistics_pb2.FetchStatisticsResponse:
        request = statistics_pb2.FetchStatisticsRequest(medication_count_max=MEDICATIONS_SHOWN)
        stub = PrescriptionQueryServiceStub(queries)
        answer: statistics_pb2.FetchStatisticsResponse = await stub.FetchStatistics(
            request, metadata=_caller(self._tenant)
        )
        for table in statistics_tables(answer):
            self._console.print(table)
        return answer

    async def _one(self, queries: Any) -> str:
        listed = await queries.FetchAllPrescriptions(
            query_service_pb2.FetchAllPrescriptionsRequest(page_size=1), metadata=_caller(self._tenant)
        )
        prescription_id: str = listed.prescriptions[0].prescription_id
        now = await queries.FetchPrescription(
            query_service_pb2.FetchPrescriptionRequest(prescription_id=prescription_id), metadata=_caller(self._tenant)
        )
        before = await queries.FetchAsOf(
            query_service_pb2.FetchAsOfRequest(prescription_id=prescription_id, version=2),
            metadata=_caller(self._tenant),
        )
        for when, answer in (("now", now.prescription), ("as of version 2", before.prescription)):
            self._console.print(
                f"   {when}: {prescription_id} version {answer.version},"
                f" {status_text(answer.status)}, {answer.fills_done} fills done, updated {time_text(answer.update_time)}"
            )
        return prescription_id

    async def _refusal(self, commands: Any, prescription_id: str) -> None:
        request = lifecycle_commands_pb2.SignPrescriptionRequest(
            request_id=DEMO_REQUEST,
            prescription_id=prescription_id,
            content_sha256=bytes(32),
            signature=b"-",
            algorithm="none",
            certificate_id="none",
        )
        try:
            with remote_errors():
                await commands.SignPrescription(request, metadata=_caller(self._tenant, "prescriber"))
        except RemoteError as error:
            self._console.print(f"   signing it again is refused: {error.code.name} {error.reason}: {error.message}")


def _sums(done: ImportReport, answer: statistics_pb2.FetchStatisticsResponse) -> tuple[str, ...]:
    pairs: Sequence[tuple[str, int, int]] = (
        ("prescriptions", done.prescriptions, answer.totals.prescriptions),
        ("fills", done.fills, answer.totals.fills),
    )
    return tuple(f"{name}: {sent:,} went in, the read side says {read:,}" for name, sent, read in pairs if sent != read)


def where(settings: Settings) -> str:
    """Where the data is, for people."""
    if settings.store == "embedded":
        return f"data in {settings.data_dir}"
    return f"on Cassandra {settings.cassandra_contact_points}, Kafka {settings.kafka_bootstrap_servers} and PostgreSQL"


def tenant_of(settings: Settings) -> str:
    """The embedded demo has a folder of its own and needs no tenant of its own."""
    return DEFAULT_TENANT if settings.store == "embedded" else "demo"


def _caller(tenant: str, role: str = "auditor") -> Any:
    return call_metadata(tenant=tenant, actor=Actor(id="demo", role=role))


def _farewell(console: Console, settings: Settings, prescription_id: str) -> None:
    service = "erx.prescriptions.v1.PrescriptionQueryService"
    embedded = settings.store == "embedded"
    serve = f"{'' if embedded else '--store stack '}--data {settings.data_dir}"
    ask = "grpcurl -plaintext" if embedded else f"grpcurl -plaintext -H 'erx-tenant: {tenant_of(settings)}'"
    console.print("\n[bold]4. Try it[/]: serve what was imported, and ask with grpcurl", highlight=False)
    for line in (
        f"./erx serve {serve}",
        "grpcurl -plaintext 127.0.0.1:50052 list",
        f"grpcurl -plaintext 127.0.0.1:50052 describe {service}",
        f'{ask} -d \'{{"prescription_id": "{prescription_id}"}}\' 127.0.0.1:50052 {service}/FetchPrescription',
        f'{ask} -d \'{{"page_size": 3, "include_total": true}}\' 127.0.0.1:50052 {service}/FetchAllPrescriptions',
    ):
        console.print(f"   {line}", highlight=False, soft_wrap=True, markup=False)
