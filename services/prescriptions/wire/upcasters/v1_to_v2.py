"""From the first version to the second: structured quantities, pharmacies, reasons and dates; two events of one.

- A quantity is any 32-bit number without a unit: it becomes that number, its unit unspecified.
- A pharmacy is a text: seven digits are an id, anything else is a name.
- A reason is a text: it becomes ``OTHER`` and that text; an empty one was not given.
- Days are texts: those that are no date stay texts, and the date is not known.
- A dosage is a text, and is never parsed.
- ``PrescriptionFilled`` said whether the rest was owed: two event types say it since.
"""

from typing import Final

from google.type.decimal_pb2 import Decimal

from erx.prescriptions.events.v1 import dispensing_pb2 as d1
from erx.prescriptions.events.v1 import lifecycle_pb2 as l1
from erx.prescriptions.events.v2 import content_pb2 as c2
from erx.prescriptions.events.v2 import dispensing_pb2 as d2
from erx.prescriptions.events.v2 import lifecycle_pb2 as l2
from erx.prescriptions.events.v2 import values_pb2 as v2
from erx.prescriptions.types.v1 import parties_pb2, values_pb2
from eventkernel.upcasting import Step
from prescriptions.wire.upcasters.texts import date_of, is_ncpdp_id, ndc11_of


def created(m: l1.PrescriptionCreated) -> l2.PrescriptionCreated:
    """Patients had no id; whether an equal product may be handed out, and how long a fill lasts, was not asked."""
    content = c2.PrescriptionContent(
        patient=v2.Patient(
            name=m.patient_name, birth_date=date_of(m.patient_birth_date), birth_date_text=m.patient_birth_date
        ),
        prescriber=_person(m, "prescriber"),
        medication=m.medication,
        medication_text=m.medication_text,
        schedule=m.schedule,
        quantity=_quantity(m.quantity),
        refills_allowed=m.refills_allowed,
        nominated=_pharmacy(m.pharmacy),
    )
    if m.dosage_text or m.as_needed:
        content.dosage.CopyFrom(values_pb2.Dosage(text=m.dosage_text, as_needed=m.as_needed))
    return l2.PrescriptionCreated(content=content)


def signed(m: l1.PrescriptionSigned) -> l2.PrescriptionSigned:
    """As it was."""
    return l2.PrescriptionSigned(
        content_sha256=m.content_sha256,
        signature=m.signature,
        algorithm=m.algorithm,
        certificate_id=m.certificate_id,
        factors=m.factors,
        signed_at=m.signed_at if m.HasField("signed_at") else None,
    )


def issued(m: l1.PrescriptionIssued) -> l2.PrescriptionIssued:
    """The last day, where the text is a date; else the text."""
    expires_on = date_of(m.expires)
    return l2.PrescriptionIssued(
        issued_at=m.issued_at if m.HasField("issued_at") else None,
        expires_on=expires_on,
        expires_original=m.expires if expires_on is None else "",
    )


def claimed(m: d1.PrescriptionClaimed) -> d2.PrescriptionClaimed:
    """The pharmacy by id or name."""
    return d2.PrescriptionClaimed(
        pharmacy=_pharmacy(m.pharmacy),
        claim_token_sha256=m.claim_token_sha256,
        claimed_at=m.claimed_at if m.HasField("claimed_at") else None,
    )


def returned(m: d1.PrescriptionReturned) -> d2.PrescriptionReturned:
    """The reason."""
    return d2.PrescriptionReturned(reason=_reason(m.reason))


def filled(m: d1.PrescriptionFilled) -> d2.MedicationPartiallyDispensed | d2.MedicationDispensed:
    """A part, or the end of the fill: a type of its own each."""
    kind = d2.MedicationPartiallyDispensed if m.partial else d2.MedicationDispensed
    return kind(
        dispense_id=m.dispense_id,
        pharmacy=_pharmacy(m.pharmacy),
        product=v2.Product(ndc11=ndc11_of(m.ndc), original=m.ndc) if m.ndc else None,
        quantity=_quantity(m.quantity),
        lot=m.lot,
        pharmacist=_person(m, "pharmacist"),
        handed_over_at=m.filled_at if m.HasField("filled_at") else None,
        substituted=m.substituted,
    )


def filled_type(m: d1.PrescriptionFilled) -> str:
    """What ``filled`` gives."""
    return "MedicationPartiallyDispensed" if m.partial else "MedicationDispensed"


def dispense_reversed(m: d1.DispenseReversed) -> d2.DispenseReversed:
    """The quantity and the reason."""
    return d2.DispenseReversed(
        dispense_id=m.dispense_id, reason=_reason(m.reason), quantity_restored=_quantity(m.quantity_restored)
    )


def cancelled(m: l1.PrescriptionCancelled) -> l2.PrescriptionCancelled:
    """The reason; who asked for it was not said."""
    return l2.PrescriptionCancelled(reason=_reason(m.reason))


def expired(m: l1.PrescriptionExpired) -> l2.PrescriptionExpired:
    """The quantity."""
    return l2.PrescriptionExpired(
        expired_at=m.expired_at if m.HasField("expired_at") else None,
        quantity_forfeited=_quantity(m.quantity_forfeited),
    )


def entered_in_error(m: l1.PrescriptionEnteredInError) -> l2.PrescriptionEnteredInError:
    """The reason."""
    return l2.PrescriptionEnteredInError(reason=_reason(m.reason))


def _person(m: l1.PrescriptionCreated | d1.PrescriptionFilled, field: str) -> parties_pb2.PersonRef | None:
    person: parties_pb2.PersonRef | None = getattr(m, field) if m.HasField(field) else None  # type: ignore[arg-type]
    return person


def _quantity(number: int) -> v2.Quantity:
    return v2.Quantity(value=Decimal(value=str(number)), unit=v2.UNIT_UNSPECIFIED)


def _pharmacy(text: str) -> v2.PharmacyRef | None:
    if not text:
        return None
    return v2.PharmacyRef(ncpdp_id=text) if is_ncpdp_id(text) else v2.PharmacyRef(name=text)


def _reason(text: str) -> v2.Reason | None:
    return v2.Reason(code=v2.REASON_CODE_OTHER, text=text) if text else None


STEPS: Final = (
    Step("PrescriptionCreated", 1, created),
    Step("PrescriptionSigned", 1, signed),
    Step("PrescriptionIssued", 1, issued),
    Step("PrescriptionClaimed", 1, claimed),
    Step("PrescriptionReturned", 1, returned),
    Step(
        "PrescriptionFilled",
        1,
        filled,
        gives=("MedicationPartiallyDispensed", "MedicationDispensed"),
        type_of=filled_type,
    ),
    Step("DispenseReversed", 1, dispense_reversed),
    Step("PrescriptionCancelled", 1, cancelled),
    Step("PrescriptionExpired", 1, expired),
    Step("PrescriptionEnteredInError", 1, entered_in_error),
)
