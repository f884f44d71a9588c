"""What rows of views are told as: records of the views ↔ messages of the query service."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from erx.eventlog.v1 import envelope_pb2
from erx.prescriptions.events.v3 import event_pb2
from erx.prescriptions.v1 import query_service_pb2
from erx.prescriptions.v1.prescription_pb2 import Prescription
from eventkernel.envelope import RecordedEvent
from prescriptions.domain.events import Event, PrescriptionAmended, PrescriptionCreated
from prescriptions.domain.table import TABLE
from prescriptions.domain.values import ClearPatient
from prescriptions.views.record import Happened, PrescriptionRecord, without_patient
from prescriptions.views.supply import may_be_filled, pharmacy_key, refill_date, runs_out
from prescriptions.wire import values as w
from prescriptions.wire.events import PrescriptionEventCodec, message_class, newest_of
from prescriptions.wire.replies import dispense_to, prescription_to

MESSAGES_MAX = 4_096
"""Messages kept, so that what is asked often is not made again."""

_HANDED_OUT = (Happened.PART, Happened.FILL)
_CODEC = PrescriptionEventCodec()
_WRITTEN = frozenset({"PrescriptionCreated", "PrescriptionAmended"})
_EVENT_FIELDS = {
    field.message_type.full_name: field.name
    for field in event_pb2.PrescriptionEvent.DESCRIPTOR.fields
    if field.message_type is not None
}


@lru_cache(MESSAGES_MAX)
def record_to(record: PrescriptionRecord) -> Prescription:
    """The prescription as command replies tell it, and the dispenses that were undone.

    Kept by the record: equal bytes of rows are one record, and one message. Put it into replies, which copies it; never
    change it.
    """
    if record.created_at is None or record.occurred_at is None or record.recorded_at is None:
        raise ValueError("a record without events is no prescription")
    message = prescription_to(
        record.state,
        prescription_id=record.prescription_id,
        version=record.version,
        created_at=record.created_at,
        occurred_at=record.occurred_at,
        recorded_at=record.recorded_at,
        allowed=TABLE.allowed(record.state.status),
    )
    if record.state.signature is None:
        message.content_sha256 = record.content_sha256
    if record.reversed_dispenses:
        _add_undone(message, record)
    return message


def _add_undone(message: Prescription, record: PrescriptionRecord) -> None:
    """Put the undone dispenses among the others, in the order in which they were made."""
    handed_out = [str(moment.dispense_id) for moment in record.moments if moment.what in _HANDED_OUT]
    for dispense in record.reversed_dispenses:
        undone = dispense_to(dispense)
        undone.reversed = True
        message.dispenses.append(undone)
    message.dispenses.sort(key=lambda dispense: handed_out.index(dispense.dispense_id))


def medication_to(
    current: PrescriptionRecord,
    last: PrescriptionRecord | None,
    prescription_ids: Sequence[str],
    *,
    text: str,
    active: bool,
    updated_at: datetime,
    today: date,
) -> query_service_pb2.MedicationListEntry:
    """One medication: ``current`` is the prescription to go by, ``last`` the one that was dispensed last, if any was."""
    state = current.state
    content = state.written
    dispense = last.state.dispenses[-1] if last else None
    end = runs_out(last.state.written, dispense) if last and dispense else None
    refill = refill_date(last.state.written, dispense) if last and dispense and may_be_filled(state) else None
    return query_service_pb2.MedicationListEntry(
        medication=w.coding_to(content.medication[0] if content.medication else None),
        medication_text=text,
        prescription_ids=prescription_ids,
        current_prescription_id=current.prescription_id,
        status=w.STATUS_TO[state.status],
        active=active,
        dosage=w.dosage_to(content.dosage),
        prescriber=w.person_to(content.prescriber),
        last_dispense=dispense_to(dispense) if dispense else None,
        refills_remaining=max(state.refills_remaining, 0),
        next_refill_date=w.date_to(refill),
        days_left=max((end - today).days, 0) if end else None,
        expire_time=w.time_to(state.expires_at),
        update_time=w.time_to(updated_at),
    )


def queue_entry_to(
    record: PrescriptionRecord, bucket: query_service_pb2.QueueBucket.ValueType, due_at: datetime, pharmacy_id: str
) -> query_service_pb2.PharmacyQueueEntry:
    """One entry of this pharmacy's queue. Who it is for is told where the pharmacy holds it, is meant, or dispensed it last."""
    state = record.state
    content = state.written
    claim = state.claim
    nominated = pharmacy_key(state.nominated) == pharmacy_id
    dispensed_here = bool(state.dispenses) and pharmacy_key(state.dispenses[-1].pharmacy) == pharmacy_id
    may_know = claim is not None or nominated or dispensed_here
    return query_service_pb2.PharmacyQueueEntry(
        bucket=bucket,
        due_time=w.time_to(due_at),
        prescription_id=record.prescription_id,
        status=w.STATUS_TO[state.status],
        version=record.version,
        patient_id=content.patient_id if may_know else "",
        medication=w.codings_to(content.medication),
        medication_text=content.medication_text,
        schedule=w.SCHEDULE_TO[content.schedule],
        quantity_remaining_this_fill=w.quantity_to(content.quantity.of(state.remaining_this_fill)),
        nominated=nominated,
        fill_number=state.fills_done,
        expire_time=w.time_to(state.expires_at),
        claim_time=w.time_to(claim.claimed_at) if claim else None,
        update_time=w.time_to(record.occurred_at),
    )


