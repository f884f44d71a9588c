"""Every refusal of this context by name. The kernel's ``Refusal`` carries them; there is no tree of classes below it.

::

    Refusal
    ├── kind PERMISSION     who acts may not: the role, the author, the patient, the pharmacy, the claim's token
    ├── kind ARGUMENT       a value in the command is malformed; ``field`` names it
    └── kind PRECONDITION   the prescription is not in the state for it

``reason`` strings are part of the API and never renamed.
"""

from dataclasses import dataclass
from typing import Final

from eventkernel.errors import Refusal, RefusalKind


@dataclass(frozen=True, slots=True)
class RefusalName:
    """A reason and its kind. Calling it makes the refusal: ``raise NOT_AUTHOR("only the author may …")``."""

    reason: str
    kind: RefusalKind

    def __call__(self, message: str, *, field: str | None = None, **details: object) -> Refusal:
        """Build the refusal; ``details`` become short strings for machines."""
        texts = {key: str(value) for key, value in details.items()}
        return Refusal(self.reason, message, kind=self.kind, field=field, details=texts)


def _permission(reason: str) -> RefusalName:
    return RefusalName(reason, RefusalKind.PERMISSION)


def _argument(reason: str) -> RefusalName:
    return RefusalName(reason, RefusalKind.ARGUMENT)


def _precondition(reason: str) -> RefusalName:
    return RefusalName(reason, RefusalKind.PRECONDITION)


# Who acts.
ROLE_NOT_ALLOWED: Final = _permission("ROLE_NOT_ALLOWED")
NOT_AUTHOR: Final = _permission("NOT_AUTHOR")
NOT_PATIENT: Final = _permission("NOT_PATIENT")
NOT_YOUR_PHARMACY: Final = _permission("NOT_YOUR_PHARMACY")
NOT_CLAIM_HOLDER: Final = _permission("NOT_CLAIM_HOLDER")

# What is written.
PATIENT_REQUIRED: Final = _argument("PATIENT_REQUIRED")
PRESCRIBER_REQUIRED: Final = _argument("PRESCRIBER_REQUIRED")
MEDICATION_REQUIRED: Final = _argument("MEDICATION_REQUIRED")
INVALID_NPI: Final = _argument("INVALID_NPI")
INVALID_DEA: Final = _argument("INVALID_DEA")
INVALID_NCPDP_ID: Final = _argument("INVALID_NCPDP_ID")
INVALID_QUANTITY: Final = _argument("INVALID_QUANTITY")
INVALID_DAYS_SUPPLY: Final = _argument("INVALID_DAYS_SUPPLY")
INVALID_REFILLS: Final = _argument("INVALID_REFILLS")
REFILLS_NOT_ALLOWED: Final = _argument("REFILLS_NOT_ALLOWED")
PATIENT_CANNOT_CHANGE: Final = _argument("PATIENT_CANNOT_CHANGE")
NO_CHANGE: Final = _precondition("NO_CHANGE")

# Signing and issuing.
HASH_MISMATCH: Final = _precondition("HASH_MISMATCH")
SIGNATURE_REQUIRED: Final = _argument("SIGNATURE_REQUIRED")
SIGNATURE_INVALID: Final = _precondition("SIGNATURE_INVALID")
TWO_FACTOR_REQUIRED: Final = _precondition("TWO_FACTOR_REQUIRED")
EARLIEST_FILL_AFTER_EXPIRY: Final = _precondition("EARLIEST_FILL_AFTER_EXPIRY")

# Time.
NOT_YET_VALID: Final = _precondition("NOT_YET_VALID")
PRESCRIPTION_EXPIRED: Final = _precondition("PRESCRIPTION_EXPIRED")
EXPIRY_UNKNOWN: Final = _precondition("EXPIRY_UNKNOWN")
NOT_YET_EXPIRED: Final = _precondition("NOT_YET_EXPIRED")
PARTIAL_FILL_TOO_LATE: Final = _precondition("PARTIAL_FILL_TOO_LATE")
REFILL_TOO_SOON: Final = _precondition("REFILL_TOO_SOON")
REVERSAL_TOO_LATE: Final = _precondition("REVERSAL_TOO_LATE")
INVALID_HANDOVER_TIME: Final = _argument("INVALID_HANDOVER_TIME")

# Claiming.
NOMINATED_ELSEWHERE: Final = _precondition("NOMINATED_ELSEWHERE")
PRESCRIPTION_WITH_ANOTHER_DISPENSER: Final = _precondition("PRESCRIPTION_WITH_ANOTHER_DISPENSER")

# Dispensing.
DUPLICATE_DISPENSE: Final = _precondition("DUPLICATE_DISPENSE")
UNIT_MISMATCH: Final = _precondition("UNIT_MISMATCH")
QUANTITY_EXCEEDED: Final = _precondition("QUANTITY_EXCEEDED")
USE_DISPENSE: Final = _precondition("USE_DISPENSE")
USE_DISPENSE_PARTIALLY: Final = _precondition("USE_DISPENSE_PARTIALLY")
PRODUCT_REQUIRED: Final = _argument("PRODUCT_REQUIRED")
SUBSTITUTION_NOT_ALLOWED: Final = _precondition("SUBSTITUTION_NOT_ALLOWED")
PARTIAL_REASON_REQUIRED: Final = _argument("PARTIAL_REASON_REQUIRED")
FILL_ALREADY_BEGUN: Final = _precondition("FILL_ALREADY_BEGUN")
DISPENSE_UNKNOWN: Final = _precondition("DISPENSE_UNKNOWN")
DISPENSE_NOT_LAST: Final = _precondition("DISPENSE_NOT_LAST")

# Ending.
REASON_REQUIRED: Final = _argument("REASON_REQUIRED")
CANCEL_NEEDS_PHARMACY: Final = _precondition("CANCEL_NEEDS_PHARMACY")
DISPENSED_CANNOT_VOID: Final = _precondition("DISPENSED_CANNOT_VOID")
