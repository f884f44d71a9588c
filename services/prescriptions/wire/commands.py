"""Requests as commands: what the command service hands to the decider."""

from collections.abc import Callable
from decimal import InvalidOperation
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from erx.prescriptions.v1 import dispensing_commands_pb2 as d
from erx.prescriptions.v1 import lifecycle_commands_pb2 as lc
from erx.prescriptions.v1 import prescription_pb2
from eventkernel.errors import InvalidCommand
from prescriptions.domain import commands as c
from prescriptions.domain.values import PrescriptionContent, Reason
from prescriptions.wire import values as w


def command_from(request: Message) -> c.Command:
    """The command of a request. Raises ``InvalidCommand`` for a value that no field's shape forbids but that is none."""
    try:
        return _READERS[type(request)](request)
    except InvalidOperation as error:
        raise InvalidCommand("quantity.value", "must be a plain decimal number") from error


def _content(m: prescription_pb2.PrescriptionContent) -> PrescriptionContent:
    try:
        earliest = w.date_from(m.earliest_fill) if m.HasField("earliest_fill") else None
    except ValueError as error:
        raise InvalidCommand("content.earliest_fill", f"is not a day of the calendar: {error}") from error
    return PrescriptionContent(
        patient_id=m.patient_id,
        prescriber=w.person_from(m.prescriber),
        quantity=w.quantity_from(m.quantity),
        medication=w.codings_from(m.medication),
        medication_text=m.medication_text,
        schedule=w.SCHEDULE_FROM[m.schedule],
        days_supply=m.days_supply if m.HasField("days_supply") else None,
        refills_allowed=m.refills_allowed,
        dosage=w.dosage_from(m.dosage),
        substitution=w.SUBSTITUTION_FROM[m.substitution],
        reason=w.coding_from(m.reason) if m.HasField("reason") else None,
        earliest_fill=earliest,
        nominated=w.pharmacy_from(m.nominated) if m.HasField("nominated") else None,
        group_id=m.group_id,
        prior_prescription_id=UUID(m.prior_prescription_id) if m.prior_prescription_id else None,
    )


def _reason(m: Any) -> Reason:
    return w.reason_from(m.reason)


def _create(m: lc.CreatePrescriptionRequest) -> c.Command:
    return c.CreatePrescription(_content(m.content))


def _amend(m: lc.AmendPrescriptionRequest) -> c.Command:
    return c.AmendPrescription(_content(m.content), m.change_note)


def _sign(m: lc.SignPrescriptionRequest) -> c.Command:
    factors = tuple(w.FACTOR_FROM[factor] for factor in m.factors)
    return c.SignPrescription(m.content_sha256, m.signature, m.algorithm, m.certificate_id, factors)


def _issue(m: lc.IssuePrescriptionRequest) -> c.Command:
    return c.IssuePrescription(w.pharmacy_from(m.nominated) if m.HasField("nominated") else None)


def _nominate(m: lc.NominatePharmacyRequest) -> c.Command:
    return c.NominatePharmacy(w.pharmacy_from(m.pharmacy))


def _claim(m: d.ClaimPrescriptionRequest) -> c.Command:
    return c.ClaimPrescription(w.pharmacy_from(m.pharmacy))


def _return(m: d.ReturnPrescriptionRequest) -> c.Command:
    return c.ReturnPrescription(m.claim_token, _reason(m))


def _dispense_fields(m: d.DispensePartiallyRequest | d.DispenseMedicationRequest) -> dict[str, Any]:
    return {
        "claim_token": m.claim_token,
        "dispense_id": UUID(m.dispense_id),
        "quantity": w.quantity_from(m.quantity),
        "product": w.codings_from(m.product),
        "days_supply": m.days_supply if m.HasField("days_supply") else None,
        "lot": m.lot,
        "pharmacist": w.person_from(m.pharmacist) if m.HasField("pharmacist") else None,
        "partial_reason": w.PARTIAL_FROM[m.partial_reason] if m.partial_reason else None,
    }


def _dispense_partially(m: d.DispensePartiallyRequest) -> c.Command:
    return c.DispensePartially(**_dispense_fields(m))


def _dispense(m: d.DispenseMedicationRequest) -> c.Command:
    short = w.reason_from(m.short_close_reason) if m.HasField("short_close_reason") else None
    return c.DispenseMedication(**_dispense_fields(m), short_close=m.short_close, short_close_reason=short)


def _not_dispensed(m: d.RecordNotDispensedRequest) -> c.Command:
    return c.RecordNotDispensed(m.claim_token, _reason(m), m.returned_to_stock)


def _reverse(m: d.ReverseDispenseRequest) -> c.Command:
    return c.ReverseDispense(w.pharmacy_from(m.pharmacy), UUID(m.dispense_id), _reason(m))


def _cancel(m: lc.CancelPrescriptionRequest) -> c.Command:
    return c.CancelPrescription(_reason(m))


def _suspend(m: lc.SuspendPrescriptionRequest) -> c.Command:
    try:
        until = w.date_from(m.until) if m.HasField("until") else None
    except ValueError as error:
        raise InvalidCommand("until", f"is not a day of the calendar: {error}") from error
    return c.SuspendPrescription(_reason(m), until)


def _resume(m: lc.ResumePrescriptionRequest) -> c.Command:
    return c.ResumePrescription(_reason(m))


def _expire(_: lc.ExpirePrescriptionRequest) -> c.Command:
    return c.ExpirePrescription()


def _mark_error(m: lc.MarkEnteredInErrorRequest) -> c.Command:
    return c.MarkEnteredInError(_reason(m))


_READERS: dict[type[Message], Callable[[Any], c.Command]] = {
    lc.CreatePrescriptionRequest: _create,
    lc.AmendPrescriptionRequest: _amend,
    lc.SignPrescriptionRequest: _sign,
    lc.IssuePrescriptionRequest: _issue,
    lc.NominatePharmacyRequest: _nominate,
    d.ClaimPrescriptionRequest: _claim,
    d.ReturnPrescriptionRequest: _return,
    d.DispensePartiallyRequest: _dispense_partially,
    d.DispenseMedicationRequest: _dispense,
    d.RecordNotDispensedRequest: _not_dispensed,
    d.ReverseDispenseRequest: _reverse,
    lc.CancelPrescriptionRequest: _cancel,
    lc.SuspendPrescriptionRequest: _suspend,
    lc.ResumePrescriptionRequest: _resume,
    lc.ExpirePrescriptionRequest: _expire,
    lc.MarkEnteredInErrorRequest: _mark_error,
}
