"""`erx show`, `erx history`, `erx stats`: answers of the query server as tables, or as JSON for programs."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from bootstrap.cli.clients import metadata, query, run
from bootstrap.cli.printing import console, listing
from bootstrap.settings import Settings
from erx.prescriptions.types.v1 import enums_pb2
from erx.prescriptions.v1 import prescription_pb2, query_service_pb2, statistics_pb2
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub

_HISTORY_PAGE = 200


def show(
    settings: Settings, prescription_id: str, *, at: str | None, recorded: bool, tenant: str, as_json: bool
) -> None:
    """Print one prescription, now or as of a version or a time."""

    async def ask() -> Any:
        async def call(channel: Any) -> Any:
            stub = PrescriptionQueryServiceStub(channel)
            if at is None:
                now = query_service_pb2.FetchPrescriptionRequest(prescription_id=prescription_id)
                return await stub.FetchPrescription(now, metadata=metadata(tenant))
            point = as_of_request(prescription_id, at, recorded=recorded)
            return await stub.FetchAsOf(point, metadata=metadata(tenant))

        return await query(settings, call)

    answer = run(ask)
    if as_json:
        print_json(answer)
        return
    console().print(_prescription_table(answer.prescription))


def as_of_request(prescription_id: str, at: str, *, recorded: bool) -> query_service_pb2.FetchAsOfRequest:
    """``at`` is a version (digits) or an ISO time; without a zone it is UTC."""
    request = query_service_pb2.FetchAsOfRequest(prescription_id=prescription_id)
    if at.isdigit():
        request.version = int(at)
        return request
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise typer.BadParameter(f"{at!r} is neither a version nor an ISO 8601 time", param_hint="--at") from error
    stamp = Timestamp()
    stamp.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    (request.recorded_time if recorded else request.occurred_time).CopyFrom(stamp)
    return request


def history(settings: Settings, prescription_id: str, *, tenant: str, as_json: bool) -> None:
    """Print every event of a prescription: when, what, who."""

    async def ask() -> list[Any]:
        async def call(channel: Any) -> list[Any]:
            stub = PrescriptionQueryServiceStub(channel)
            entries: list[Any] = []
            request = query_service_pb2.FetchHistoryRequest(prescription_id=prescription_id, page_size=_HISTORY_PAGE)
            while True:
                answer = await stub.FetchHistory(request, metadata=metadata(tenant))
                entries += answer.entries
                if not answer.next_page_token:
                    return entries
                request.page_token = answer.next_page_token

        return await query(settings, call)

    entries = run(ask)
    if as_json:
        typer.echo(json.dumps([_plain(entry) for entry in entries], indent=2))
        return
    table = listing("version", "occurred", "recorded", "event", "by", "for")
    for entry in entries:
        e = entry.envelope
        who = f"{e.actor.id} ({e.actor.role})"
        table.add_row(
            str(e.sequence), time_text(e.occurred_at), time_text(e.recorded_at), e.event_type, who, e.actor.organisation
        )
    console().print(table)


def stats(settings: Settings, *, medications: int, tenant: str, as_json: bool) -> None:
    """Print the statistics view."""

    async def ask() -> Any:
        async def call(channel: Any) -> Any:
            request = statistics_pb2.FetchStatisticsRequest(medication_count_max=medications)
            return await PrescriptionQueryServiceStub(channel).FetchStatistics(request, metadata=metadata(tenant))

        return await query(settings, call)

    answer = run(ask)
    if as_json:
        print_json(answer)
        return
    out = console()
    for table in statistics_tables(answer):
        out.print(table)


def statistics_tables(answer: statistics_pb2.FetchStatisticsResponse) -> Iterable[Table]:
    """Totals, statuses, schedules and the medications with the most fills."""
    totals = listing("", "count", title="Totals")
    for name in (
        "prescriptions",
        "issued",
        "fills",
        "partial_dispenses",
        "reversals",
        "cancelled",
        "not_dispensed",
        "expired",
    ):
        totals.add_row(name.replace("_", " "), f"{getattr(answer.totals, name):,}")
    yield totals
    statuses = listing("status", "prescriptions", title="By status")
    for status in answer.statuses:
        statuses.add_row(status_text(status.status), f"{status.prescriptions:,}")
    yield statuses
    schedules = listing("schedule", "prescriptions", title="By schedule")
    for schedule in answer.schedules:
        name = enums_pb2.Schedule.Name(schedule.schedule).removeprefix("SCHEDULE_")
        schedules.add_row(name, f"{schedule.prescriptions:,}")
    yield schedules
    medicines = listing("code", "medication", "prescriptions", "fills", title="By medication")
    for medicine in answer.medications:
        coding = medicine.medication
        text = coding.display or medicine.medication_text
        medicines.add_row(coding.code, text, f"{medicine.prescriptions:,}", f"{medicine.fills:,}")
    yield medicines


def status_text(status: "enums_pb2.PrescriptionStatus.ValueType") -> str:
    """A status as people say it."""
    return enums_pb2.PrescriptionStatus.Name(status).removeprefix("PRESCRIPTION_STATUS_")


def time_text(stamp: Timestamp) -> str:
    """A time to the second, UTC."""
    return stamp.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M:%S")


def print_json(message: Message) -> None:
    """A message as JSON with the proto's field names."""
    typer.echo(json.dumps(_plain(message), indent=2))


def _plain(message: Message) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True)


def _prescription_table(p: prescription_pb2.Prescription) -> Table:
    table = Table.grid(padding=(0, 2))
    medication = p.content.medication_text or ", ".join(c.display or c.code for c in p.content.medication)
    quantity = p.content.quantity
    rows = {
        "prescription": p.prescription_id,
        "status": status_text(p.status),
        "version": str(p.version),
        "medication": medication,
        "quantity": f"{quantity.value.value} {quantity.unit_text or quantity.unit_code}".strip(),
        "patient": p.content.patient_id,
        "prescriber": p.content.prescriber.id,
        "created": time_text(p.create_time),
        "issued": time_text(p.issue_time) if p.HasField("issue_time") else "",
        "expires": time_text(p.expire_time) if p.HasField("expire_time") else "",
        "fills": f"{p.fills_done} done, {p.refills_remaining} refills left",
        "follows": p.content.prior_prescription_id,
        "allowed now": ", ".join(p.allowed_commands) or "nothing",
    }
    for name, value in rows.items():
        if value:
            table.add_row(f"[bold]{name}", value)
    for dispense in p.dispenses:
        amount = f"{dispense.quantity.value.value} {dispense.quantity.unit_text or dispense.quantity.unit_code}".strip()
        table.add_row(f"fill {dispense.fill_number}", f"{time_text(dispense.handover_time)}  {amount}")
    return table
