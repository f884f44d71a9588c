"""What happened to a prescription. Who, when and why are in the envelope; all that the fold needs is in the event.

Class names are stored with every event: they are data and never renamed. A field that is None was not known when the event
was written (records of older shapes), and stays unknown.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias
from uuid import UUID

from eventkernel.evolving import quickly_made
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
class PrescriptionCreated:
    """A draft was begun."""

    content: PrescriptionContent


@dataclass(frozen=True, slots=True)
class PrescriptionAmended:
    """The draft's content was replaced; ``content`` is all of the new one, not a patch."""

    content: PrescriptionContent
    change_note: str = ""


@quickly_made
@dataclass(frozen=True, slots=True)
class PrescriptionSigned:
    """The author signed the content with this hash. The day of ``signed_at`` (UTC) is the date written."""

    content_sha256: bytes
    signature: bytes
    algorithm: str
    certificate_id: str
    factors: tuple[SigningFactor, ...]
    signed_at: datetime | None


@quickly_made
@dataclass(frozen=True, slots=True)
class PrescriptionIssued:
    """Released to pharmacies. It may be filled before ``expires_at``, and not at or after it.

    ``expires_text`` is what an old record says of the last day where that is no date: then the time is not known.
    """

    issued_at: datetime | None
    expires_at: datetime | None
    nominated: PharmacyRef | None = None
    expires_text: str = ""


@dataclass(frozen=True, slots=True)
class PharmacyNominated:
    """A pharmacy was named to hand it out."""

    pharmacy: PharmacyRef
    nominated_by: PersonRef


@quickly_made
@dataclass(frozen=True, slots=True)
class PrescriptionClaimed:
    """A pharmacy took it exclusively. Only the token's SHA-256 is kept. ``fill_number`` 0 is the first fill."""

    pharmacy: PharmacyRef
    claim_token_sha256: bytes
    fill_number: int | None
    claimed_at: datetime | None


@dataclass(frozen=True, slots=True)
class PrescriptionReturned:
    """The claim was given back."""

    reason: Reason | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class MedicationPartiallyDispensed:
    """A part of the fill was handed out. ``quantity_dispensed_this_fill`` includes it."""

    dispense_id: UUID
    fill_number: int | None
    pharmacy: PharmacyRef
    quantity: Quantity
    quantity_dispensed_this_fill: Quantity | None
    refills_remaining: int | None
    handed_over_at: datetime | None
    product: tuple[Coding, ...] = ()
    days_supply: int | None = None
    lot: str = ""
    pharmacist: PersonRef | None = None
    partial_reason: PartialReason | None = None
    substituted: bool = False


@quickly_made
@dataclass(frozen=True, slots=True)
class MedicationDispensed:
    """The fill was handed out to its end. With ``short_close`` it is less than prescribed, and the rest is not owed."""

    dispense_id: UUID
    fill_number: int | None
    pharmacy: PharmacyRef
    quantity: Quantity
    quantity_dispensed_this_fill: Quantity | None
    refills_remaining: int | None
    handed_over_at: datetime | None
    product: tuple[Coding, ...] = ()
    days_supply: int | None = None
    lot: str = ""
    pharmacist: PersonRef | None = None
    partial_reason: PartialReason | None = None
    substituted: bool = False
    short_close: bool = False
    short_close_reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class MedicationNotDispensed:
    """The pharmacy ended it unfilled."""

    reason: Reason
    returned_to_stock: bool = False


@dataclass(frozen=True, slots=True)
class DispenseReversed:
    """The last dispense was undone; its fill and the pharmacy's claim are open again."""

    dispense_id: UUID
    quantity_restored: Quantity
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class PrescriptionCancelled:
    """Withdrawn."""

    reason: Reason
    requested_by: PersonRef | None = None


@dataclass(frozen=True, slots=True)
class PrescriptionSuspended:
    """Stopped for a while."""

    reason: Reason
    until: date | None = None


@dataclass(frozen=True, slots=True)
class PrescriptionResumed:
    """No longer suspended."""

    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class PrescriptionExpired:
    """Its time ran out. ``quantity_forfeited`` is all that was still owed: the rest of this fill and every refill left."""

    expired_at: datetime | None
    quantity_forfeited: Quantity


@dataclass(frozen=True, slots=True)
class PrescriptionEnteredInError:
    """Void."""

    reason: Reason | None = None


Event: TypeAlias = (
    PrescriptionCreated
    | PrescriptionAmended
    | PrescriptionSigned
    | PrescriptionIssued
    | PharmacyNominated
    | PrescriptionClaimed
    | PrescriptionReturned
    | MedicationPartiallyDispensed
    | MedicationDispensed
    | MedicationNotDispensed
    | DispenseReversed
    | PrescriptionCancelled
    | PrescriptionSuspended
    | PrescriptionResumed
    | PrescriptionExpired
    | PrescriptionEnteredInError
)
