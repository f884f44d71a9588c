"""What becomes of each of the 71 example files; tests/data/fhir-r4-expected.csv is the table."""

import csv
from pathlib import Path

import pytest

from eventkernel.errors import Refusal
from prescriptions.domain.profiles import US
from prescriptions.imports.fhir import read_fhir
from prescriptions.imports.fhir_outcome import FhirPlan, Outcome
from prescriptions.imports.fhir_plan import plan_fhir
from prescriptions.imports.rehearsal import rehearse
from prescriptions.imports.schedules import ScheduleTable

EXPECTED = Path(__file__).parents[3] / "data" / "fhir-r4-expected.csv"


@pytest.fixture(scope="module")
def plan(fhir_directory: Path, schedules: ScheduleTable) -> FhirPlan:
    return plan_fhir(read_fhir(fhir_directory), schedules, US)


def table() -> dict[str, dict[str, str]]:
    with EXPECTED.open(encoding="utf-8", newline="") as lines:
        return {row["file"]: row for row in csv.DictReader(lines)}


def test_the_table_has_every_file(fhir_directory: Path) -> None:
    assert sorted(table()) == sorted(path.name for path in fhir_directory.glob("*.json"))
    assert len(table()) == 71


@pytest.mark.parametrize("file", sorted(table()))
def test_a_file_has_the_outcome_of_the_table(plan: FhirPlan, file: str) -> None:
    (outcome,) = (outcome for outcome in plan.outcomes if outcome.file == file)
    fills = {prescription.source: str(prescription.fills) for prescription in plan.prescriptions}
    assert {
        "file": outcome.file,
        "outcome": outcome.outcome.value,
        "reason": outcome.reason,
        "status": outcome.status,
        "supplied": "; ".join(outcome.supplied),
        "fills": fills.get(outcome.file, ""),
    } == table()[file]


def test_every_refusal_has_a_reason_and_no_import_has_one(plan: FhirPlan) -> None:
    for outcome in plan.outcomes:
        assert bool(outcome.reason) == (outcome.outcome is not Outcome.IMPORTED)


def test_the_decider_accepts_what_is_planned_and_ends_in_the_status_told(plan: FhirPlan) -> None:
    told = {outcome.file: outcome.status for outcome in plan.outcomes}
    for prescription in plan.prescriptions:
        try:
            assert rehearse(prescription, US).status.name == told[prescription.source]
        except Refusal as refusal:
            pytest.fail(f"{prescription.source}: {refusal}")


def test_planning_again_gives_the_same_plan(plan: FhirPlan, fhir_directory: Path, schedules: ScheduleTable) -> None:
    assert plan_fhir(read_fhir(fhir_directory), schedules, US) == plan
