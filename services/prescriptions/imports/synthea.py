"""Reads a Synthea CSV export: medications, and the encounters, providers, organizations and patients they name.

The whole export is checked before anything is returned; one bad row refuses all of it.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from prescriptions.imports.csv_table import Row, read_rows
from prescriptions.imports.errors import InputRefused, Problem
from prescriptions.imports.schedules import ScheduleTable
from prescriptions.imports.systems import RXNORM

DISPENSES_MAX = 100_000

_MEDICATIONS = (
    "START",
    "STOP",
    "PATIENT",
    "ENCOUNTER",
    "CODE",
    "DESCRIPTION",
    "DISPENSES",
    "REASONCODE",
    "REASONDESCRIPTION",
)
_ENCOUNTERS = ("Id", "PATIENT", "ORGANIZATION", "PROVIDER")


@dataclass(frozen=True, slots=True)
class MedicationRow:
    """One medication row with what its encounter adds.

    ``occurrence`` tells rows apart that agree in patient, encounter, code, START and STOP: 0 for the first of them.
    """

    line: int
    patient_id: str
    encounter_id: str
    provider_id: str
    organization_id: str
    organization_name: str
    code: str
    description: str
    start: datetime
    stop: datetime | None
    dispenses: int
    reason_code: str
    reason_text: str
    occurrence: int

    @property
    def identity(self) -> tuple[str, ...]:
        """What the ids of the row's prescriptions are made from."""
        stop = _iso(self.stop) if self.stop else ""
        parts = (self.patient_id, self.encounter_id, self.code, _iso(self.start), stop)
        return parts if self.occurrence == 0 else (*parts, f"again {self.occurrence}")


@dataclass(frozen=True, slots=True)
class _Encounter:
    patient_id: str
    provider_id: str
    organization_id: str


def read_synthea(directory: Path, schedules: ScheduleTable) -> tuple[MedicationRow, ...]:
    """Every medication row of the export, in the file's order, or ``InputRefused`` with all that is wrong."""
    problems: list[Problem] = []
    if not directory.is_dir():
        raise InputRefused([Problem(str(directory), None, "", "is not a directory; a Synthea CSV export was expected")])
    patients = set(_ids(directory / "patients.csv", problems))
    providers = set(_ids(directory / "providers.csv", problems))
    organizations = _organizations(directory / "organizations.csv", problems)
    encounters = _encounters(directory / "encounters.csv", providers, organizations, problems)
    occurrences: Counter[tuple[str, ...]] = Counter()
    medications: list[MedicationRow] = []
    known = not problems
    for row in read_rows(directory / "medications.csv", _MEDICATIONS, problems):
        medication = _medication(row, patients, encounters, organizations, schedules, known=known)
        if medication is not None:
            occurrence = occurrences[medication.identity]
            occurrences[medication.identity] += 1
            medications.append(replace(medication, occurrence=occurrence) if occurrence else medication)
    if problems:
        raise InputRefused(problems)
    return tuple(medications)


def _ids(path: Path, problems: list[Problem]) -> list[str]:
    return [found for row in read_rows(path, ("Id",), problems) if (found := row.uuid("Id"))]


def _organizations(path: Path, problems: list[Problem]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in read_rows(path, ("Id", "NAME"), problems):
        organization_id, name = row.uuid("Id"), row.text("NAME")
        if organization_id and name:
            found[organization_id] = name
    return found


def _encounters(
    path: Path, providers: set[str], organizations: dict[str, str], problems: list[Problem]
) -> dict[str, _Encounter]:
    known = not problems
    found: dict[str, _Encounter] = {}
    for row in read_rows(path, _ENCOUNTERS, problems):
        encounter_id, patient_id = row.uuid("Id"), row.uuid("PATIENT")
        provider_id, organization_id = row.uuid("PROVIDER"), row.uuid("ORGANIZATION")
        if not (encounter_id and patient_id and provider_id and organization_id):
            continue
        if known and provider_id not in providers:
            row.refuse("PROVIDER", f"{provider_id} is not in providers.csv")
        if known and organization_id not in organizations:
            row.refuse("ORGANIZATION", f"{organization_id} is not in organizations.csv")
        found[encounter_id] = _Encounter(patient_id, provider_id, organization_id)
    return found


def _medication(
    row: Row,
    patients: set[str],
    encounters: dict[str, _Encounter],
    organizations: dict[str, str],
    schedules: ScheduleTable,
    *,
    known: bool,
) -> MedicationRow | None:
    patient_id, encounter_id = row.uuid("PATIENT"), row.uuid("ENCOUNTER")
    start = row.moment("START")
    stop = row.moment("STOP") if row.values["STOP"] else None
    code, description = row.text("CODE"), row.text("DESCRIPTION")
    dispenses = row.whole_number("DISPENSES", at_least=1, at_most=DISPENSES_MAX)
    if code and schedules.find(RXNORM, code) is None:
        row.refuse("CODE", f"no schedule is known for RxNorm {code}; add it to the schedule table with its source")
    if not (patient_id and encounter_id and start and code and description and dispenses and known):
        return None
    if patient_id not in patients:
        row.refuse("PATIENT", f"{patient_id} is not in patients.csv")
    encounter = encounters.get(encounter_id)
    if encounter is None:
        row.refuse("ENCOUNTER", f"{encounter_id} is not in encounters.csv")
        return None
    if encounter.patient_id != patient_id:
        row.refuse("PATIENT", f"encounter {encounter_id} is of another patient, {encounter.patient_id}")
    return MedicationRow(
        line=row.line,
        patient_id=patient_id,
        encounter_id=encounter_id,
        provider_id=encounter.provider_id,
        organization_id=encounter.organization_id,
        organization_name=organizations.get(encounter.organization_id, ""),
        code=code,
        description=description,
        start=start,
        stop=stop,
        dispenses=dispenses,
        reason_code=row.values["REASONCODE"],
        reason_text=row.values["REASONDESCRIPTION"],
        occurrence=0,
    )


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
