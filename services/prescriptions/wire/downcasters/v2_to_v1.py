"""From the second version to the first: whole numbers, texts, one event for parts and wholes. The rest had no words yet."""

from typing import Any, Final

from erx.prescriptions.events.v1 import dispensing_pb2 as d1
from erx.prescriptions.events.v1 import lifecycle_pb2 as l1
from erx.prescriptions.events.v2 import lifecycle_pb2 as l2
from erx.prescriptions.events.v2 import values_pb2 as v2
from eventkernel.downcasting import DownStep
from prescriptions.wire.optional import given

INT32: Final = range(-(2**31), 2**31)


def created(m: l2.PrescriptionCreated) -> l1.PrescriptionCreated:
    """Without the patient, who was a name then; with the amount, if it is a whole number."""
    c = m.content
    return l1.PrescriptionCreated(
        prescriber=c.prescriber if c.HasField("prescriber") else None,
        medication_text=c.medication_text,
        medication=c.medication,
        schedule=c.schedule,
        quantity=_number(c.quantity),
        refills_allowed=c.refills_allowed,
        dosage_text=c.dosage.text,
        as_needed=c.dosage.as_needed,
        pharmacy=_pharmacy(c.nominated),
    )


def issued(m: l2.PrescriptionIssued) -> l1.PrescriptionIssued:
    """The last day as a text."""
    day = m.expires_on
    text = f"{day.year:04}-{day.month:02}-{day.day:02}" if m.HasField("expires_on") else m.expires_original
    return l1.PrescriptionIssued(issued_at=given(m, "issued_at"), expires=text)


def _filled(m: Any, *, partial: bool) -> d1.PrescriptionFilled:
    return d1.PrescriptionFilled(
        dispense_id=m.dispense_id,
        pharmacy=_pharmacy(m.pharmacy),
        ndc=m.product.original or m.product.ndc11,
        quantity=_number(m.quantity),
        partial=partial,
        lot=m.lot,
        pharmacist=given(m, "pharmacist"),
        filled_at=given(m, "handed_over_at"),
        substituted=m.substituted,
    )


def _number(m: v2.Quantity) -> int:
    """The amount. Raises ``ValueError`` for one that was none: half a tablet is not no tablet."""
    text = m.value.value
    whole, _, fraction = text.partition(".")
    if fraction.strip("0") or int(whole or "0") not in INT32:
        raise ValueError(f"the quantity {text} is no whole number of 32 bits")
    return int(whole or "0")


def _pharmacy(m: v2.PharmacyRef) -> str:
    return m.ncpdp_id or m.name


STEPS: Final = (
    DownStep("PrescriptionCreated", 2, created),
    DownStep(
        "PrescriptionSigned",
        2,
        lambda m: l1.PrescriptionSigned(
            content_sha256=m.content_sha256,
            signature=m.signature,
            algorithm=m.algorithm,
            certificate_id=m.certificate_id,
            factors=m.factors,
            signed_at=given(m, "signed_at"),
        ),
    ),
    DownStep("PrescriptionIssued", 2, issued),
    DownStep(
        "PrescriptionClaimed",
        2,
        lambda m: d1.PrescriptionClaimed(
            pharmacy=_pharmacy(m.pharmacy), claim_token_sha256=m.claim_token_sha256, claimed_at=given(m, "claimed_at")
        ),
    ),
    DownStep("PrescriptionReturned", 2, lambda m: d1.PrescriptionReturned(reason=m.reason.text)),
    DownStep("MedicationPartiallyDispensed", 2, lambda m: _filled(m, partial=True), gives="PrescriptionFilled"),
    DownStep("MedicationDispensed", 2, lambda m: _filled(m, partial=False), gives="PrescriptionFilled"),
    DownStep(
        "DispenseReversed",
        2,
        lambda m: d1.DispenseReversed(
            dispense_id=m.dispense_id, reason=m.reason.text, quantity_restored=_number(m.quantity_restored)
        ),
    ),
    DownStep("PrescriptionCancelled", 2, lambda m: l1.PrescriptionCancelled(reason=m.reason.text)),
    DownStep(
        "PrescriptionExpired",
        2,
        lambda m: l1.PrescriptionExpired(
            expired_at=given(m, "expired_at"), quantity_forfeited=_number(m.quantity_forfeited)
        ),
    ),
    DownStep("PrescriptionEnteredInError", 2, lambda m: l1.PrescriptionEnteredInError(reason=m.reason.text)),
)
