"""A prescription's content: domain ↔ the message that events carry ↔ the message of the API."""

from uuid import UUID

from erx.prescriptions.events.v3 import content_pb2
from erx.prescriptions.types.v1 import parties_pb2
from erx.prescriptions.v1 import prescription_pb2
from prescriptions.domain.values import ClearPatient, PrescriptionContent, Sealed
from prescriptions.wire import values as w

TOLD_MAX = 4_096
# By identity, because equal numbers may be written differently (1 and 1.0); the content is held, so that its id stays its own.
_TOLD: dict[int, tuple[PrescriptionContent, prescription_pb2.PrescriptionContent]] = {}


def content_to_event(content: PrescriptionContent) -> content_pb2.PrescriptionContent:
    """As stored in events: patient details sealed or left out, never in clear."""
    return content_pb2.PrescriptionContent(
        group_id=content.group_id,
        patient=_patient_to(content.patient_id, content.patient_snapshot),
        prescriber=w.person_to(content.prescriber),
        medication=w.codings_to(content.medication),
        medication_text=content.medication_text,
        schedule=w.SCHEDULE_TO[content.schedule],
        quantity=w.quantity_to(content.quantity),
        days_supply=content.days_supply,
        refills_allowed=content.refills_allowed,
        dosage=w.dosage_to(content.dosage),
        substitution=w.SUBSTITUTION_TO[content.substitution],
        reason=w.coding_to(content.reason),
        earliest_fill=w.date_to(content.earliest_fill),
        prior_prescription_id=str(content.prior_prescription_id) if content.prior_prescription_id else "",
        nominated=w.pharmacy_to(content.nominated),
    )


def content_from_event(message: content_pb2.PrescriptionContent) -> PrescriptionContent:
    """As read from events."""
    return PrescriptionContent(
        patient_id=message.patient.patient_id,
        prescriber=w.person_from(message.prescriber),
        quantity=w.quantity_from(message.quantity),
        medication=w.codings_from(message.medication),
        medication_text=message.medication_text,
        schedule=w.SCHEDULE_FROM[message.schedule],
        days_supply=message.days_supply if message.HasField("days_supply") else None,
        refills_allowed=message.refills_allowed,
        dosage=w.dosage_from(message.dosage),
        substitution=w.SUBSTITUTION_FROM[message.substitution],
        reason=w.coding_from(message.reason) if message.HasField("reason") else None,
        earliest_fill=w.date_from(message.earliest_fill) if message.HasField("earliest_fill") else None,
        nominated=w.pharmacy_from(message.nominated) if message.HasField("nominated") else None,
        group_id=message.group_id,
        prior_prescription_id=UUID(message.prior_prescription_id) if message.prior_prescription_id else None,
        patient_snapshot=_snapshot_from(message.patient),
    )


def content_to_reply(content: PrescriptionContent) -> prescription_pb2.PrescriptionContent:
    """As sent to callers. To be copied from, not to be changed: one content gives the same message again and again."""
    kept = _TOLD.get(id(content))
    if kept is not None and kept[0] is content:
        return kept[1]
    if len(_TOLD) >= TOLD_MAX:
        _TOLD.clear()
    message = _to_reply(content)
    _TOLD[id(content)] = (content, message)
    return message


def _to_reply(content: PrescriptionContent) -> prescription_pb2.PrescriptionContent:
    return prescription_pb2.PrescriptionContent(
        group_id=content.group_id,
        patient_id=content.patient_id,
        prescriber=w.person_to(content.prescriber),
        medication=w.codings_to(content.medication),
        medication_text=content.medication_text,
        schedule=w.SCHEDULE_TO[content.schedule],
        quantity=w.quantity_to(content.quantity),
        days_supply=content.days_supply,
        refills_allowed=content.refills_allowed,
        dosage=w.dosage_to(content.dosage),
        substitution=w.SUBSTITUTION_TO[content.substitution],
        reason=w.coding_to(content.reason),
        earliest_fill=w.date_to(content.earliest_fill),
        prior_prescription_id=str(content.prior_prescription_id) if content.prior_prescription_id else "",
        nominated=w.pharmacy_to(content.nominated),
    )


def _patient_to(patient_id: str, snapshot: Sealed | ClearPatient | None) -> parties_pb2.Patient:
    match snapshot:
        case None:
            return parties_pb2.Patient(patient_id=patient_id, reference_only=parties_pb2.PatientReferenceOnly())
        case Sealed(key_id, ciphertext, nonce):
            sealed = parties_pb2.Sealed(key_id=key_id, ciphertext=ciphertext, nonce=nonce)
            return parties_pb2.Patient(patient_id=patient_id, sealed=sealed)
        case ClearPatient():
            raise ValueError("patient details in clear are only read from old events, never written")


def _snapshot_from(message: parties_pb2.Patient) -> Sealed | ClearPatient | None:
    match message.WhichOneof("snapshot"):
        case "sealed":
            return w.sealed_from(message.sealed)
        case "clear":
            clear = message.clear
            born = w.date_from(clear.birth_date) if clear.HasField("birth_date") else None
            return ClearPatient(clear.name, born, clear.birth_date_text)
        case _:
            return None
