"""From Synthea's medication rows to planned prescriptions: the rules are told in docs/imports.md."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from prescriptions.domain.commands import (
    ClaimPrescription,
    CreatePrescription,
    DispenseMedication,
    IssuePrescription,
)
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.profiles import Profile
from prescriptions.domain.values import (
    Coding,
    Dosage,
    PersonRef,
    PharmacyRef,
    PrescriptionContent,
    Schedule,
    Substitution,
)
from prescriptions.imports.chain import Link, chain, limits_of
from prescriptions.imports.fill_times import OPEN_ROWS_END, fill_times, interval
from prescriptions.imports.made_ids import made_dea_number, made_ncpdp_id, made_npi, made_uuid
from prescriptions.imports.plan import PlannedPrescription, Script, as_pharmacy, as_prescriber
from prescriptions.imports.schedules import ScheduleTable
from prescriptions.imports.signing import import_signature
from prescriptions.imports.supply import days_supply_of, quantity_of
from prescriptions.imports.synthea import MedicationRow
from prescriptions.imports.systems import RXNORM, SNOMED

DOSAGE_TEXT = "Take as directed"


@dataclass(frozen=True, slots=True)
class SyntheaRules:
    """What the plan rests on beside the rows: schedules, the profile that sets the limits, where open rows end."""

    schedules: ScheduleTable
    profile: Profile
    open_rows_end: datetime = OPEN_ROWS_END


def plan_synthea(rows: Iterable[MedicationRow], rules: SyntheaRules) -> Iterator[PlannedPrescription]:
    """The prescriptions of all rows, row by row, each row's chain from the first to the last."""
    for row in rows:
        yield from plan_row(row, rules)


def plan_row(row: MedicationRow, rules: SyntheaRules) -> Iterator[PlannedPrescription]:
    """The chain of one row: as many prescriptions as its fills need, each naming the one before."""
    known = rules.schedules.find(RXNORM, row.code)
    if known is None:
        raise KeyError(f"RxNorm {row.code} is in no schedule table; reading the row refuses that")
    times = fill_times(row.start, row.stop, row.dispenses, open_rows_end=rules.open_rows_end)
    limits = limits_of(known.schedule, rules.profile)
    links = chain(times, limits, keep_open=row.stop is None)
    prior: UUID | None = None
    for place, link in enumerate(links):
        prescription_id = prescription_id_of(row, place)
        content = _content(row, known.schedule, link, place=place, prior=prior, rules=rules)
        source = f"medications.csv:{row.line} ({place + 1} of {len(links)})"
        yield _script(
            Script(prescription_id, source), content, link, _pharmacy(row.organization_id, row.organization_name)
        )
        prior = prescription_id


def prescription_id_of(row: MedicationRow, place: int) -> UUID:
    """The id of the row's prescription at a place of its chain: the version 5 UUID of what tells the row apart."""
    return made_uuid("synthea", *row.identity, str(place))


def _script(script: Script, content: PrescriptionContent, link: Link, pharmacy: PharmacyRef) -> PlannedPrescription:
    issued = link.fills[0]
    prescriber = as_prescriber(content.prescriber.id)
    script.add(CreatePrescription(content), issued, prescriber)
    script.add(import_signature(content_sha256(content), content.schedule, "synthea"), issued, prescriber)
    script.add(IssuePrescription(), issued, prescriber)
    pharmacist = _pharmacist(pharmacy.ncpdp_id)
    actor = as_pharmacy(pharmacy, pharmacist.id)
    for fill, at in enumerate(link.fills):
        script.add(ClaimPrescription(pharmacy), at, actor)
        dispense = DispenseMedication(
            claim_token="",
            dispense_id=made_uuid("dispense", str(script.prescription_id), str(fill)),
            quantity=content.quantity,
            product=content.medication,
            days_supply=content.days_supply,
            pharmacist=pharmacist,
        )
        script.add(dispense, at, actor)
    return script.finished()


def _content(
    row: MedicationRow, schedule: Schedule, link: Link, *, place: int, prior: UUID | None, rules: SyntheaRules
) -> PrescriptionContent:
    step = interval(row.start, row.stop, row.dispenses, open_rows_end=rules.open_rows_end)
    days_supply = days_supply_of(step)
    return PrescriptionContent(
        patient_id=row.patient_id,
        prescriber=_prescriber(row.provider_id, controlled=schedule is not Schedule.NONE),
        quantity=quantity_of(row.description, days_supply),
        medication=(Coding(RXNORM, row.code, row.description),),
        medication_text=row.description,
        schedule=schedule,
        days_supply=days_supply,
        refills_allowed=link.refills_allowed,
        dosage=Dosage(DOSAGE_TEXT),
        substitution=Substitution.ALLOWED,
        reason=Coding(SNOMED, row.reason_code, row.reason_text) if row.reason_code else None,
        group_id=row.encounter_id if place == 0 else "",
        prior_prescription_id=prior,
    )


@lru_cache(maxsize=4096)
def _prescriber(provider_id: str, *, controlled: bool) -> PersonRef:
    dea_number = made_dea_number(provider_id) if controlled else ""
    return PersonRef(provider_id, made_npi(provider_id), dea_number, "prescriber")


@lru_cache(maxsize=4096)
def _pharmacy(organization_id: str, organization_name: str) -> PharmacyRef:
    return PharmacyRef(made_ncpdp_id(organization_id), made_npi(organization_id), f"{organization_name} Pharmacy")


@lru_cache(maxsize=4096)
def _pharmacist(ncpdp_id: str) -> PersonRef:
    pharmacist_id = f"pharmacist-{ncpdp_id}"
    return PersonRef(pharmacist_id, made_npi(pharmacist_id), role="pharmacist")
