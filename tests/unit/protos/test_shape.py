"""What every message and service of one kind has in common."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor

from erx.eventlog.v1 import consistency_pb2, envelope_pb2, view_status_pb2
from erx.prescriptions.events.v3 import content_pb2, dispensing_pb2, event_pb2, lifecycle_pb2
from erx.prescriptions.types.v1 import enums_pb2
from erx.prescriptions.v1 import (
    command_service_pb2,
    dispenses_pb2,
    dispensing_commands_pb2,
    filters_pb2,
    lifecycle_commands_pb2,
    prescription_pb2,
    query_service_pb2,
    statistics_pb2,
    worklists_pb2,
)

COMMANDS = command_service_pb2.DESCRIPTOR.services_by_name["PrescriptionCommandService"]
QUERIES = query_service_pb2.DESCRIPTOR.services_by_name["PrescriptionQueryService"]
INTERFACE_FILES = (
    command_service_pb2.DESCRIPTOR,
    dispenses_pb2.DESCRIPTOR,
    dispensing_commands_pb2.DESCRIPTOR,
    filters_pb2.DESCRIPTOR,
    lifecycle_commands_pb2.DESCRIPTOR,
    prescription_pb2.DESCRIPTOR,
    query_service_pb2.DESCRIPTOR,
    statistics_pb2.DESCRIPTOR,
    worklists_pb2.DESCRIPTOR,
)
LOG_FILES = (
    envelope_pb2.DESCRIPTOR,
    consistency_pb2.DESCRIPTOR,
    view_status_pb2.DESCRIPTOR,
    content_pb2.DESCRIPTOR,
    dispensing_pb2.DESCRIPTOR,
    lifecycle_pb2.DESCRIPTOR,
)
QUERY_METHODS = list(QUERIES.methods)
TIMESTAMP = "google.protobuf.Timestamp"

EVENT_OF_COMMAND = {
    "CreatePrescription": "PrescriptionCreated",
    "AmendPrescription": "PrescriptionAmended",
    "SignPrescription": "PrescriptionSigned",
    "IssuePrescription": "PrescriptionIssued",
    "NominatePharmacy": "PharmacyNominated",
    "ClaimPrescription": "PrescriptionClaimed",
    "ReturnPrescription": "PrescriptionReturned",
    "DispensePartially": "MedicationPartiallyDispensed",
    "DispenseMedication": "MedicationDispensed",
    "RecordNotDispensed": "MedicationNotDispensed",
    "ReverseDispense": "DispenseReversed",
    "CancelPrescription": "PrescriptionCancelled",
    "SuspendPrescription": "PrescriptionSuspended",
    "ResumePrescription": "PrescriptionResumed",
    "ExpirePrescription": "PrescriptionExpired",
    "MarkEnteredInError": "PrescriptionEnteredInError",
}
"""Rows 1 to 12, 16, 17, 24 and 25 of the transition table."""

ROW_OF_EVENT = dict(zip(EVENT_OF_COMMAND.values(), (*range(1, 13), 16, 17, 24, 25), strict=True))
CLAIM_HOLDERS = {"ReturnPrescription", "DispensePartially", "DispenseMedication", "RecordNotDispensed"}


def command_methods() -> list[MethodDescriptor]:
    return [method for method in COMMANDS.methods if method.name in EVENT_OF_COMMAND]


def timestamps(files: tuple[FileDescriptor, ...]) -> Iterator[FieldDescriptor]:
    for file in files:
        for message in file.message_types_by_name.values():
            yield from (field for field in message.fields if type_of(field) == TIMESTAMP)


def type_of(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    return named.full_name if named is not None else ""


def numbers(message: Descriptor) -> dict[str, int]:
    return {field.name: field.number for field in message.fields}


def test_every_rpc_of_the_command_service_is_a_command_of_the_table() -> None:
    assert [method.name for method in COMMANDS.methods] == [*EVENT_OF_COMMAND, "ListAllowedCommands"]


def test_every_command_has_its_one_event() -> None:
    events = event_pb2.PrescriptionEvent.DESCRIPTOR.oneofs_by_name["event"].fields
    assert {type_of(field).rpartition(".")[2]: field.number for field in events} == ROW_OF_EVENT


@pytest.mark.parametrize("method", command_methods(), ids=lambda method: method.name)
def test_every_command_request_carries_what_all_commands_share(method: MethodDescriptor) -> None:
    fields = numbers(method.input_type)
    shared = {name: number for name, number in fields.items() if number < 10}
    assert shared == {"request_id": 1, "prescription_id": 2, "expected_version": 3, "effective_time": 4}
    assert method.input_type.fields_by_name["expected_version"].has_presence


@pytest.mark.parametrize("method", command_methods(), ids=lambda method: method.name)
def test_every_command_reply_is_the_prescription_its_version_and_a_token(method: MethodDescriptor) -> None:
    fields = numbers(method.output_type)
    assert {name: number for name, number in fields.items() if number < 10} == {
        "prescription": 1,
        "token": 2,
        "version": 3,
    }


@pytest.mark.parametrize("method", command_methods(), ids=lambda method: method.name)
def test_claim_holders_prove_their_claim_and_nobody_else_has_to(method: MethodDescriptor) -> None:
    assert (numbers(method.input_type).get("claim_token") == 10) == (method.name in CLAIM_HOLDERS)


def test_the_claim_token_is_told_by_the_claim_alone() -> None:
    replies = [method.output_type for method in command_methods()]
    assert [reply.name for reply in replies if "claim_token" in reply.fields_by_name] == ["ClaimPrescriptionResponse"]
    assert "claim_token" not in prescription_pb2.Claim.DESCRIPTOR.fields_by_name
    assert "claim_token" not in dispensing_pb2.PrescriptionClaimed.DESCRIPTOR.fields_by_name


@pytest.mark.parametrize("method", QUERY_METHODS, ids=lambda method: method.name)
def test_every_query_says_what_it_must_have_seen_and_every_answer_as_of_when_it_is(method: MethodDescriptor) -> None:
    request = method.input_type.fields_by_name
    assert (request["token"].number, request["consistency"].number) == (1, 2)
    assert type_of(request["consistency"]) == "erx.eventlog.v1.ConsistencyMode"
    as_of = method.output_type.fields_by_name["as_of"]
    assert (as_of.number, type_of(as_of)) == (1, "erx.eventlog.v1.Freshness")


@pytest.mark.parametrize("method", QUERY_METHODS, ids=lambda method: method.name)
def test_lists_are_paged_alike(method: MethodDescriptor) -> None:
    request, answer = numbers(method.input_type), numbers(method.output_type)
    paged = "page_token" in request
    assert paged == ("next_page_token" in answer)
    assert not paged or (request["page_size"], request["page_token"], answer["next_page_token"]) == (3, 4, 2)


def test_times_of_the_interface_end_in_time() -> None:
    assert [field.full_name for field in timestamps(INTERFACE_FILES) if not field.name.endswith("_time")] == []


def test_times_of_the_log_keep_its_own_words() -> None:
    assert [field.full_name for field in timestamps(LOG_FILES) if not field.name.endswith("_at")] == []


@pytest.mark.parametrize(
    "event",
    [
        dispensing_pb2.PrescriptionClaimed.DESCRIPTOR,
        dispensing_pb2.MedicationPartiallyDispensed.DESCRIPTOR,
        dispensing_pb2.MedicationDispensed.DESCRIPTOR,
    ],
    ids=lambda event: event.name,
)
def test_an_unknown_fill_is_told_apart_from_the_first(event: Descriptor) -> None:
    assert event.fields_by_name["fill_number"].has_presence


def test_both_dispense_events_number_their_common_fields_alike() -> None:
    partial = numbers(dispensing_pb2.MedicationPartiallyDispensed.DESCRIPTOR)
    whole = numbers(dispensing_pb2.MedicationDispensed.DESCRIPTOR)
    assert {name: whole[name] for name in partial} == partial
    assert whole.keys() - partial.keys() == {"short_close", "short_close_reason"}


def test_statuses_are_the_states_of_the_table() -> None:
    states = """
        UNSPECIFIED DRAFT SIGNED ISSUED WITH_PHARMACY PARTIALLY_DISPENSED AWAITING_REFILL ON_HOLD CHANGE_REQUESTED
        CANCELLATION_REQUESTED TRANSFER_REQUESTED COMPLETED NOT_DISPENSED CANCELLED EXPIRED REPLACED ENTERED_IN_ERROR
    """
    assert enums_pb2.PrescriptionStatus.keys() == [f"PRESCRIPTION_STATUS_{state}" for state in states.split()]


def test_no_request_can_set_the_status() -> None:
    inputs = [method.input_type for method in command_methods()]
    assert not [field.full_name for message in inputs for field in message.fields if field.name == "status"]