def history_entry_to(event: RecordedEvent, context: str, meant: Event | None = None) -> query_service_pb2.HistoryEntry:
    """An event with its envelope. ``meant``: what one in an older shape means in its stream, where that is known.

    Raises ``EventUnreadable`` for one that this program cannot read.
    """
    meta, origin = event.meta, event.meta.provenance
    envelope = envelope_pb2.Envelope(
        event_id=str(event.event_id),
        aggregate_id=event.stream.id,
        tenant=event.stream.tenant,
        context=context,
        sequence=event.version,
        event_type=event.type,
        schema_version=event.schema_version,
        occurred_at=w.time_to(meta.occurred_at),
        recorded_at=w.time_to(meta.recorded_at),
        actor=envelope_pb2.Actor(id=origin.actor.id, role=origin.actor.role, organisation=origin.actor.organisation),
        purpose_of_use=origin.purpose_of_use,
        command_id=str(meta.command_id),
        correlation_id=origin.correlation_id,
        causation_id=origin.causation_id,
        traceparent=origin.traceparent,
        payload=event.data,
        payload_type=_CODEC.wire_name(event.type, event.schema_version),
        stream=event.stream.name,
    )
    return query_service_pb2.HistoryEntry(envelope=envelope, event=newest_shape(event, meant))


def newest_shape(event: RecordedEvent, meant: Event | None = None) -> event_pb2.PrescriptionEvent:
    """The event as it would be written today, which is without a patient's details in clear."""
    if event.schema_version == newest_of(event.type):
        name, data = event.type, event.data
        _CODEC.decode(event.type, event.schema_version, data)
    else:
        decoded = meant or _CODEC.decode(event.type, event.schema_version, event.data)
        match decoded:
            case PrescriptionCreated(content) | PrescriptionAmended(content) if isinstance(
                content.patient_snapshot, ClearPatient
            ):
                decoded = replace(decoded, content=without_patient(content))
            case _:
                pass
        encoded = _CODEC.encode(decoded)
        name, data = encoded.type, encoded.data
    message: Any = message_class(name, newest_of(name)).FromString(data)
    if name in _WRITTEN and message.content.patient.HasField("clear"):
        message.content.patient.reference_only.SetInParent()
    fields: dict[str, Any] = {_EVENT_FIELDS[message.DESCRIPTOR.full_name]: message}
    return event_pb2.PrescriptionEvent(**fields)
