"""Values that commands, events and states share. They hold what was said; whether it is allowed is decided elsewhere."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from uuid import UUID

from eventkernel.evolving import quickly_made


class Schedule(Enum):
    """Control schedule of the medicine: 21 USC 812; NONE is not controlled. Schedule I is never prescribed.

    UNKNOWN comes from old records alone.
    """

    NONE = "NONE"
    II = "II"
    III = "III"
    IV = "IV"
    V = "V"
    UNKNOWN = "UNKNOWN"


class Substitution(Enum):
    """Whether the pharmacy may hand out an equivalent product. UNKNOWN: nobody was asked, as in old records alone."""

    ALLOWED = "ALLOWED"
    DISPENSE_AS_WRITTEN = "DISPENSE_AS_WRITTEN"
    UNKNOWN = "UNKNOWN"


class SigningFactor(Enum):
    """What a signer showed: something known, something the signer is, something held (21 CFR 1311.115)."""

    KNOWLEDGE = "KNOWLEDGE"
    BIOMETRIC = "BIOMETRIC"
    HARD_TOKEN = "HARD_TOKEN"  # noqa: S105 - the name of a kind of proof, not a secret


class PartialReason(Enum):
    """Why less than the whole was handed out. For schedule II the clock of the rest hangs on it (21 CFR 1306.13)."""

    PATIENT_REQUEST = "PATIENT_REQUEST"
    PRESCRIBER_REQUEST = "PRESCRIBER_REQUEST"
    STOCK = "STOCK"


@quickly_made
@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact amount and its unit. All unit fields empty means that the unit is not known."""

    value: Decimal
    unit_code: str = ""
    unit_system: str = ""
    unit_text: str = ""

    def of(self, value: Decimal) -> "Quantity":
        """Another amount in the same unit."""
        return Quantity(value, self.unit_code, self.unit_system, self.unit_text)


@quickly_made
@dataclass(frozen=True, slots=True)
class Coding:
    """A code in a named system (RxNorm, NDC, SNOMED CT, dm+d, PZN …) and how people read it."""

    system: str
    code: str
    display: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What two codings are compared by; the display is for people."""
        return (self.system, self.code)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was done: a code, a sentence, or both. Text is kept as it was written."""

    coding: Coding | None = None
    text: str = ""

    @property
    def has_code(self) -> bool:
        """Whether a code was given."""
        return self.coding is not None and bool(self.coding.code)

    def __bool__(self) -> bool:
        return self.has_code or bool(self.text.strip())


@quickly_made
@dataclass(frozen=True, slots=True)
class PersonRef:
    """A person by ids. No names: they are patient or staff data and live elsewhere."""

    id: str
    npi: str = ""
    dea_number: str = ""
    role: str = ""


@quickly_made
@dataclass(frozen=True, slots=True)
class PharmacyRef:
    """A pharmacy by its NCPDP id or its NPI; a name alone comes only from old records."""

    ncpdp_id: str = ""
    npi: str = ""
    name: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids that are known."""
        return tuple(filter(None, (self.ncpdp_id, self.npi)))

    def is_same(self, other: "PharmacyRef") -> bool:
        """Same NCPDP id, else same NPI. Names are compared only where one side has no id at all."""
        if self.ncpdp_id and other.ncpdp_id:
            return self.ncpdp_id == other.ncpdp_id
        if self.npi and other.npi:
            return self.npi == other.npi
        if self.ids and other.ids:
            return False
        return bool(self.name) and self.name.casefold() == other.name.casefold()


@dataclass(frozen=True, slots=True)
class ClearPatient:
    """A patient's details in clear, as records of older shapes hold them. New events never do."""

    name: str = ""
    birth_date: date | None = None
    birth_date_text: str = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Data encrypted under a patient's own key; unreadable once that key is destroyed."""

    key_id: str
    ciphertext: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class DoseStep:
    """One step of a dosage, as far as it is known in figures. ``period`` counts ``period_unit`` (UCUM: h, d, wk …)."""

    dose: Quantity | None = None
    dose_high: Quantity | None = None
    frequency: int | None = None
    period: Decimal | None = None
    period_unit: str = ""
    route: Coding | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class Dosage:
    """How to take it. The text is always kept; the steps are there when the writer gave them, never parsed out of it."""

    text: str = ""
    steps: tuple[DoseStep, ...] = ()
    as_needed: bool = False


@quickly_made
@dataclass(frozen=True, slots=True)
class PrescriptionContent:
    """What the prescriber writes and signs: one medication for one patient.

    ``quantity`` is per fill; ``refills_allowed`` counts the fills after the first. ``patient_snapshot`` holds the patient's
    details as they were: sealed, or in clear where an old record holds them so. None and empty mean not stated.
    """

    patient_id: str
    prescriber: PersonRef
    quantity: Quantity
    medication: tuple[Coding, ...] = ()
    medication_text: str = ""
    schedule: Schedule = Schedule.NONE
    days_supply: int | None = None
    refills_allowed: int = 0
    dosage: Dosage = Dosage()
    substitution: Substitution = Substitution.ALLOWED
    reason: Coding | None = None
    earliest_fill: date | None = None
    nominated: PharmacyRef | None = None
    group_id: str = ""
    prior_prescription_id: UUID | None = None
    patient_snapshot: Sealed | ClearPatient | None = None
