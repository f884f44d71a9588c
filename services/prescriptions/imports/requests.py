"""Planned commands as requests of the command service."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from erx.prescriptions.v1 import dispensing_commands_pb2, lifecycle_commands_pb2
from prescriptions.domain.commands import (
    CancelPrescription,
    ClaimPrescription,
    Command,
    CreatePrescription,
    DispenseMedication,
    IssuePrescription,
    MarkEnteredInError,
    RecordNotDispensed,
    SignPrescription,
    SuspendPrescription,
)
from prescriptions.imports.plan import PlannedPrescription, PlannedStep
from prescriptions.wire import values as w
from prescriptions.wire.content import content_to_reply


def request_of(plan: PlannedPrescription, step: PlannedStep, claim_token: str) -> Message:
    """The request; ``claim_token`` is used where the command is one of a claim's holder."""
    fields = {
        "request_id": str(step.request_id),
        "prescription_id": str(plan.prescription_id),
        "effective_time": w.time_to(step.effective_time),
    }
    command = step.command
    make = _MAKERS.get(type(command))
    if make is None:
        raise TypeError(f"no import plans {type(command).__name__}")
    return make(command, fields, claim_token)


def _create(command: CreatePrescription, fields: dict[str, Any], _: str) -> Message:
    return lifecycle_commands_pb2.CreatePrescriptionRequest(content=content_to_reply(command.content), **fields)


def _sign(command: SignPrescription, fields: dict[str, Any], _: str) -> Message:
    return lifecycle_commands_pb2.SignPrescriptionRequest(
        content_sha256=command.content_sha256,
        signature=command.signature,
        algorithm=command.algorithm,
        certificate_id=command.certificate_id,
        factors=[w.FACTOR_TO[factor] for factor in command.factors],
        **fields,
    )


def _issue(command: IssuePrescription, fields: dict[str, Any], _: str) -> Message:
    return lifecycle_commands_pb2.IssuePrescriptionRequest(nominated=w.pharmacy_to(command.nominated), **fields)


def _claim(command: ClaimPrescription, fields: dict[str, Any], _: str) -> Message:
    return dispensing_commands_pb2.ClaimPrescriptionRequest(pharmacy=w.pharmacy_to(command.pharmacy), **fields)


def _dispense(command: DispenseMedication, fields: dict[str, Any], claim_token: str) -> Message:
    return dispensing_commands_pb2.DispenseMedicationRequest(
        claim_token=claim_token,
        dispense_id=str(command.dispense_id),
        product=w.codings_to(command.product),
        quantity=w.quantity_to(command.quantity),
        days_supply=command.days_supply,
        lot=command.lot,
        pharmacist=w.person_to(command.pharmacist),
        **fields,
    )


def _not_dispensed(command: RecordNotDispensed, fields: dict[str, Any], claim_token: str) -> Message:
    return dispensing_commands_pb2.RecordNotDispensedRequest(
        claim_token=claim_token,
        reason=w.reason_to(command.reason),
        returned_to_stock=command.returned_to_stock,
        **fields,
    )


def _suspend(command: SuspendPrescription, fields: dict[str, Any], _: str) -> Message:
    return lifecycle_commands_pb2.SuspendPrescriptionRequest(
        reason=w.reason_to(command.reason), until=w.date_to(command.until), **fields
    )


def _cancel(command: CancelPrescription, fields: dict[str, Any], _: str) -> Message:
    return lifecycle_commands_pb2.CancelPrescriptionRequest(reason=w.reason_to(command.reason), **fields)


def _mark_error(command: MarkEnteredInError, fields: dict[str, Any], _: str) -> Message:
    return lifecycle_commands_pb2.MarkEnteredInErrorRequest(reason=w.reason_to(command.reason), **fields)


_MAKERS: dict[type[Command], Callable[[Any, dict[str, Any], str], Message]] = {
    CreatePrescription: _create,
    SignPrescription: _sign,
    IssuePrescription: _issue,
    ClaimPrescription: _claim,
    DispenseMedication: _dispense,
    RecordNotDispensed: _not_dispensed,
    SuspendPrescription: _suspend,
    CancelPrescription: _cancel,
    MarkEnteredInError: _mark_error,
}
