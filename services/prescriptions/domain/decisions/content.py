"""What a prescription's content must satisfy, whether it is new or amended."""

from prescriptions.domain import errors
from prescriptions.domain.facts import Facts
from prescriptions.domain.guards import is_history, require_npi, require_pharmacy_id
from prescriptions.domain.identifiers import dea_is_valid
from prescriptions.domain.profiles import REFILLS_MAX
from prescriptions.domain.values import PersonRef, PrescriptionContent


def check_content(content: PrescriptionContent, facts: Facts) -> None:
    """Pass, or raise the refusal of the first rule that the content breaks."""
    if not content.patient_id:
        raise errors.PATIENT_REQUIRED("a prescription is for a patient", field="content.patient_id")
    if not content.medication and not content.medication_text.strip():
        raise errors.MEDICATION_REQUIRED("neither a code nor a text names the medication", field="content.medication")
    _check_prescriber(content.prescriber, facts)
    _check_amounts(content)
    _check_schedule(content, facts)
    if content.nominated is not None:
        require_pharmacy_id(content.nominated, facts, "content.nominated")


def _check_prescriber(prescriber: PersonRef, facts: Facts) -> None:
    if not prescriber.id:
        raise errors.PRESCRIBER_REQUIRED("the prescriber's id is missing", field="content.prescriber.id")
    if not prescriber.npi and facts.profile.npi_required and not is_history(facts):
        raise errors.INVALID_NPI("the prescriber's NPI is missing", field="content.prescriber.npi")
    require_npi(prescriber.npi, facts, "content.prescriber")


def _check_amounts(content: PrescriptionContent) -> None:
    if not content.quantity.value.is_finite() or content.quantity.value <= 0:
        raise errors.INVALID_QUANTITY("the quantity must be above zero", field="content.quantity.value")
    if content.days_supply is not None and content.days_supply < 1:
        raise errors.INVALID_DAYS_SUPPLY("days_supply is at least one, or absent", field="content.days_supply")
    if not 0 <= content.refills_allowed <= REFILLS_MAX:
        raise errors.INVALID_REFILLS(f"refills are 0 to {REFILLS_MAX}", field="content.refills_allowed")


def _check_schedule(content: PrescriptionContent, facts: Facts) -> None:
    rule = facts.profile.schedules[content.schedule]
    if content.refills_allowed > rule.refills_max:
        raise errors.REFILLS_NOT_ALLOWED(
            f"schedule {content.schedule.name} allows {rule.refills_max} refills, not {content.refills_allowed}",
            field="content.refills_allowed",
            refills_max=rule.refills_max,
        )
    dea = content.prescriber.dea_number
    if rule.dea_required and not dea and not is_history(facts):
        raise errors.INVALID_DEA(
            f"schedule {content.schedule.name} needs a DEA number", field="content.prescriber.dea_number"
        )
    if dea and not dea_is_valid(dea):
        raise errors.INVALID_DEA(f"{dea!r} is not a DEA number", field="content.prescriber.dea_number")
