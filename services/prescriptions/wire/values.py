"""Shared values: domain ↔ ``erx.prescriptions.types.v1``. Absent messages are None; enums map by name."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import overload

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.decimal_pb2 import Decimal as DecimalMessage

from erx.prescriptions.types.v1 import enums_pb2, parties_pb2, values_pb2
from eventkernel.envelope import from_micros, to_micros
from prescriptions.domain.state import Status
from prescriptions.domain.values import (
    Coding,
    Dosage,
    DoseStep,
    PartialReason,
    PersonRef,
    PharmacyRef,
    Quantity,
    Reason,
    Schedule,
    Sealed,
    SigningFactor,
    Substitution,
)

PARTIAL_UNSPECIFIED = enums_pb2.PARTIAL_REASON_UNSPECIFIED


def _said(name: str) -> str:
    """What is unknown is told as what was not said."""
    return "UNSPECIFIED" if name == "UNKNOWN" else name


SCHEDULE_TO = {s: enums_pb2.Schedule.Value(f"SCHEDULE_{_said(s.name)}") for s in Schedule}
SCHEDULE_FROM = {number: s for s, number in SCHEDULE_TO.items()}
SUBSTITUTION_TO = {s: enums_pb2.Substitution.Value(f"SUBSTITUTION_{_said(s.name)}") for s in Substitution}
SUBSTITUTION_FROM = {number: s for s, number in SUBSTITUTION_TO.items()}
FACTOR_TO = {f: enums_pb2.SigningFactor.Value(f"SIGNING_FACTOR_{f.name}") for f in SigningFactor}
FACTOR_FROM = {number: f for f, number in FACTOR_TO.items()}
PARTIAL_TO = {r: enums_pb2.PartialReason.Value(f"PARTIAL_REASON_{r.name}") for r in PartialReason}
PARTIAL_FROM = {number: r for r, number in PARTIAL_TO.items()}
STATUS_TO = {
    s: enums_pb2.PRESCRIPTION_STATUS_UNSPECIFIED
    if s is Status.NONE
    else enums_pb2.PrescriptionStatus.Value(f"PRESCRIPTION_STATUS_{s.name}")
    for s in Status
}
STATUS_FROM = {number: s for s, number in STATUS_TO.items()}


def time_to(moment: datetime | None) -> Timestamp | None:
    """A moment to microseconds, as the domain has it."""
    if moment is None:
        return None
    micros = to_micros(moment)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def time_from(message: Timestamp) -> datetime:
    """The UTC moment; digits beyond microseconds are cut."""
    return from_micros(message.seconds * 1_000_000 + message.nanos // 1_000)


def date_to(day: date | None) -> Date | None:
    """A whole date."""
    return None if day is None else Date(year=day.year, month=day.month, day=day.day)


def date_from(message: Date) -> date:
    """A whole date; raises ``ValueError`` for one that is not in the calendar."""
    return date(message.year, message.month, message.day)


def decimal_to(value: Decimal) -> DecimalMessage:
    """Plain digits, no exponent; trailing zeros are kept."""
    return DecimalMessage(value=format(value, "f"))


def decimal_from(message: DecimalMessage) -> Decimal:
    """The exact value; raises ``ValueError`` or ``decimal.InvalidOperation`` for what is no number, such as ``NaN``."""
    number = Decimal(message.value)
    if not number.is_finite():
        raise ValueError(f"{message.value} is no number")
    return number


@overload
def quantity_to(quantity: Quantity) -> values_pb2.Quantity: ...
@overload
def quantity_to(quantity: None) -> None: ...
@overload
def quantity_to(quantity: Quantity | None) -> values_pb2.Quantity | None: ...
def quantity_to(quantity: Quantity | None) -> values_pb2.Quantity | None:
    """A quantity with its unit."""
    if quantity is None:
        return None
    return values_pb2.Quantity(
        value=decimal_to(quantity.value),
        unit_code=quantity.unit_code,
        unit_system=quantity.unit_system,
        unit_text=quantity.unit_text,
    )


def quantity_from(message: values_pb2.Quantity) -> Quantity:
    """A quantity with its unit."""
    return Quantity(decimal_from(message.value), message.unit_code, message.unit_system, message.unit_text)


def coding_to(coding: Coding | None) -> values_pb2.Coding | None:
    """A code in its system."""
    return None if coding is None else values_pb2.Coding(system=coding.system, code=coding.code, display=coding.display)


def coding_from(message: values_pb2.Coding) -> Coding:
    """A code in its system."""
    return Coding(message.system, message.code, message.display)


def codings_to(codings: Iterable[Coding]) -> list[values_pb2.Coding]:
    """Several."""
    return [values_pb2.Coding(system=c.system, code=c.code, display=c.display) for c in codings]


def codings_from(messages: Iterable[values_pb2.Coding]) -> tuple[Coding, ...]:
    """Several."""
    return tuple(Coding(m.system, m.code, m.display) for m in messages)


def reason_to(reason: Reason | None) -> values_pb2.ReasonCode | None:
    """A reason; an empty one is absent on the wire."""
    if reason is None or (reason.coding is None and not reason.text):
        return None
    return values_pb2.ReasonCode(coding=coding_to(reason.coding), text=reason.text)


def reason_from(message: values_pb2.ReasonCode) -> Reason:
    """A reason."""
    return Reason(coding_from(message.coding) if message.HasField("coding") else None, message.text)


def person_to(person: PersonRef | None) -> parties_pb2.PersonRef | None:
    """A person by ids."""
    if person is None:
        return None
    return parties_pb2.PersonRef(id=person.id, npi=person.npi, dea_number=person.dea_number, role=person.role)


def person_from(message: parties_pb2.PersonRef) -> PersonRef:
    """A person by ids."""
    return PersonRef(message.id, message.npi, message.dea_number, message.role)


def pharmacy_to(pharmacy: PharmacyRef | None) -> parties_pb2.PharmacyRef | None:
    """A pharmacy."""
    if pharmacy is None:
        return None
    return parties_pb2.PharmacyRef(ncpdp_id=pharmacy.ncpdp_id, npi=pharmacy.npi, name=pharmacy.name)


def pharmacy_from(message: parties_pb2.PharmacyRef) -> PharmacyRef:
    """A pharmacy."""
    return PharmacyRef(message.ncpdp_id, message.npi, message.name)


def sealed_from(message: parties_pb2.Sealed) -> Sealed:
    """Encrypted data."""
    return Sealed(message.key_id, message.ciphertext, message.nonce)


def dosage_to(dosage: Dosage) -> values_pb2.Dosage:
    """How to take it."""
    return values_pb2.Dosage(
        text=dosage.text, steps=[_step_to(step) for step in dosage.steps], as_needed=dosage.as_needed
    )


def dosage_from(message: values_pb2.Dosage) -> Dosage:
    """How to take it."""
    return Dosage(message.text, tuple(_step_from(step) for step in message.steps), message.as_needed)


def _step_to(step: DoseStep) -> values_pb2.DoseStep:
    return values_pb2.DoseStep(
        dose=quantity_to(step.dose),
        dose_high=quantity_to(step.dose_high),
        frequency=step.frequency,
        period=None if step.period is None else decimal_to(step.period),
        period_unit=step.period_unit,
        route=coding_to(step.route),
    )


def _step_from(message: values_pb2.DoseStep) -> DoseStep:
    return DoseStep(
        dose=quantity_from(message.dose) if message.HasField("dose") else None,
        dose_high=quantity_from(message.dose_high) if message.HasField("dose_high") else None,
        frequency=message.frequency if message.HasField("frequency") else None,
        period=decimal_from(message.period) if message.HasField("period") else None,
        period_unit=message.period_unit,
        route=coding_from(message.route) if message.HasField("route") else None,
    )
