"""What rows of worklists and of dispenses are told as."""

from datetime import date, datetime

from erx.prescriptions.v1 import dispenses_pb2, worklists_pb2
from eventkernel.filters import Row
from prescriptions.domain.state import Dispense
from prescriptions.views.record import PrescriptionRecord
from prescriptions.wire import values as w
from prescriptions.wire.replies import dispense_to


def inbox_entry_to(
    record: PrescriptionRecord, task: worklists_pb2.InboxTask.ValueType, since: datetime
) -> worklists_pb2.PrescriberInboxEntry:
    """One entry of its author's inbox."""
    state = record.state
    content = state.written
    return worklists_pb2.PrescriberInboxEntry(
        task=task,
        since_time=w.time_to(since),
        prescription_id=record.prescription_id,
        status=w.STATUS_TO[state.status],
        version=record.version,
        patient_id=content.patient_id,
        medication=w.codings_to(content.medication),
        medication_text=content.medication_text,
        schedule=w.SCHEDULE_TO[content.schedule],
        content_sha256=record.content_sha256,
        nominated_pharmacy=w.pharmacy_to(state.nominated or content.nominated),
        expire_time=w.time_to(state.expires_at),
        update_time=w.time_to(record.occurred_at),
    )


def due_refill_to(record: PrescriptionRecord, due: date, runs_out: date) -> worklists_pb2.DueRefill:
    """One refill and why it is due."""
    state = record.state
    content = state.written
    return worklists_pb2.DueRefill(
        due_date=w.date_to(due),
        run_out_date=w.date_to(runs_out),
        prescription_id=record.prescription_id,
        version=record.version,
        patient_id=content.patient_id,
        medication=w.codings_to(content.medication),
        medication_text=content.medication_text,
        schedule=w.SCHEDULE_TO[content.schedule],
        prescriber=w.person_to(content.prescriber),
        nominated_pharmacy=w.pharmacy_to(state.nominated),
        last_dispense=dispense_to(state.dispenses[-1]),
        quantity=w.quantity_to(content.quantity),
        refills_remaining=max(state.refills_remaining, 0),
        expire_time=w.time_to(state.expires_at),
    )


def dispense_fact_to(row: Row, dispense: Dispense) -> dispenses_pb2.DispenseFact:
    """One dispense and whose it was."""
    told = dispense_to(dispense)
    told.reversed = row["reversed"]
    return dispenses_pb2.DispenseFact(
        prescription_id=row["prescription_id"],
        patient_id=row["patient_id"],
        prescriber_id=row["prescriber_id"],
        dispense=told,
        dispense_time=w.time_to(row["dispensed_at"]),
        reverse_time=w.time_to(row["reversed_at"]),
        medication_text=row["medication_text"],
    )
