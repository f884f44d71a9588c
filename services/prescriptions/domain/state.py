"""A prescription as the fold of its events leaves it."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Final
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


class Status(Enum):
    """Where a prescription stands."""

    NONE = "NONE"
    DRAFT = "DRAFT"
    SIGNED = "SIGNED"
    ISSUED = "ISSUED"
    WITH_PHARMACY = "WITH_PHARMACY"
    PARTIALLY_DISPENSED = "PARTIALLY_DISPENSED"
    AWAITING_REFILL = "AWAITING_REFILL"
    ON_HOLD = "ON_HOLD"
    CHANGE_REQUESTED = "CHANGE_REQUESTED"
    CANCELLATION_REQUESTED = "CANCELLATION_REQUESTED"
    TRANSFER_REQUESTED = "TRANSFER_REQUESTED"
    COMPLETED = "COMPLETED"
    NOT_DISPENSED = "NOT_DISPENSED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REPLACED = "REPLACED"
    ENTERED_IN_ERROR = "ENTERED_IN_ERROR"


TERMINAL: Final = frozenset(
    {
        Status.COMPLETED,
        Status.NOT_DISPENSED,
        Status.CANCELLED,
        Status.EXPIRED,
        Status.REPLACED,
        Status.ENTERED_IN_ERROR,
    }
)
LIVE: Final = frozenset(Status) - TERMINAL - {Status.NONE, Status.DRAFT, Status.SIGNED}
REQUESTED: Final = frozenset({Status.CHANGE_REQUESTED, Status.CANCELLATION_REQUESTED, Status.TRANSFER_REQUESTED})
HELD: Final = frozenset({Status.WITH_PHARMACY, Status.PARTIALLY_DISPENSED}) | REQUESTED


@quickly_made
@dataclass(frozen=True, slots=True)
class Signature:
    """The author's signature over the content with this hash."""

    content_sha256: bytes
    signature: bytes
    algorithm: str
    certificate_id: str
    factors: tuple[SigningFactor, ...]
    signed_at: datetime | None


@quickly_made
@dataclass(frozen=True, slots=True)
class Claim:
    """A pharmacy's exclusive hold for one fill. The token is never kept, only its SHA-256."""

    pharmacy: PharmacyRef
    token_sha256: bytes
    fill_number: int
    claimed_at: datetime | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class Dispense:
    """A dispense that stands (was not reversed), and the claim under which it was made.

    ``partial``: the fill went on after it. ``fill_number`` 0 is the first fill.
    """

    dispense_id: UUID
    fill_number: int
    pharmacy: PharmacyRef
    claim: Claim | None
    quantity: Quantity
    handed_over_at: datetime | None
    partial: bool
    product: tuple[Coding, ...] = ()
    days_supply: int | None = None
    lot: str = ""
    pharmacist: PersonRef | None = None
    partial_reason: PartialReason | None = None
    substituted: bool = False
    short_close: bool = False
    short_close_reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a prescription is suspended, and the day it is meant to end."""

    reason: Reason
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Prescription:
    """The state that decisions rest on.

    ``content`` is None only where there is no stream. ``last_claim`` is the newest, ``claim_open`` says whether it holds.
    ``fills_done`` counts closed fills, so it is also the number of the fill that is open or next. ``dispenses`` are those
    that stand, oldest first, of every fill; ``seen_dispense_ids`` also has the reversed ones. ``expires_text`` is what an old
    record says of the end where that is no date: then ``expires_at`` is None and means unknown, not never.
    """

    status: Status = Status.NONE
    content: PrescriptionContent | None = None
    signature: Signature | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    expires_text: str = ""
    nominated: PharmacyRef | None = None
    last_claim: Claim | None = None
    claim_open: bool = False
    fills_done: int = 0
    dispenses: tuple[Dispense, ...] = ()
    seen_dispense_ids: frozenset[UUID] = frozenset()
    hold: Hold | None = None
    end_reason: Reason | None = None
    quantity_forfeited: Quantity | None = None
    transfers_used: int = 0

    @property
    def written(self) -> PrescriptionContent:
        """The content of a prescription that exists. Every status but NONE has one."""
        if self.content is None:
            raise ValueError("there is no prescription yet")
        return self.content

    @property
    def author_id(self) -> str:
        """The prescriber's id."""
        return self.written.prescriber.id

    @property
    def written_date(self) -> date | None:
        """The day it was signed (UTC), which is the day it counts as written."""
        signed_at = self.signature.signed_at if self.signature else None
        return signed_at.date() if signed_at else None

    @property
    def claim(self) -> Claim | None:
        """The claim that holds now."""
        return self.last_claim if self.claim_open else None

    @property
    def refills_remaining(self) -> int:
        """Refills after the fill that is open or next; −1 when every fill is done."""
        return self.written.refills_allowed - self.fills_done

    @property
    def parts(self) -> tuple[Dispense, ...]:
        """The dispenses of the fill that is open."""
        return tuple(part for part in self.dispenses if part.fill_number == self.fills_done)

    @property
    def dispensed_this_fill(self) -> Decimal:
        """How much of the open fill was handed out."""
        return sum((part.quantity.value for part in self.parts), Decimal(0))

    @property
    def remaining_this_fill(self) -> Decimal:
        """How much of the open or next fill is owed; nothing when every fill is done."""
        if self.refills_remaining < 0:
            return Decimal(0)
        return max(self.written.quantity.value - self.dispensed_this_fill, Decimal(0))

    @property
    def first_partial_at(self) -> datetime | None:
        """When the first part of the open fill was handed out."""
        return self.parts[0].handed_over_at if self.parts else None
