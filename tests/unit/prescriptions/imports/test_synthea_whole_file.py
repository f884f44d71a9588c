"""The whole set of 4,445 rows, planned and played through the decider."""

from collections import Counter

from prescriptions.domain.commands import CreatePrescription, DispenseMedication
from prescriptions.domain.state import Status
from prescriptions.domain.values import Schedule
from prescriptions.imports.expectations import expected_of
from prescriptions.imports.plan import PlannedPrescription, fills_of
from prescriptions.imports.rehearsal import rehearse
from prescriptions.imports.synthea import MedicationRow
from prescriptions.imports.synthea_plan import SyntheaRules, plan_synthea
from prescriptions.imports.systems import RXNORM

Plans = tuple[PlannedPrescription, ...]


def code_of(plan: PlannedPrescription) -> str:
    command = plan.steps[0].command
    assert isinstance(command, CreatePrescription)
    return command.content.medication[0].code


def fills_in(file: list[dict[str, str]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in file:
        found[row["CODE"]] += int(row["DISPENSES"])
    return found


def test_all_rows_and_all_fills_are_planned(synthea_rows: tuple[MedicationRow, ...], synthea_plans: Plans) -> None:
    assert len(synthea_rows) == 4_445
    assert fills_of(synthea_plans) == 27_204


def test_fills_per_code_are_those_of_the_file(synthea_file: list[dict[str, str]], synthea_plans: Plans) -> None:
    planned: Counter[str] = Counter()
    for plan in synthea_plans:
        planned[code_of(plan)] += plan.fills
    assert planned == fills_in(synthea_file)


def test_the_expectation_counts_the_file(
    synthea_file: list[dict[str, str]], synthea_rows: tuple[MedicationRow, ...]
) -> None:
    expected = expected_of(synthea_rows)
    assert (expected.rows, expected.fills) == (4_445, 27_204)
    assert expected.fills_by_code == fills_in(synthea_file)
    assert len(expected.fills_by_code) == 121


def test_no_two_things_share_an_id(synthea_plans: Plans) -> None:
    dispenses = [
        step.command.dispense_id
        for plan in synthea_plans
        for step in plan.steps
        if isinstance(step.command, DispenseMedication)
    ]
    requests = [step.request_id for plan in synthea_plans for step in plan.steps]
    prescriptions = [plan.prescription_id for plan in synthea_plans]
    assert len(set(prescriptions)) == len(prescriptions) == 6_999
    assert len(set(requests)) == len(requests) == 75_405
    assert len(set(dispenses)) == len(dispenses) == 27_204


def test_no_two_prescribers_share_an_npi(synthea_plans: Plans) -> None:
    by_npi: dict[str, set[str]] = {}
    for plan in synthea_plans:
        command = plan.steps[0].command
        assert isinstance(command, CreatePrescription)
        by_npi.setdefault(command.content.prescriber.npi, set()).add(command.content.prescriber.id)
    assert all(len(ids) == 1 for ids in by_npi.values())


def test_the_decider_accepts_every_command_and_gives_every_fill(synthea_plans: Plans, rules: SyntheaRules) -> None:
    ends = [rehearse(plan, rules.profile) for plan in synthea_plans]
    assert sum(end.fills_done for end in ends) == 27_204
    assert Counter(end.status for end in ends) == {Status.COMPLETED: 6_780, Status.AWAITING_REFILL: 219}


def test_what_stays_open_are_the_rows_without_stop_that_may_have_refills(
    synthea_rows: tuple[MedicationRow, ...], synthea_plans: Plans, rules: SyntheaRules
) -> None:
    open_rows = [row for row in synthea_rows if row.stop is None]
    may_not = [row for row in open_rows if rules.schedules.entries[RXNORM, row.code].schedule is Schedule.II]
    assert (len(open_rows), len(may_not)) == (233, 14)
    still_open = [plan for plan in synthea_plans if rehearse(plan, rules.profile).status is Status.AWAITING_REFILL]
    assert len(still_open) == len(open_rows) - len(may_not)


def test_the_row_with_936_fills_becomes_a_chain_within_twelve_months_each(
    synthea_rows: tuple[MedicationRow, ...], rules: SyntheaRules
) -> None:
    (row,) = (row for row in synthea_rows if row.dispenses == 936)
    plans = list(plan_synthea([row], rules))
    assert fills_of(plans) == 936
    assert len(plans) == 72
    fills = [
        step.effective_time for plan in plans for step in plan.steps if isinstance(step.command, DispenseMedication)
    ]
    assert fills[0] == row.start
    assert fills == sorted(fills)
    assert fills[-1].date().isoformat() < "2023-12-30"


def test_planning_the_file_again_gives_the_same_plan(
    synthea_rows: tuple[MedicationRow, ...], synthea_plans: Plans, rules: SyntheaRules
) -> None:
    assert tuple(plan_synthea(synthea_rows, rules)) == synthea_plans
