"""What a MedicationRequest says in the terms of the domain, and the rules that supply what the resources lack.

The rules are told in docs/imports.md. What no rule supplies is a reason to refuse the resource.
"""

from collections.abc import Sequence
from uuid import UUID

from prescriptions.domain.values import (
    PersonRef,
    PharmacyRef,
    PrescriptionContent,
    Quantity,
    Schedule,
    Substitution,
)
from prescriptions.imports.fhir import DispenseFile, Medication, RequestFile
from prescriptions.imports.fhir_outcome import Untold
from prescriptions.imports.made_ids import made_dea_number, made_ncpdp_id, made_npi, made_uuid
from prescriptions.imports.schedules import ScheduledMedication, ScheduleTable

_STRICTEST_FIRST = (Schedule.II, Schedule.III, Schedule.IV, Schedule.V, Schedule.NONE)


def content_of(
    request: RequestFile, dispenses: Sequence[DispenseFile], schedules: ScheduleTable, supplied: list[str]
) -> PrescriptionContent:
    """The content, with the names of what was supplied added to ``supplied``; ``Untold`` where something has no rule."""
    if not request.patient:
        raise Untold("PATIENT_MISSING")
    if not request.requester:
        raise Untold("PRESCRIBER_MISSING")
    schedule = _strictest(known_of(request.medication, schedules))
    quantity = request.quantity
    if quantity is None:
        quantity = next((dispense.quantity for dispense in dispenses if dispense.quantity is not None), None)
        if quantity is None:
            raise Untold("QUANTITY_MISSING")
        supplied.append("quantity")
    supplied.append("prescriber ids")
    return PrescriptionContent(
        patient_id=_id_in(request.patient),
        prescriber=_prescriber(request.requester, controlled=schedule is not Schedule.NONE),
        quantity=quantity,
        medication=request.medication.codings,
        medication_text=request.medication.text,
        schedule=schedule,
        days_supply=request.days_supply,
        refills_allowed=request.refills_allowed,
        dosage=request.dosage,
        substitution=Substitution.DISPENSE_AS_WRITTEN if request.substitution_refused else Substitution.ALLOWED,
        reason=request.reason,
        group_id=request.group_id,
        prior_prescription_id=prescription_id_of(request.prior) if request.prior else None,
    )


def prescription_id_of(reference: str) -> UUID:
    """The prescription's id of a MedicationRequest, by its reference: ``MedicationRequest/medrx0301``."""
    return made_uuid("fhir", reference)


def known_of(medication: Medication, schedules: ScheduleTable) -> tuple[ScheduledMedication, ...]:
    """What the table knows of a medicine: of one of its codings, or of every ingredient; else its schedule is not known."""
    if medication.ingredients:
        parts = [schedules.find(coding.system, coding.code) for coding in medication.ingredients]
        known = tuple(part for part in parts if part is not None)
        if len(known) == len(parts):
            return known
    else:
        found = (schedules.find(coding.system, coding.code) for coding in medication.codings)
        first = next((entry for entry in found if entry is not None), None)
        if first is not None:
            return (first,)
    raise Untold("SCHEDULE_UNKNOWN")


def refuse_another_substance(request: RequestFile, dispense: DispenseFile, schedules: ScheduleTable) -> None:
    """A dispense belongs to its request only if both hold the same active substances."""
    asked, given = (known_of(file.medication, schedules) for file in (request, dispense))
    if {entry.substance for entry in asked} != {entry.substance for entry in given}:
        raise Untold("OTHER_SUBSTANCE")


def quantity_of(dispense: DispenseFile, content: PrescriptionContent, supplied: list[str]) -> Quantity:
    """What was handed out: as the file says, else one fill."""
    if dispense.quantity is not None:
        return dispense.quantity
    supplied.append("quantity")
    return content.quantity


def pharmacy_of(dispense: DispenseFile, supplied: list[str]) -> PharmacyRef:
    """The pharmacy: the location where one is named, else the one in which the performer works; its ids are made."""
    place = dispense.location or dispense.performer
    if not place:
        raise Untold("PHARMACY_MISSING")
    supplied.append("pharmacy ids" if dispense.location else "pharmacy")
    return PharmacyRef(made_ncpdp_id(place), made_npi(place), dispense.location_name or f"Pharmacy of {_id_in(place)}")


def pharmacist_of(dispense: DispenseFile, pharmacy: PharmacyRef) -> PersonRef:
    """Who handed it out: the performer, else one made for the pharmacy."""
    if not dispense.performer:
        return PersonRef(
            f"pharmacist-{pharmacy.ncpdp_id}", made_npi(f"pharmacist-{pharmacy.ncpdp_id}"), role="pharmacist"
        )
    return PersonRef(_id_in(dispense.performer), made_npi(dispense.performer), role="pharmacist")


def _prescriber(reference: str, *, controlled: bool) -> PersonRef:
    dea_number = made_dea_number(reference) if controlled else ""
    return PersonRef(_id_in(reference), made_npi(reference), dea_number, "prescriber")


def _strictest(known: Sequence[ScheduledMedication]) -> Schedule:
    return min((entry.schedule for entry in known), key=_STRICTEST_FIRST.index)


def _id_in(reference: str) -> str:
    return reference.rpartition("/")[2]
