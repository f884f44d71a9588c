"""Requests say what the plan says: the command service reads the planned command back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from protovalidate import Validator

from eventkernel.envelope import Actor
from prescriptions.domain.commands import (
    CancelPrescription,
    Command,
    ExpirePrescription,
    MarkEnteredInError,
    RecordNotDispensed,
    SuspendPrescription,
)
from prescriptions.domain.profiles import US
from prescriptions.domain.values import Coding, Reason
from prescriptions.imports.fhir import read_fhir
from prescriptions.imports.fhir_plan import plan_fhir
from prescriptions.imports.plan import PlannedPrescription, PlannedStep
from prescriptions.imports.rehearsal import with_claim_token
from prescriptions.imports.requests import request_of
from prescriptions.imports.schedules import ScheduleTable
from prescriptions.wire.commands import command_from

TOKEN = "the token"
REASON = Reason(Coding("urn:x", "why", "Why"), "because")


def planned(command: Command) -> tuple[PlannedPrescription, PlannedStep]:
    step = PlannedStep(uuid4(), datetime(2020, 1, 1, tzinfo=UTC), Actor("a", "import"), command)
    return PlannedPrescription(uuid4(), "test", (step,)), step


def test_every_request_of_the_set_reads_back_as_planned(synthea_plans: tuple[PlannedPrescription, ...]) -> None:
    for plan in synthea_plans[::7]:
        for step in plan.steps:
            read = command_from(request_of(plan, step, TOKEN))
            assert read == with_claim_token(step.command, TOKEN)


def test_every_fhir_request_reads_back_as_planned_and_is_valid(fhir_directory: Path, schedules: ScheduleTable) -> None:
    validator = Validator()
    for plan in plan_fhir(read_fhir(fhir_directory), schedules, US).prescriptions:
        for step in plan.steps:
            request = request_of(plan, step, TOKEN)
            validator.validate(request)
            assert command_from(request) == with_claim_token(step.command, TOKEN)


def test_requests_carry_ids_and_the_effective_time(synthea_plans: tuple[PlannedPrescription, ...]) -> None:
    plan = synthea_plans[0]
    request: Any = request_of(plan, plan.steps[0], "")
    assert request.request_id == str(plan.steps[0].request_id)
    assert request.prescription_id == str(plan.prescription_id)
    assert request.effective_time.ToDatetime(UTC) == plan.steps[0].effective_time
    assert not request.HasField("expected_version")


@pytest.mark.parametrize(
    "command",
    [
        CancelPrescription(REASON),
        SuspendPrescription(REASON),
        MarkEnteredInError(REASON),
        RecordNotDispensed("", REASON, returned_to_stock=True),
    ],
    ids=lambda command: type(command).__name__,
)
def test_commands_that_end_or_hold_read_back_as_planned(command: Command) -> None:
    plan, step = planned(command)
    assert command_from(request_of(plan, step, TOKEN)) == with_claim_token(command, TOKEN)


def test_a_command_that_no_import_plans_is_a_mistake_of_the_program() -> None:
    plan, step = planned(ExpirePrescription())
    with pytest.raises(TypeError, match="ExpirePrescription"):
        request_of(plan, step, "")
