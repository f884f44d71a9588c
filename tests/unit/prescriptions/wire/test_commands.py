import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from google.protobuf import json_format

from erx.prescriptions.v1 import command_service_pb2, lifecycle_commands_pb2
from eventkernel.canonical import request_hash
from eventkernel.envelope import Actor
from eventkernel.errors import InvalidCommand
from prescriptions.domain.commands import Command
from prescriptions.domain.table import TABLE
from prescriptions.wire.commands import command_from
from prescriptions.wire.values import time_from

SERVICE = command_service_pb2.DESCRIPTOR.services_by_name["PrescriptionCommandService"]
COMMANDS = [method for method in SERVICE.methods if method.name != "ListAllowedCommands"]
by_method = pytest.mark.parametrize("method", COMMANDS, ids=lambda method: method.name)


def kept(golden: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((golden / "requests" / f"{name}.json").read_text())
    return found


def parsed(method: Any, golden: Path) -> Any:
    return json_format.ParseDict(kept(golden, method.name)["request"], method.input_type._concrete_class())


def hashed(request: Any, actor: Actor) -> str:
    return request_hash(command_from(request), actor, time_from(request.effective_time)).hex()


def test_there_is_one_method_for_every_command_and_every_command_has_a_row_in_the_table() -> None:
    names = {kind.__name__ for kind in get_args(Command)}
    assert {method.name for method in COMMANDS} == names
    assert {kind.__name__ for kind in TABLE.commands} <= names


@by_method
def test_a_request_becomes_the_command_of_its_name_with_every_field(method: Any, golden: Path) -> None:
    request = parsed(method, golden)
    command = command_from(request)
    assert type(command).__name__ == method.name
    for field, _ in request.ListFields():
        if field.name in ("request_id", "prescription_id", "expected_version", "effective_time"):
            continue
        changed = method.input_type._concrete_class()
        changed.CopyFrom(request)
        changed.ClearField(field.name)
        if field.name == "dispense_id":
            continue
        try:
            other = command_from(changed)
        except InvalidCommand:
            continue
        assert other != command, f"{field.name} is not carried over"


@by_method
def test_the_hash_of_a_kept_request_is_what_it_was(method: Any, golden: Path) -> None:
    """Command ids are told apart by these hashes for the life of a stream: they never change for requests of before."""
    document = kept(golden, method.name)
    assert hashed(parsed(method, golden), Actor(*document["actor"])) == document["request_hash"]


@by_method
def test_the_hash_rests_on_content_actor_and_time_and_on_nothing_else(method: Any, golden: Path) -> None:
    request, actor = parsed(method, golden), Actor("dr-grey", "prescriber", "clinic-1")
    usual = hashed(request, actor)
    assert hashed(request, Actor("dr-brown", "prescriber", "clinic-1")) != usual
    request.expected_version = 9
    request.request_id = "00000000-0000-4000-8000-000000000000"
    assert hashed(request, actor) == usual
    request.effective_time.FromDatetime(datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=1))
    assert hashed(request, actor) != usual


def test_values_that_no_shape_forbids_but_that_are_none_are_named_by_their_field(golden: Path) -> None:
    request = parsed(SERVICE.methods_by_name["CreatePrescription"], golden)
    request.content.earliest_fill.month = 13
    with pytest.raises(InvalidCommand) as caught:
        command_from(request)
    assert caught.value.field == "content.earliest_fill"
    request = parsed(SERVICE.methods_by_name["CreatePrescription"], golden)
    request.content.quantity.value.value = "thirty"
    with pytest.raises(InvalidCommand) as caught:
        command_from(request)
    assert caught.value.field == "quantity.value"
    suspend = lifecycle_commands_pb2.SuspendPrescriptionRequest()
    suspend.until.month = 13
    with pytest.raises(InvalidCommand) as caught:
        command_from(suspend)
    assert caught.value.field == "until"
