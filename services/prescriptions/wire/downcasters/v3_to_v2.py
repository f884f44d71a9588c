"""From the third version to the second: codes it had, dates in UTC, fills without their numbers."""

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from erx.prescriptions.events.v2 import content_pb2 as c2
from erx.prescriptions.events.v2 import dispensing_pb2 as d2
from erx.prescriptions.events.v2 import lifecycle_pb2 as l2
from erx.prescriptions.events.v2 import values_pb2 as v2
from erx.prescriptions.events.v3 import content_pb2 as c3
from erx.prescriptions.events.v3 import lifecycle_pb2 as l3
from erx.prescriptions.types.v1 import parties_pb2 as p
from erx.prescriptions.types.v1 import values_pb2 as t
from eventkernel.downcasting import DownStep
from prescriptions.wire.optional import given
from prescriptions.wire.upcasters.v2_to_v3 import NDC, NDC_AS_WRITTEN, REASONS_V2, UNITS_TO_V3

_UNITS: Final[Mapping[tuple[str, str], int]] = {coded: unit for unit, coded in UNITS_TO_V3.items()}
_NDC12_DIGITS: Final = (6, 4, 2)


def content(m: Any) -> dict[str, Any]:
    """The content, of a draft or of a rewritten one."""
    return {"content": _content(m.content)}


def issued(m: l3.PrescriptionIssued) -> l2.PrescriptionIssued:
    """The last whole day, or what was said of it."""
    day = _last_day(m.expires_at) if m.HasField("expires_at") else None
    return l2.PrescriptionIssued(
        issued_at=given(m, "issued_at"),
        expires_on=day,
        expires_original=m.expires_text,
        nominated=_pharmacy(m, "nominated"),
    )


def dispensed(m: Any) -> dict[str, Any]:
    """A hand-out, of a part or of the rest."""
    return {
        "dispense_id": m.dispense_id,
        "pharmacy": _pharmacy(m, "pharmacy"),
        "product": _product(m.product),
        "quantity": _quantity(m.quantity),
        "days_supply": given(m, "days_supply"),
        "lot": m.lot,
        "pharmacist": given(m, "pharmacist"),
        "handed_over_at": given(m, "handed_over_at"),
        "partial_reason": m.partial_reason,
        "substituted": m.substituted,
    }


def _content(m: c3.PrescriptionContent) -> c2.PrescriptionContent:
    return c2.PrescriptionContent(
        group_id=m.group_id,
        patient=v2.Patient(patient_id=m.patient.patient_id),
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
        nominated=_pharmacy(m, "nominated"),
    )


def _quantity(m: t.Quantity) -> v2.Quantity:
    unit: Any = _UNITS.get((m.unit_code, m.unit_system), v2.UNIT_UNSPECIFIED)
    return v2.Quantity(value=m.value, unit=unit, unit_original=m.unit_text)


def _reason(m: Any) -> v2.Reason | None:
    if not m.HasField("reason"):
        return None
    coding, text = m.reason.coding, m.reason.text
    if not m.reason.HasField("coding"):
        return v2.Reason(text=text)
    name = f"REASON_CODE_{coding.code}"
    if coding.system == REASONS_V2 and name in v2.ReasonCode.keys():  # noqa: SIM118 - no mapping: it has keys alone
        return v2.Reason(code=v2.ReasonCode.Value(name), text=text)
    return v2.Reason(code=v2.REASON_CODE_OTHER, text=text or coding.display)


def _product(codings: Any) -> v2.Product | None:
    by_system = {coding.system: coding.code for coding in reversed(codings)}
    normalised = by_system.get(NDC, "")
    segments = tuple(map(len, normalised.split("-")))
    # A labeler of six digits that needs all six is one that the second version could not write.
    ndc11 = normalised[1:] if segments == _NDC12_DIGITS and normalised.startswith("0") else ""
    original = by_system.get(NDC_AS_WRITTEN, "")
    return v2.Product(ndc11=ndc11, original=original) if ndc11 or original else None


def _pharmacy(m: Any, field: str) -> v2.PharmacyRef | None:
    if not m.HasField(field):
        return None
    pharmacy: p.PharmacyRef = getattr(m, field)
    return v2.PharmacyRef(ncpdp_id=pharmacy.ncpdp_id, name=pharmacy.name)


def _last_day(ends: Timestamp) -> Date:
    """The last day any part of which is before the end."""
    day = (ends.ToDatetime(UTC) - timedelta(microseconds=1)).date()
    return Date(year=day.year, month=day.month, day=day.day)


STEPS: Final = (
    DownStep("PrescriptionCreated", 3, lambda m: l2.PrescriptionCreated(**content(m))),
    DownStep("PrescriptionAmended", 3, lambda m: l2.PrescriptionAmended(**content(m), change_note=m.change_note)),
    DownStep(
        "PrescriptionSigned",
        3,
        lambda m: l2.PrescriptionSigned(
            content_sha256=m.content_sha256,
            signature=m.signature,
            algorithm=m.algorithm,
            certificate_id=m.certificate_id,
            factors=m.factors,
            signed_at=given(m, "signed_at"),
        ),
    ),
    DownStep("PrescriptionIssued", 3, issued),
    DownStep(
        "PharmacyNominated",
        3,
        lambda m: l2.PharmacyNominated(pharmacy=_pharmacy(m, "pharmacy"), nominated_by=given(m, "nominated_by")),
    ),
    DownStep(
        "PrescriptionClaimed",
        3,
        lambda m: d2.PrescriptionClaimed(
            pharmacy=_pharmacy(m, "pharmacy"),
            claim_token_sha256=m.claim_token_sha256,
            claimed_at=given(m, "claimed_at"),
        ),
    ),
    DownStep("PrescriptionReturned", 3, lambda m: d2.PrescriptionReturned(reason=_reason(m))),
    DownStep("MedicationPartiallyDispensed", 3, lambda m: d2.MedicationPartiallyDispensed(**dispensed(m))),
    DownStep("MedicationDispensed", 3, lambda m: d2.MedicationDispensed(**dispensed(m))),
    DownStep(
        "MedicationNotDispensed",
        3,
        lambda m: d2.MedicationNotDispensed(reason=_reason(m), returned_to_stock=m.returned_to_stock),
    ),
    DownStep(
        "DispenseReversed",
        3,
        lambda m: d2.DispenseReversed(
            dispense_id=m.dispense_id, reason=_reason(m), quantity_restored=_quantity(m.quantity_restored)
        ),
    ),
    DownStep(
        "PrescriptionCancelled",
        3,
        lambda m: l2.PrescriptionCancelled(reason=_reason(m), requested_by=given(m, "requested_by")),
    ),
    DownStep(
        "PrescriptionSuspended", 3, lambda m: l2.PrescriptionSuspended(reason=_reason(m), until=given(m, "until"))
    ),
    DownStep("PrescriptionResumed", 3, lambda m: l2.PrescriptionResumed(reason=_reason(m))),
    DownStep(
        "PrescriptionExpired",
        3,
        lambda m: l2.PrescriptionExpired(
            expired_at=given(m, "expired_at"), quantity_forfeited=_quantity(m.quantity_forfeited)
        ),
    ),
    DownStep("PrescriptionEnteredInError", 3, lambda m: l2.PrescriptionEnteredInError(reason=_reason(m))),
)
