"""What may be asked of a prescription. The stream, the request id and the effective time travel beside the command.

Commands of a claim's holder carry the ``claim_token`` that the pharmacy got when it claimed.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias
from uuid import UUID

from prescriptions.domain.values import (
    Coding,
    PartialReason,
    PersonRef,
    PharmacyRef,
    PrescriptionContent,
    Quantity,
    Reason,
    SigningFactor,
)


@dataclass(frozen=True, slots=True)
class CreatePrescription:
    """Begin a draft."""

    content: PrescriptionContent


@dataclass(frozen=True, slots=True)
class AmendPrescription:
    """Replace the whole content of a draft."""

    content: PrescriptionContent
    change_note: str = ""


@dataclass(frozen=True, slots=True)
class SignPrescription:
    """Sign the draft whose content has this hash (see ``hashing``), with the factors that the signer showed."""

    content_sha256: bytes
    signature: bytes
    algorithm: str
    certificate_id: str
    factors: tuple[SigningFactor, ...]


@dataclass(frozen=True, slots=True)
class IssuePrescription:
    """Release the signed prescription to pharmacies; ``nominated`` overrides the pharmacy named in the content."""

    nominated: PharmacyRef | None = None


@dataclass(frozen=True, slots=True)
class NominatePharmacy:
    """Name the pharmacy that shall hand it out."""

    pharmacy: PharmacyRef


@dataclass(frozen=True, slots=True)
class ClaimPrescription:
    """Take the prescription exclusively, for its next fill."""

    pharmacy: PharmacyRef


@dataclass(frozen=True, slots=True)
class ReturnPrescription:
    """Give the claim back, nothing of this fill being handed out."""

    claim_token: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class DispensePartially:
    """Hand out a part of this fill; the rest stays owed. ``handed_over_at`` None means when the command takes effect."""

    claim_token: str
    dispense_id: UUID
    quantity: Quantity
    product: tuple[Coding, ...] = ()
    days_supply: int | None = None
    lot: str = ""
    pharmacist: PersonRef | None = None
    handed_over_at: datetime | None = None
    partial_reason: PartialReason | None = None


@dataclass(frozen=True, slots=True)
class DispenseMedication:
    """Hand out all that remains of this fill, or less for good: ``short_close`` with a ``short_close_reason``.

    ``handed_over_at`` None means when the command takes effect.
    """

    claim_token: str
    dispense_id: UUID
    quantity: Quantity
    product: tuple[Coding, ...] = ()
    days_supply: int | None = None
    lot: str = ""
    pharmacist: PersonRef | None = None
    handed_over_at: datetime | None = None
    partial_reason: PartialReason | None = None
    short_close: bool = False
    short_close_reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class RecordNotDispensed:
    """End the prescription unfilled."""

    claim_token: str
    reason: Reason
    returned_to_stock: bool = False


@dataclass(frozen=True, slots=True)
class ReverseDispense:
    """Undo the last dispense: it was not collected, or recorded by mistake.

    ``pharmacy`` is the one that made it; the claim may be over, so its token may be empty.
    """

    pharmacy: PharmacyRef
    dispense_id: UUID
    reason: Reason
    claim_token: str = ""


@dataclass(frozen=True, slots=True)
class CancelPrescription:
    """Withdraw a prescription that no pharmacy holds. ``requested_by`` None means the caller."""

    reason: Reason
    requested_by: PersonRef | None = None


@dataclass(frozen=True, slots=True)
class SuspendPrescription:
    """Stop it for a while; ``until`` is a note for people, nothing resumes by itself."""

    reason: Reason
    until: date | None = None


@dataclass(frozen=True, slots=True)
class ResumePrescription:
    """End the suspension."""

    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class ExpirePrescription:
    """Record that its time has run out."""


@dataclass(frozen=True, slots=True)
class MarkEnteredInError:
    """Void it: it should never have been written."""

    reason: Reason


Command: TypeAlias = (
    CreatePrescription
    | AmendPrescription
    | SignPrescription
    | IssuePrescription
    | NominatePharmacy
    | ClaimPrescription
    | ReturnPrescription
    | DispensePartially
    | DispenseMedication
    | RecordNotDispensed
    | ReverseDispense
    | CancelPrescription
    | SuspendPrescription
    | ResumePrescription
    | ExpirePrescription
    | MarkEnteredInError
)
