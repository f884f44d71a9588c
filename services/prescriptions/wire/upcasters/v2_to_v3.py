"""From the second version to the third: units and reasons as codes, an end as a moment, sealed patients, numbered fills.

- A unit becomes a code of UCUM or of HL7's orderable drug forms, where it is one of those that the second version had.
- A reason's code becomes a coding in the second version's own system, ``OTHER`` too; texts stay beside it.
- A last day becomes the moment at which it is over, in ``EXPIRY_ZONE``, whatever zone the reader is in.
- A National Drug Code of 5-4-2 digits becomes one of 6-4-2 (91 FR 10749); what was written stays as a coding of its own.
- Patient data stays as it is, in clear: bytes already written are not sealed by reading them.
- The number of a fill, and what hangs on it, comes from the events before (``fills``); without them it stays unknown.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.decimal_pb2 import Decimal

from erx.prescriptions.events.v2 import content_pb2 as c2
from erx.prescriptions.events.v2 import dispensing_pb2 as d2
from erx.prescriptions.events.v2 import lifecycle_pb2 as l2
from erx.prescriptions.events.v2 import values_pb2 as v2
from erx.prescriptions.events.v3 import content_pb2 as c3
from erx.prescriptions.events.v3 import dispensing_pb2 as d3
from erx.prescriptions.events.v3 import lifecycle_pb2 as l3
from erx.prescriptions.types.v1 import parties_pb2 as p
from erx.prescriptions.types.v1 import values_pb2 as t
from eventkernel.envelope import to_micros
from eventkernel.upcasting import Step
from prescriptions.wire.optional import given
from prescriptions.wire.upcasters.fills import FILLS, Fills

EXPIRY_ZONE: Final = UTC
"""``Etc/UTC``, the zone in which the second version counted days. It is part of that version and never a setting."""

UCUM: Final = "http://unitsofmeasure.org"
DRUG_FORM: Final = "http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm"
UNITS_V2: Final = "urn:erx:prescriptions:unit:2"
REASONS_V2: Final = "urn:erx:prescriptions:reason:2"
NDC: Final = "http://hl7.org/fhir/sid/ndc"
NDC_AS_WRITTEN: Final = "urn:erx:prescriptions:ndc-as-written"

UNITS_TO_V3: Final[Mapping[int, tuple[str, str]]] = {
    v2.UNIT_TABLET: ("TAB", DRUG_FORM),
    v2.UNIT_CAPSULE: ("CAP", DRUG_FORM),
    v2.UNIT_MILLILITER: ("mL", UCUM),
    v2.UNIT_GRAM: ("g", UCUM),
    v2.UNIT_PUFF: ("PUFF", DRUG_FORM),
    v2.UNIT_PATCH: ("PATCH", DRUG_FORM),
}
_REASONS: Final[Mapping[int, str]] = {
    number: name.removeprefix("REASON_CODE_") for name, number in v2.ReasonCode.items()
}


def created(m: l2.PrescriptionCreated) -> l3.PrescriptionCreated:
    """The content."""
    return l3.PrescriptionCreated(content=_content(m.content))


def amended(m: l2.PrescriptionAmended) -> l3.PrescriptionAmended:
    """The content."""
    return l3.PrescriptionAmended(content=_content(m.content), change_note=m.change_note)


def signed(m: l2.PrescriptionSigned) -> l3.PrescriptionSigned:
    """As it was. The hash is that of the form of its time."""
    return l3.PrescriptionSigned(
        content_sha256=m.content_sha256,
        signature=m.signature,
        algorithm=m.algorithm,
        certificate_id=m.certificate_id,
        factors=m.factors,
        signed_at=given(m, "signed_at"),
    )


def issued(m: l2.PrescriptionIssued) -> l3.PrescriptionIssued:
    """The moment at which the last day is over; what is no day stays a text."""
    ends, text = None, m.expires_original
    if m.HasField("expires_on"):
        ends = _end_of(m.expires_on)
        text = "" if ends else f"{m.expires_on.year:04}-{m.expires_on.month:02}-{m.expires_on.day:02}"
    return l3.PrescriptionIssued(
        issued_at=given(m, "issued_at"), expires_at=ends, expires_text=text, nominated=_pharmacy_of(m, "nominated")
    )


def nominated(m: l2.PharmacyNominated) -> l3.PharmacyNominated:
    """The pharmacy."""
    return l3.PharmacyNominated(pharmacy=_pharmacy_of(m, "pharmacy"), nominated_by=given(m, "nominated_by"))


def claimed(m: d2.PrescriptionClaimed, fills: Fills | None) -> d3.PrescriptionClaimed:
    """The pharmacy, and the fill it is for."""
    return d3.PrescriptionClaimed(
        pharmacy=_pharmacy_of(m, "pharmacy"),
        claim_token_sha256=m.claim_token_sha256,
        fill_number=None if fills is None else fills.done,
        claimed_at=given(m, "claimed_at"),
    )


def returned(m: d2.PrescriptionReturned) -> d3.PrescriptionReturned:
    """The reason."""
    return d3.PrescriptionReturned(reason=_reason_of(m))


def partially_dispensed(m: d2.MedicationPartiallyDispensed, fills: Fills | None) -> d3.MedicationPartiallyDispensed:
    """Which fill it was, and what hangs on that, as the events before it tell."""
    return d3.MedicationPartiallyDispensed(**_dispense(m, fills))


def dispensed(m: d2.MedicationDispensed, fills: Fills | None) -> d3.MedicationDispensed:
    """Likewise; and whether less than prescribed was handed out, with no more to come."""
    short = fills is not None and fills.is_short(m.quantity)
    return d3.MedicationDispensed(**_dispense(m, fills), short_close=short)


def not_dispensed(m: d2.MedicationNotDispensed) -> d3.MedicationNotDispensed:
    """The reason."""
    return d3.MedicationNotDispensed(reason=_reason_of(m), returned_to_stock=m.returned_to_stock)


def dispense_reversed(m: d2.DispenseReversed) -> d3.DispenseReversed:
    """The reason and the quantity."""
    return d3.DispenseReversed(
        dispense_id=m.dispense_id, reason=_reason_of(m), quantity_restored=_quantity(m.quantity_restored)
    )


def cancelled(m: l2.PrescriptionCancelled) -> l3.PrescriptionCancelled:
    """The reason."""
    return l3.PrescriptionCancelled(reason=_reason_of(m), requested_by=given(m, "requested_by"))


def suspended(m: l2.PrescriptionSuspended) -> l3.PrescriptionSuspended:
    """The reason."""
    return l3.PrescriptionSuspended(reason=_reason_of(m), until=given(m, "until"))


def resumed(m: l2.PrescriptionResumed) -> l3.PrescriptionResumed:
    """The reason."""
    return l3.PrescriptionResumed(reason=_reason_of(m))


def expired(m: l2.PrescriptionExpired) -> l3.PrescriptionExpired:
    """The quantity."""
    return l3.PrescriptionExpired(expired_at=given(m, "expired_at"), quantity_forfeited=_quantity(m.quantity_forfeited))


def entered_in_error(m: l2.PrescriptionEnteredInError) -> l3.PrescriptionEnteredInError:
    """The reason."""
    return l3.PrescriptionEnteredInError(reason=_reason_of(m))


def _content(m: c2.PrescriptionContent) -> c3.PrescriptionContent:
    return c3.PrescriptionContent(
        group_id=m.group_id,
        patient=_patient(m.patient),
        prescriber=given(m, "prescriber"),
        medication=m.medication,
        medication_text=m.medication_text,
        schedule=m.schedule,
        quantity=_quantity(m.quantity),
        days_supply=given(m, "days_supply"),
        refills_allowed=m.refills_allowed,
        dosage=given(m, "dosage"),
        substitution=m.substitution,
        reason=given(m, "reason"),
        earliest_fill=given(m, "earliest_fill"),
        prior_prescription_id=m.prior_prescription_id,
        nominated=_pharmacy_of(m, "nominated"),
    )


def _patient(m: v2.Patient) -> p.Patient:
    if not (m.name or m.birth_date_text or m.HasField("birth_date")):
        return p.Patient(patient_id=m.patient_id, reference_only=p.PatientReferenceOnly())
    clear = p.ClearPatient(name=m.name, birth_date=given(m, "birth_date"), birth_date_text=m.birth_date_text)
    return p.Patient(patient_id=m.patient_id, clear=clear)


def _dispense(m: d2.MedicationPartiallyDispensed | d2.MedicationDispensed, fills: Fills | None) -> dict[str, Any]:
    quantity = _quantity(m.quantity)
    total = None if fills is None else fills.amount_with(m.quantity)
    of_fill = None if total is None else t.Quantity(value=Decimal(value=format(total, "f")))
    if of_fill is not None:
        of_fill.unit_code, of_fill.unit_system = quantity.unit_code, quantity.unit_system
        of_fill.unit_text = quantity.unit_text
    return {
        "dispense_id": m.dispense_id,
        "fill_number": None if fills is None else fills.done,
        "pharmacy": _pharmacy_of(m, "pharmacy"),
        "product": _product(m.product) if m.HasField("product") else (),
        "quantity": quantity,
        "quantity_dispensed_this_fill": of_fill,
        "refills_remaining": None if fills is None else fills.refills_remaining,
        "days_supply": given(m, "days_supply"),
        "lot": m.lot,
        "pharmacist": given(m, "pharmacist"),
        "handed_over_at": given(m, "handed_over_at"),
        "partial_reason": m.partial_reason,
        "substituted": m.substituted,
    }


def _product(m: v2.Product) -> list[t.Coding]:
    codings = [t.Coding(system=NDC, code=f"0{m.ndc11}")] if m.ndc11 else []
    return [*codings, t.Coding(system=NDC_AS_WRITTEN, code=m.original)] if m.original else codings


def _quantity(m: v2.Quantity) -> t.Quantity:
    code, system = UNITS_TO_V3.get(m.unit, (str(m.unit), UNITS_V2)) if m.unit else ("", "")
    return t.Quantity(value=m.value, unit_code=code, unit_system=system, unit_text=m.unit_original)


def _reason_of(m: Any) -> t.ReasonCode | None:
    if not m.HasField("reason"):
        return None
    code, text = m.reason.code, m.reason.text
    if not code:
        return t.ReasonCode(text=text)
    # A number without a name can only be of a later writer; it stays what it is.
    return t.ReasonCode(coding=t.Coding(system=REASONS_V2, code=_REASONS.get(code) or str(code)), text=text)


def _pharmacy_of(m: Any, field: str) -> p.PharmacyRef | None:
    if not m.HasField(field):
        return None
    pharmacy: v2.PharmacyRef = getattr(m, field)
    return p.PharmacyRef(ncpdp_id=pharmacy.ncpdp_id, name=pharmacy.name)


def _end_of(day: Date) -> Timestamp | None:
    """The first moment after the day; after the last day of the calendar its last microsecond. None for no day at all."""
    try:
        last = date(day.year, day.month, day.day)
    except ValueError:
        return None
    if last == date.max:
        ends = to_micros(datetime.combine(last, time.max, EXPIRY_ZONE))
    else:
        ends = to_micros(datetime.combine(last + timedelta(days=1), time(), EXPIRY_ZONE))
    return Timestamp(seconds=ends // 1_000_000, nanos=ends % 1_000_000 * 1_000)


STEPS: Final = (
    Step("PrescriptionCreated", 2, created),
    Step("PrescriptionAmended", 2, amended),
    Step("PrescriptionSigned", 2, signed),
    Step("PrescriptionIssued", 2, issued),
    Step("PharmacyNominated", 2, nominated),
    Step("PrescriptionClaimed", 2, claimed, context=FILLS),
    Step("PrescriptionReturned", 2, returned),
    Step("MedicationPartiallyDispensed", 2, partially_dispensed, context=FILLS),
    Step("MedicationDispensed", 2, dispensed, context=FILLS),
    Step("MedicationNotDispensed", 2, not_dispensed),
    Step("DispenseReversed", 2, dispense_reversed),
    Step("PrescriptionCancelled", 2, cancelled),
    Step("PrescriptionSuspended", 2, suspended),
    Step("PrescriptionResumed", 2, resumed),
    Step("PrescriptionExpired", 2, expired),
    Step("PrescriptionEnteredInError", 2, entered_in_error),
)
