"""The rules of the FHIR import, one resource at a time; what the example files do not show."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prescriptions.domain.commands import CancelPrescription, ClaimPrescription, DispenseMedication, RecordNotDispensed
from prescriptions.domain.profiles import US
from prescriptions.domain.state import Status
from prescriptions.imports.fhir import read_fhir
from prescriptions.imports.fhir_outcome import FhirPlan, FileOutcome, Outcome
from prescriptions.imports.fhir_plan import plan_fhir
from prescriptions.imports.rehearsal import rehearse
from prescriptions.imports.schedules import ScheduleTable

Planner = Callable[..., FhirPlan]
RX = "http://www.nlm.nih.gov/research/umls/rxnorm"
LISINOPRIL = {"coding": [{"system": RX, "code": "314076", "display": "lisinopril 10 MG Oral Tablet"}]}
LISINOPRIL_20 = {"coding": [{"system": RX, "code": "314077", "display": "lisinopril 20 MG Oral Tablet"}]}
TABLETS = {"value": 30, "unit": "TAB", "code": "TAB"}


def request(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": "r",
        "status": "active",
        "intent": "order",
        "authoredOn": "2020-01-01",
        "subject": {"reference": "Patient/p"},
        "requester": {"reference": "Practitioner/d"},
        "medicationCodeableConcept": LISINOPRIL,
        "dispenseRequest": {"quantity": TABLETS, "numberOfRepeatsAllowed": 0},
    } | members


def dispense(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationDispense",
        "id": "d",
        "status": "completed",
        "authorizingPrescription": [{"reference": "MedicationRequest/r"}],
        "medicationCodeableConcept": LISINOPRIL,
        "quantity": TABLETS,
        "performer": [{"actor": {"reference": "Practitioner/ph"}}],
        "whenPrepared": "2020-01-02T09:00:00Z",
        "whenHandedOver": "2020-01-02T10:00:00Z",
    } | members


@pytest.fixture
def planned(tmp_path: Path, schedules: ScheduleTable) -> Planner:
    def make(*resources: dict[str, Any]) -> FhirPlan:
        for resource in resources:
            name = f"{resource['resourceType']}-{resource['id']}.json"
            kept = {name: value for name, value in resource.items() if value is not None}
            (tmp_path / name).write_text(json.dumps(kept), encoding="utf-8")
        return plan_fhir(read_fhir(tmp_path), schedules, US)

    return make


def outcome(plan: FhirPlan, prefix: str) -> FileOutcome:
    (found,) = (outcome for outcome in plan.outcomes if outcome.file.startswith(prefix))
    return found


@pytest.mark.parametrize(
    ("status", "ends_in"),
    [
        ("draft", Status.DRAFT),
        ("active", Status.ISSUED),
        ("on-hold", Status.ON_HOLD),
        ("cancelled", Status.CANCELLED),
        ("stopped", Status.CANCELLED),
        ("entered-in-error", Status.ENTERED_IN_ERROR),
    ],
)
def test_a_requests_status_decides_where_it_ends(planned: Planner, status: str, ends_in: Status) -> None:
    plan = planned(request(status=status))
    assert rehearse(plan.prescriptions[0], US).status is ends_in
    assert outcome(plan, "MedicationRequest").status == ends_in.name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "unknown"}, "STATUS_UNKNOWN"),
        ({"intent": "plan"}, "NOT_AN_ORDER"),
        ({"doNotPerform": True}, "NOT_AN_ORDER"),
        ({"authoredOn": None}, "TIME_MISSING"),
        ({"subject": None}, "PATIENT_MISSING"),
        ({"requester": None}, "PRESCRIBER_MISSING"),
        ({"dispenseRequest": None}, "QUANTITY_MISSING"),
        ({"medicationCodeableConcept": {"text": "something"}}, "SCHEDULE_UNKNOWN"),
        ({"status": "completed"}, "FILLS_MISSING"),
        ({"dispenseRequest": {"quantity": {"value": 0}}}, "INVALID_QUANTITY"),
        ({"dispenseRequest": {"quantity": TABLETS, "numberOfRepeatsAllowed": 100}}, "INVALID_REFILLS"),
    ],
)
def test_a_request_that_cannot_be_told_is_refused_with_a_reason(
    planned: Planner, changes: dict[str, Any], reason: str
) -> None:
    plan = planned(request(**changes))
    assert plan.prescriptions == ()
    assert outcome(plan, "MedicationRequest") == FileOutcome("MedicationRequest-r.json", Outcome.REFUSED, reason)


def test_a_completed_request_with_all_its_fills_is_completed(planned: Planner) -> None:
    plan = planned(request(status="completed"), dispense())
    assert rehearse(plan.prescriptions[0], US).status is Status.COMPLETED


def test_an_active_request_whose_fills_are_all_handed_out_is_completed(planned: Planner) -> None:
    plan = planned(request(), dispense())
    assert outcome(plan, "MedicationRequest").status == "COMPLETED"


def test_the_claim_is_at_the_preparation_and_the_dispense_at_the_hand_over(planned: Planner) -> None:
    claim, dispensed = planned(request(), dispense()).prescriptions[0].steps[-2:]
    assert isinstance(claim.command, ClaimPrescription)
    assert isinstance(dispensed.command, DispenseMedication)
    assert claim.effective_time.isoformat() == "2020-01-02T09:00:00+00:00"
    assert dispensed.effective_time.isoformat() == "2020-01-02T10:00:00+00:00"


def test_a_hand_over_time_is_supplied_from_the_preparation(planned: Planner) -> None:
    plan = planned(request(), dispense(whenHandedOver=None))
    assert "hand-over time" in outcome(plan, "MedicationDispense").supplied
    assert plan.prescriptions[0].steps[-1].effective_time.hour == 9


def test_a_dispensed_quantity_is_supplied_from_the_fill(planned: Planner) -> None:
    plan = planned(request(), dispense(quantity=None))
    assert "quantity" in outcome(plan, "MedicationDispense").supplied
    assert rehearse(plan.prescriptions[0], US).status is Status.COMPLETED


def test_a_requests_quantity_is_supplied_from_its_dispense(planned: Planner) -> None:
    plan = planned(request(dispenseRequest=None), dispense())
    assert "quantity" in outcome(plan, "MedicationRequest").supplied


@pytest.mark.parametrize("status", ["preparation", "in-progress", "on-hold"])
def test_a_dispense_not_yet_handed_over_is_a_claim(planned: Planner, status: str) -> None:
    plan = planned(request(), dispense(status=status))
    assert rehearse(plan.prescriptions[0], US).status is Status.WITH_PHARMACY
    assert plan.prescriptions[0].fills == 0


def test_a_claim_without_a_time_is_when_the_request_was_written(planned: Planner) -> None:
    plan = planned(request(), dispense(status="in-progress", whenPrepared=None, whenHandedOver=None))
    assert "claim time" in outcome(plan, "MedicationDispense").supplied


def test_a_stopped_dispense_ends_the_prescription_unfilled(planned: Planner) -> None:
    plan = planned(request(status="stopped"), dispense(status="stopped"))
    last = plan.prescriptions[0].steps[-1].command
    assert isinstance(last, RecordNotDispensed)
    assert last.reason.has_code
    assert rehearse(plan.prescriptions[0], US).status is Status.NOT_DISPENSED


def test_a_given_reason_is_kept(planned: Planner) -> None:
    given = {"coding": [{"system": "urn:x", "code": "altchoice"}], "text": "tried another"}
    last = planned(request(status="cancelled", statusReason=given)).prescriptions[0].steps[-1].command
    assert isinstance(last, CancelPrescription)
    assert last.reason.coding is not None
    assert (last.reason.coding.code, last.reason.text) == ("altchoice", "tried another")


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "declined"])
def test_a_dispense_that_did_not_happen_is_left_out(planned: Planner, status: str) -> None:
    plan = planned(request(), dispense(status=status))
    assert outcome(plan, "MedicationDispense").outcome is Outcome.LEFT_OUT
    assert outcome(plan, "MedicationRequest").status == "ISSUED"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "unknown"}, "STATUS_UNKNOWN"),
        ({"whenPrepared": None, "whenHandedOver": None}, "TIME_MISSING"),
        ({"performer": None}, "PHARMACY_MISSING"),
        ({"medicationCodeableConcept": {"coding": [{"system": RX, "code": "308192"}]}}, "OTHER_SUBSTANCE"),
        ({"medicationCodeableConcept": {"coding": [{"system": RX, "code": "0"}]}}, "SCHEDULE_UNKNOWN"),
        ({"quantity": {"value": 31, "unit": "TAB", "code": "TAB"}}, "QUANTITY_EXCEEDED"),
        ({"quantity": {"value": 30, "unit": "mL"}}, "UNIT_MISMATCH"),
        ({"whenPrepared": None, "whenHandedOver": "2021-01-01"}, "PRESCRIPTION_EXPIRED"),
    ],
)
def test_a_dispense_that_cannot_be_told_is_refused_and_its_request_stays(
    planned: Planner, changes: dict[str, Any], reason: str
) -> None:
    plan = planned(request(), dispense(**changes))
    assert outcome(plan, "MedicationDispense").reason == reason
    assert outcome(plan, "MedicationRequest").status == "ISSUED"
    assert len(plan.prescriptions[0].steps) == 3


def test_a_dispense_of_no_known_request_is_refused(planned: Planner) -> None:
    plan = planned(request(), dispense(authorizingPrescription=[{"reference": "MedicationRequest/other"}]))
    assert outcome(plan, "MedicationDispense").reason == "REQUEST_MISSING"


def test_the_dispenses_of_a_refused_request_are_refused_with_it(planned: Planner) -> None:
    plan = planned(request(intent="plan"), dispense(), dispense(id="e", status="entered-in-error"))
    assert outcome(plan, "MedicationDispense-d").reason == "REQUEST_REFUSED"
    assert outcome(plan, "MedicationDispense-e").outcome is Outcome.LEFT_OUT


def test_another_product_of_the_substance_needs_substitution_to_be_allowed(planned: Planner) -> None:
    other = dispense(medicationCodeableConcept=LISINOPRIL_20)
    assert outcome(planned(request(), other), "MedicationDispense").outcome is Outcome.IMPORTED
    refused = planned(request(substitution={"allowedBoolean": False}), other)
    assert outcome(refused, "MedicationDispense").reason == "SUBSTITUTION_NOT_ALLOWED"


def test_dispenses_are_told_in_the_order_of_their_times(planned: Planner) -> None:
    refills = {"quantity": TABLETS, "numberOfRepeatsAllowed": 1}
    second = dispense(id="a", whenPrepared=None, whenHandedOver="2020-02-01")
    plan = planned(request(dispenseRequest=refills), second, dispense(id="b"))
    assert outcome(plan, "MedicationDispense-b").status == "AWAITING_REFILL"
    assert outcome(plan, "MedicationDispense-a").status == "COMPLETED"


def test_a_second_pharmacy_cannot_have_what_the_first_holds(planned: Planner) -> None:
    held = dispense(id="a", status="in-progress", location={"reference": "Location/one"})
    other = dispense(id="b", location={"reference": "Location/two"}, whenPrepared=None)
    plan = planned(request(), held, other)
    reasons = {outcome.reason for outcome in plan.outcomes if outcome.outcome is Outcome.REFUSED}
    assert reasons == {"PRESCRIPTION_WITH_ANOTHER_DISPENSER"}


def test_a_prior_prescription_is_named_by_the_id_it_gets_here(planned: Planner) -> None:
    later = request(id="s", priorPrescription={"reference": "MedicationRequest/r"})
    first, second = planned(request(), later).prescriptions
    assert str(first.prescription_id) in str(second.steps[0].command)
