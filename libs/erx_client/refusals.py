"""Every refusal of the prescriptions context as a class. A test holds this list to the domain's own."""

from erx_client.errors import InvalidRequest, NotPermitted, Refused


class RoleNotAllowed(NotPermitted, reason="ROLE_NOT_ALLOWED"):
    """The role does not give this command."""


class NotAuthor(NotPermitted, reason="NOT_AUTHOR"):
    """Only the author may do this."""


class NotPatient(NotPermitted, reason="NOT_PATIENT"):
    """The caller is not the prescription's patient."""


class NotYourPharmacy(NotPermitted, reason="NOT_YOUR_PHARMACY"):
    """The caller does not act for this pharmacy."""


class NotClaimHolder(NotPermitted, reason="NOT_CLAIM_HOLDER"):
    """Another pharmacy holds the prescription, or the claim token is not its own."""


class PatientRequired(InvalidRequest, reason="PATIENT_REQUIRED"):
    """A prescription needs a patient."""


class PrescriberRequired(InvalidRequest, reason="PRESCRIBER_REQUIRED"):
    """A prescription needs a prescriber."""


class MedicationRequired(InvalidRequest, reason="MEDICATION_REQUIRED"):
    """A prescription needs a medication."""


class InvalidNpi(InvalidRequest, reason="INVALID_NPI"):
    """The NPI is malformed, or its check digit is wrong."""


class InvalidDea(InvalidRequest, reason="INVALID_DEA"):
    """The DEA number is malformed, or its check digit is wrong."""


class InvalidNcpdpId(InvalidRequest, reason="INVALID_NCPDP_ID"):
    """The NCPDP id is malformed, or its check digit is wrong."""


class InvalidQuantity(InvalidRequest, reason="INVALID_QUANTITY"):
    """The quantity is not an amount that can be prescribed or handed out."""


class InvalidDaysSupply(InvalidRequest, reason="INVALID_DAYS_SUPPLY"):
    """The number of days is out of range."""


class InvalidRefills(InvalidRequest, reason="INVALID_REFILLS"):
    """The number of refills is out of range."""


class RefillsNotAllowed(InvalidRequest, reason="REFILLS_NOT_ALLOWED"):
    """The schedule does not allow so many refills."""


class PatientCannotChange(InvalidRequest, reason="PATIENT_CANNOT_CHANGE"):
    """An amendment must keep the patient and the author."""


class NoChange(Refused, reason="NO_CHANGE"):
    """The amendment changes nothing."""


class HashMismatch(Refused, reason="HASH_MISMATCH"):
    """What was signed is not what is written."""


class SignatureRequired(InvalidRequest, reason="SIGNATURE_REQUIRED"):
    """The signature is empty."""


class SignatureInvalid(Refused, reason="SIGNATURE_INVALID"):
    """The signature does not hold."""


class TwoFactorRequired(Refused, reason="TWO_FACTOR_REQUIRED"):
    """A controlled substance is signed with two factors of different kinds."""


class EarliestFillAfterExpiry(Refused, reason="EARLIEST_FILL_AFTER_EXPIRY"):
    """It would expire before it may be filled."""


class NotYetValid(Refused, reason="NOT_YET_VALID"):
    """It may not be filled yet."""


class PrescriptionExpired(Refused, reason="PRESCRIPTION_EXPIRED"):
    """Its time has run out."""


class ExpiryUnknown(Refused, reason="EXPIRY_UNKNOWN"):
    """Nobody wrote down when it expires, so it cannot be decided on."""


class NotYetExpired(Refused, reason="NOT_YET_EXPIRED"):
    """Its time has not run out."""


class PartialFillTooLate(Refused, reason="PARTIAL_FILL_TOO_LATE"):
    """A part leaves no time for its rest."""


class RefillTooSoon(Refused, reason="REFILL_TOO_SOON"):
    """The last supply is not used up far enough."""


class ReversalTooLate(Refused, reason="REVERSAL_TOO_LATE"):
    """The time to reverse the dispense is over."""


class InvalidHandoverTime(InvalidRequest, reason="INVALID_HANDOVER_TIME"):
    """The hand-over does not lie between the claim and now."""


class NominatedElsewhere(Refused, reason="NOMINATED_ELSEWHERE"):
    """It is meant for another pharmacy."""


class PrescriptionWithAnotherDispenser(Refused, reason="PRESCRIPTION_WITH_ANOTHER_DISPENSER"):
    """Another pharmacy has it."""


class DuplicateDispense(Refused, reason="DUPLICATE_DISPENSE"):
    """The dispense's id was used before."""


class UnitMismatch(Refused, reason="UNIT_MISMATCH"):
    """The unit is not the one prescribed."""


class QuantityExceeded(Refused, reason="QUANTITY_EXCEEDED"):
    """More is handed out than remains."""


class UseDispense(Refused, reason="USE_DISPENSE"):
    """This is the whole rest: send DispenseMedication."""


class UseDispensePartially(Refused, reason="USE_DISPENSE_PARTIALLY"):
    """This is less than the rest: send DispensePartially, or close the fill short."""


class ProductRequired(InvalidRequest, reason="PRODUCT_REQUIRED"):
    """What is handed out has to be named."""


class SubstitutionNotAllowed(Refused, reason="SUBSTITUTION_NOT_ALLOWED"):
    """Another product was handed out than the one prescribed."""


class PartialReasonRequired(InvalidRequest, reason="PARTIAL_REASON_REQUIRED"):
    """A part of a schedule II substance needs the reason why."""


class FillAlreadyBegun(Refused, reason="FILL_ALREADY_BEGUN"):
    """A part of the fill was handed out already."""


class DispenseUnknown(Refused, reason="DISPENSE_UNKNOWN"):
    """There is no such dispense."""


class DispenseNotLast(Refused, reason="DISPENSE_NOT_LAST"):
    """Only the last dispense that stands can be undone."""


class ReasonRequired(InvalidRequest, reason="REASON_REQUIRED"):
    """A reason has to be given."""


class CancelNeedsPharmacy(Refused, reason="CANCEL_NEEDS_PHARMACY"):
    """A pharmacy holds it: it has to agree."""


class DispensedCannotVoid(Refused, reason="DISPENSED_CANNOT_VOID"):
    """What was handed out cannot be declared void."""
