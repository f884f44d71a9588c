"""The two imports, from files to a report. Nothing is sent before all files are read, checked and planned."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import grpc

from erx.prescriptions.v1 import statistics_pb2
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub
from eventkernel.envelope import Actor
from eventkernel_grpc.client import ChannelSettings
from eventkernel_grpc.credentials import ClientTls
from eventkernel_grpc.metadata import call_metadata
from prescriptions.domain.profiles import US, Profile
from prescriptions.imports.expectations import MEDICATIONS_MAX, differences, expected_of
from prescriptions.imports.fhir import read_fhir
from prescriptions.imports.fhir_outcome import FhirPlan
from prescriptions.imports.fhir_plan import plan_fhir
from prescriptions.imports.fill_times import OPEN_ROWS_END
from prescriptions.imports.plan import IMPORT_ROLE, PlannedPrescription
from prescriptions.imports.report import ImportReport, OnAcknowledged, OnProgress
from prescriptions.imports.schedules import shipped_schedules
from prescriptions.imports.sender import Sender, SendLimits
from prescriptions.imports.synthea import read_synthea
from prescriptions.imports.synthea_plan import SyntheaRules, plan_synthea

CHANNELS = 2
STILL_SECONDS = 5.0
RECONNECT_MILLISECONDS = 1_000
"""How often a server that went away is looked for; left to itself grpc waits up to two minutes."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where commands or queries go: ``address`` as gRPC names it, and TLS where it is spoken."""

    address: str
    tenant: str = ""
    tls: ClientTls | None = None


async def import_synthea(
    directory: Path,
    target: Target,
    *,
    profile: Profile = US,
    open_rows_end: datetime = OPEN_ROWS_END,
    limits: SendLimits | None = None,
    progress: OnProgress | None = None,
    acknowledged: OnAcknowledged | None = None,
) -> ImportReport:
    """Import a Synthea CSV export. Raises ``InputRefused`` before anything is sent, ``TargetLost`` when the service is gone.

    Running it again changes nothing: every id is made from the rows.
    """
    rules = SyntheaRules(shipped_schedules(), profile, open_rows_end)
    rows, plans = await asyncio.to_thread(_plan_synthea, directory, rules)
    return await _send(plans, target, sources=rows, limits=limits, progress=progress, acknowledged=acknowledged)


async def import_fhir(
    directory: Path,
    target: Target,
    *,
    profile: Profile = US,
    limits: SendLimits | None = None,
    progress: OnProgress | None = None,
    acknowledged: OnAcknowledged | None = None,
) -> ImportReport:
    """Import FHIR R4 MedicationRequests and MedicationDispenses, one JSON file each. The report has every file's outcome."""
    plan = await asyncio.to_thread(_plan_fhir, directory, profile)
    sources = len(plan.outcomes)
    report = await _send(
        plan.prescriptions, target, sources=sources, limits=limits, progress=progress, acknowledged=acknowledged
    )
    return replace(report, files=plan.outcomes)


async def verify_synthea(
    directory: Path, target: Target, *, deadline_seconds: float = 60.0, still_seconds: float = STILL_SECONDS
) -> tuple[str, ...]:
    """Compare the query service's statistics with the file: nothing when they agree, else what differs.

    It waits for the read side as long as that moves on: until the deadline, or until it has applied all that is on the bus
    and has shown the same for ``still_seconds``.
    """
    rows = await asyncio.to_thread(read_synthea, directory, shipped_schedules())
    expected = expected_of(rows)
    request = statistics_pb2.FetchStatisticsRequest(medication_count_max=MEDICATIONS_MAX)
    metadata = call_metadata(tenant=target.tenant, actor=Actor(id="import", role=IMPORT_ROLE))
    now = asyncio.get_running_loop().time
    before: tuple[str, ...] = ()
    changed_at, ends_at = now(), now() + deadline_seconds
    async with _channels(target, 1) as (channel,):
        stub = PrescriptionQueryServiceStub(channel)
        while True:
            statistics = await stub.FetchStatistics(request, metadata=metadata, timeout=deadline_seconds)
            found = differences(expected, statistics)
            caught_up = statistics.as_of.HasField("events_behind") and statistics.as_of.events_behind == 0
            if found != before or not caught_up:
                before, changed_at = found, now()
            if not found or now() >= min(ends_at, changed_at + still_seconds):
                return found
            await asyncio.sleep(0.2)


def _plan_synthea(directory: Path, rules: SyntheaRules) -> tuple[int, tuple[PlannedPrescription, ...]]:
    rows = read_synthea(directory, rules.schedules)
    return len(rows), tuple(plan_synthea(rows, rules))


def _plan_fhir(directory: Path, profile: Profile) -> FhirPlan:
    return plan_fhir(read_fhir(directory), shipped_schedules(), profile)


async def _send(
    plans: tuple[PlannedPrescription, ...],
    target: Target,
    *,
    sources: int,
    limits: SendLimits | None,
    progress: OnProgress | None,
    acknowledged: OnAcknowledged | None,
) -> ImportReport:
    async with _channels(target, CHANNELS) as channels:
        sender = Sender(channels, target=target.address, tenant=target.tenant, limits=limits, acknowledged=acknowledged)
        return await sender.send(plans, sources=sources, progress=progress)


@asynccontextmanager
async def _channels(target: Target, count: int) -> AsyncIterator[tuple[grpc.aio.Channel, ...]]:
    # Retries are the sender's alone, and channels to one address share a connection unless each has a pool of its own.
    options = [
        *ChannelSettings(attempts_max=1).options(),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MILLISECONDS),
    ]
    credentials = target.tls.credentials() if target.tls else None
    async with AsyncExitStack() as stack:
        channels = []
        for _ in range(count):
            if credentials is None:
                channel = grpc.aio.insecure_channel(target.address, options=options)
            else:
                channel = grpc.aio.secure_channel(target.address, credentials, options=options)
            channels.append(await stack.enter_async_context(channel))
        yield tuple(channels)
