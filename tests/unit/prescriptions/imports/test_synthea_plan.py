"""What one row becomes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from prescriptions.domain.commands import ClaimPrescription, CreatePrescription, DispenseMedication, SignPrescription
from prescriptions.domain.hashing import is_hash_of
from prescriptions.domain.state import Status
from prescriptions.domain.values import PrescriptionContent, Schedule, SigningFactor
from prescriptions.imports.plan import PlannedPrescription
from prescriptions.imports.rehearsal import rehearse
from prescriptions.imports.synthea import MedicationRow
from prescriptions.imports.synthea_plan import SyntheaRules, plan_row

RowMaker = Callable[..., MedicationRow]

OXYCODONE = {"code": "1049625", "description": "Acetaminophen 325 MG / Oxycodone Hydrochloride 10 MG Oral Tablet"}
LORAZEPAM = {"code": "238100", "description": "Lorazepam 2 MG/ML Injectable Solution"}


def content_of(plan: PlannedPrescription) -> PrescriptionContent:
    command = plan.steps[0].command
    assert isinstance(command, CreatePrescription)
    return command.content


def signature_of(plan: PlannedPrescription) -> SignPrescription:
    command = plan.steps[1].command
    assert isinstance(command, SignPrescription)
    return command


def test_a_row_becomes_create_sign_issue_and_per_fill_claim_and_dispense(row: RowMaker, rules: SyntheaRules) -> None:
    (plan,) = plan_row(row(dispenses=2), rules)
    assert [type(step.command).__name__ for step in plan.steps] == [
        "CreatePrescription",
        "SignPrescription",
        "IssuePrescription",
        "ClaimPrescription",
        "DispenseMedication",
        "ClaimPrescription",
        "DispenseMedication",
    ]


def test_effective_times_never_run_backwards_and_begin_on_start(row: RowMaker, rules: SyntheaRules) -> None:
    made = row(dispenses=30, stop=None)
    times = [step.effective_time for plan in plan_row(made, rules) for step in plan.steps]
    assert times[0] == made.start
    assert times == sorted(times)


def test_each_prescription_of_a_chain_names_the_one_before(row: RowMaker, rules: SyntheaRules) -> None:
    plans = list(plan_row(row(dispenses=30, stop=None), rules))
    assert len(plans) == 3
    assert [content_of(plan).prior_prescription_id for plan in plans] == [
        None,
        plans[0].prescription_id,
        plans[1].prescription_id,
    ]


def test_a_row_without_stop_ends_in_a_prescription_with_one_refill_open(row: RowMaker, rules: SyntheaRules) -> None:
    plans = list(plan_row(row(dispenses=30, stop=None), rules))
    ends = [rehearse(plan, rules.profile) for plan in plans]
    assert [end.status for end in ends] == [Status.COMPLETED, Status.COMPLETED, Status.AWAITING_REFILL]
    # Ready for exactly one more: none left after the one that is next.
    assert ends[-1].refills_remaining == 0


def test_a_row_with_stop_is_completed(row: RowMaker, rules: SyntheaRules) -> None:
    (plan,) = plan_row(row(), rules)
    assert rehearse(plan, rules.profile).status is Status.COMPLETED


def test_schedule_two_becomes_one_prescription_a_fill(row: RowMaker, rules: SyntheaRules) -> None:
    plans = list(plan_row(row(**OXYCODONE, dispenses=3, stop=None), rules))
    assert [plan.fills for plan in plans] == [1, 1, 1]
    assert {rehearse(plan, rules.profile).status for plan in plans} == {Status.COMPLETED}


def test_schedule_four_ends_after_six_months_or_five_refills(row: RowMaker, rules: SyntheaRules) -> None:
    by_months = row(**LORAZEPAM, dispenses=12)
    assert [plan.fills for plan in plan_row(by_months, rules)] == [6, 6]
    by_refills = row(**LORAZEPAM, dispenses=8, stop=by_months.start + timedelta(days=56))
    assert [plan.fills for plan in plan_row(by_refills, rules)] == [6, 2]


def test_controlled_prescriptions_have_a_dea_number_and_two_factors(row: RowMaker, rules: SyntheaRules) -> None:
    (plan,) = plan_row(row(**OXYCODONE, dispenses=1), rules)
    assert content_of(plan).schedule is Schedule.II
    assert content_of(plan).prescriber.dea_number
    assert set(signature_of(plan).factors) == {SigningFactor.KNOWLEDGE, SigningFactor.HARD_TOKEN}


def test_uncontrolled_prescriptions_carry_no_dea_number(row: RowMaker, rules: SyntheaRules) -> None:
    (plan,) = plan_row(row(), rules)
    assert content_of(plan).prescriber.dea_number == ""
    assert signature_of(plan).factors == ()


def test_the_signature_is_over_the_content_written(row: RowMaker, rules: SyntheaRules) -> None:
    (plan,) = plan_row(row(), rules)
    assert is_hash_of(signature_of(plan).content_sha256, content_of(plan))


def test_the_prescriber_is_the_encounters_provider(row: RowMaker, rules: SyntheaRules) -> None:
    (plan,) = plan_row(row(), rules)
    assert content_of(plan).prescriber.id == row().provider_id
    assert plan.steps[0].actor.id == row().provider_id


def test_every_step_acts_in_the_role_import_and_fills_for_a_pharmacy(row: RowMaker, rules: SyntheaRules) -> None:
    (plan,) = plan_row(row(dispenses=1), rules)
    assert {step.actor.role for step in plan.steps} == {"import"}
    claim, dispense = plan.steps[3], plan.steps[4]
    assert isinstance(claim.command, ClaimPrescription)
    assert isinstance(dispense.command, DispenseMedication)
    assert claim.actor == dispense.actor
    assert claim.actor.organisation == claim.command.pharmacy.ncpdp_id


def test_prescriptions_of_one_encounter_share_a_group_and_renewals_have_none(
    row: RowMaker, rules: SyntheaRules
) -> None:
    plans = list(plan_row(row(dispenses=30, stop=None), rules))
    assert [content_of(plan).group_id for plan in plans] == [row().encounter_id, "", ""]


def test_the_reason_is_the_rows_snomed_code(row: RowMaker, rules: SyntheaRules) -> None:
    (plan,) = plan_row(row(reason_code="59621000", reason_text="Essential hypertension (disorder)"), rules)
    reason = content_of(plan).reason
    assert reason is not None
    assert (reason.system, reason.code) == ("http://snomed.info/sct", "59621000")


def test_nothing_in_a_plan_names_a_patient(synthea_plans: tuple[PlannedPrescription, ...]) -> None:
    assert all(content_of(plan).patient_snapshot is None for plan in synthea_plans)


def test_planning_twice_gives_the_same_ids(row: RowMaker, rules: SyntheaRules) -> None:
    made = row(dispenses=30, stop=None)
    assert list(plan_row(made, rules)) == list(plan_row(made, rules))


def test_ids_are_made_of_patient_encounter_code_start_stop_and_place(row: RowMaker, rules: SyntheaRules) -> None:
    def first_id(**fields: object) -> UUID:
        return next(iter(plan_row(row(**fields), rules))).prescription_id

    other = "00000000-0000-4000-8000-000000000000"
    ids = {
        first_id(),
        first_id(patient_id=other),
        first_id(encounter_id=other),
        first_id(code="314077"),
        first_id(start=datetime(2020, 1, 2, tzinfo=UTC)),
        first_id(stop=None),
        first_id(occurrence=1),
    }
    assert len(ids) == 7
    assert first_id(dispenses=1, provider_id=other, line=99) == first_id()


def test_a_code_without_a_schedule_is_not_planned(row: RowMaker, rules: SyntheaRules) -> None:
    with pytest.raises(KeyError, match="RxNorm 1 "):
        list(plan_row(row(code="1"), rules))
