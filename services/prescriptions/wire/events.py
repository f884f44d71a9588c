"""The codec of stored events: ``erx.prescriptions.events.v3``, the newest shape.

An event is encoded once, before the append; these bytes are journal and bus alike, and are never rewritten.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.message import DecodeError, Message

from erx.prescriptions.events.v3 import dispensing_pb2, lifecycle_pb2
from eventkernel.codec import EncodedEvent
from eventkernel.envelope import RecordedEvent
from eventkernel.errors import EventUnreadable, UnknownEventType, UnknownSchemaVersion, UpcastFailed
from eventkernel.following import Earlier
from eventkernel.upcasting import Known, Shape, Upcasters
from prescriptions.domain import events as e
from prescriptions.wire import values as w
from prescriptions.wire.content import content_from_event, content_to_event
from prescriptions.wire.upcasters import EARLIER_MESSAGES, STEPS

NEWEST = 3
"""The generation that events are written in; an event that got another shape since is ahead of it (``newest_of``)."""

PACKAGE = "erx.prescriptions.events"


def _moment(m: Any, field: str) -> datetime | None:
    """A time that records of older shapes may lack: absent is not known, and not 1970."""
    return w.time_from(getattr(m, field)) if m.HasField(field) else None


def _created_to(x: e.PrescriptionCreated) -> Message:
    return lifecycle_pb2.PrescriptionCreated(content=content_to_event(x.content))


def _created_from(m: lifecycle_pb2.PrescriptionCreated) -> e.Event:
    return e.PrescriptionCreated(content_from_event(m.content))


def _amended_to(x: e.PrescriptionAmended) -> Message:
    return lifecycle_pb2.PrescriptionAmended(content=content_to_event(x.content), change_note=x.change_note)


def _amended_from(m: lifecycle_pb2.PrescriptionAmended) -> e.Event:
    return e.PrescriptionAmended(content_from_event(m.content), m.change_note)


def _signed_to(x: e.PrescriptionSigned) -> Message:
    return lifecycle_pb2.PrescriptionSigned(
        content_sha256=x.content_sha256,
        signature=x.signature,
        algorithm=x.algorithm,
        certificate_id=x.certificate_id,
        factors=[w.FACTOR_TO[factor] for factor in x.factors],
        signed_at=w.time_to(x.signed_at),
    )


def _signed_from(m: lifecycle_pb2.PrescriptionSigned) -> e.Event:
    factors = tuple(w.FACTOR_FROM[factor] for factor in m.factors)
    signed_at = _moment(m, "signed_at")
    return e.PrescriptionSigned(m.content_sha256, m.signature, m.algorithm, m.certificate_id, factors, signed_at)


def _issued_to(x: e.PrescriptionIssued) -> Message:
    return lifecycle_pb2.PrescriptionIssued(
        issued_at=w.time_to(x.issued_at),
        expires_at=w.time_to(x.expires_at),
        nominated=w.pharmacy_to(x.nominated),
        expires_text=x.expires_text,
    )


def _issued_from(m: lifecycle_pb2.PrescriptionIssued) -> e.Event:
    return e.PrescriptionIssued(
        _moment(m, "issued_at"),
        _moment(m, "expires_at"),
        w.pharmacy_from(m.nominated) if m.HasField("nominated") else None,
        m.expires_text,
    )


def _nominated_to(x: e.PharmacyNominated) -> Message:
    return lifecycle_pb2.PharmacyNominated(pharmacy=w.pharmacy_to(x.pharmacy), nominated_by=w.person_to(x.nominated_by))


def _nominated_from(m: lifecycle_pb2.PharmacyNominated) -> e.Event:
    return e.PharmacyNominated(w.pharmacy_from(m.pharmacy), w.person_from(m.nominated_by))


def _claimed_to(x: e.PrescriptionClaimed) -> Message:
    return dispensing_pb2.PrescriptionClaimed(
        pharmacy=w.pharmacy_to(x.pharmacy),
        claim_token_sha256=x.claim_token_sha256,
        fill_number=x.fill_number,
        claimed_at=w.time_to(x.claimed_at),
    )


def _claimed_from(m: dispensing_pb2.PrescriptionClaimed) -> e.Event:
    fill = m.fill_number if m.HasField("fill_number") else None
    return e.PrescriptionClaimed(w.pharmacy_from(m.pharmacy), m.claim_token_sha256, fill, _moment(m, "claimed_at"))


def _returned_to(x: e.PrescriptionReturned) -> Message:
    return dispensing_pb2.PrescriptionReturned(reason=w.reason_to(x.reason))


def _returned_from(m: dispensing_pb2.PrescriptionReturned) -> e.Event:
    return e.PrescriptionReturned(w.reason_from(m.reason))


def _dispense_fields(x: e.MedicationPartiallyDispensed | e.MedicationDispensed) -> dict[str, Any]:
    return {
        "dispense_id": str(x.dispense_id),
        "fill_number": x.fill_number,
        "pharmacy": w.pharmacy_to(x.pharmacy),
        "product": w.codings_to(x.product),
        "quantity": w.quantity_to(x.quantity),
        "quantity_dispensed_this_fill": w.quantity_to(x.quantity_dispensed_this_fill),
        "refills_remaining": x.refills_remaining,
        "days_supply": x.days_supply,
        "lot": x.lot,
        "pharmacist": w.person_to(x.pharmacist),
        "handed_over_at": w.time_to(x.handed_over_at),
        "partial_reason": w.PARTIAL_TO[x.partial_reason] if x.partial_reason else w.PARTIAL_UNSPECIFIED,
        "substituted": x.substituted,
    }


def _dispense_values(
    m: dispensing_pb2.MedicationPartiallyDispensed | dispensing_pb2.MedicationDispensed,
) -> dict[str, Any]:
    total = m.quantity_dispensed_this_fill if m.HasField("quantity_dispensed_this_fill") else None
    return {
        "dispense_id": UUID(m.dispense_id),
        "fill_number": m.fill_number if m.HasField("fill_number") else None,
        "pharmacy": w.pharmacy_from(m.pharmacy),
        "quantity": w.quantity_from(m.quantity),
        "quantity_dispensed_this_fill": w.quantity_from(total) if total is not None else None,
        "refills_remaining": m.refills_remaining if m.HasField("refills_remaining") else None,
        "handed_over_at": _moment(m, "handed_over_at"),
        "product": w.codings_from(m.product),
        "days_supply": m.days_supply if m.HasField("days_supply") else None,
        "lot": m.lot,
        "pharmacist": w.person_from(m.pharmacist) if m.HasField("pharmacist") else None,
        "partial_reason": w.PARTIAL_FROM[m.partial_reason] if m.partial_reason else None,
        "substituted": m.substituted,
    }


def _partial_to(x: e.MedicationPartiallyDispensed) -> Message:
    return dispensing_pb2.MedicationPartiallyDispensed(**_dispense_fields(x))


def _partial_from(m: dispensing_pb2.MedicationPartiallyDispensed) -> e.Event:
    return e.MedicationPartiallyDispensed(**_dispense_values(m))


def _dispensed_to(x: e.MedicationDispensed) -> Message:
    return dispensing_pb2.MedicationDispensed(
        **_dispense_fields(x), short_close=x.short_close, short_close_reason=w.reason_to(x.short_close_reason)
    )


def _dispensed_from(m: dispensing_pb2.MedicationDispensed) -> e.Event:
    short = w.reason_from(m.short_close_reason) if m.HasField("short_close_reason") else None
    return e.MedicationDispensed(**_dispense_values(m), short_close=m.short_close, short_close_reason=short)


def _not_dispensed_to(x: e.MedicationNotDispensed) -> Message:
    return dispensing_pb2.MedicationNotDispensed(reason=w.reason_to(x.reason), returned_to_stock=x.returned_to_stock)


def _not_dispensed_from(m: dispensing_pb2.MedicationNotDispensed) -> e.Event:
    return e.MedicationNotDispensed(w.reason_from(m.reason), m.returned_to_stock)


def _reversed_to(x: e.DispenseReversed) -> Message:
    return dispensing_pb2.DispenseReversed(
        dispense_id=str(x.dispense_id),
        reason=w.reason_to(x.reason),
        quantity_restored=w.quantity_to(x.quantity_restored),
    )


def _reversed_from(m: dispensing_pb2.DispenseReversed) -> e.Event:
    return e.DispenseReversed(UUID(m.dispense_id), w.quantity_from(m.quantity_restored), w.reason_from(m.reason))


def _cancelled_to(x: e.PrescriptionCancelled) -> Message:
    return lifecycle_pb2.PrescriptionCancelled(reason=w.reason_to(x.reason), requested_by=w.person_to(x.requested_by))


def _cancelled_from(m: lifecycle_pb2.PrescriptionCancelled) -> e.Event:
    asked = w.person_from(m.requested_by) if m.HasField("requested_by") else None
    return e.PrescriptionCancelled(w.reason_from(m.reason), asked)


def _suspended_to(x: e.PrescriptionSuspended) -> Message:
    return lifecycle_pb2.PrescriptionSuspended(reason=w.reason_to(x.reason), until=w.date_to(x.until))


def _suspended_from(m: lifecycle_pb2.PrescriptionSuspended) -> e.Event:
    return e.PrescriptionSuspended(w.reason_from(m.reason), w.date_from(m.until) if m.HasField("until") else None)


def _resumed_to(x: e.PrescriptionResumed) -> Message:
    return lifecycle_pb2.PrescriptionResumed(reason=w.reason_to(x.reason))


def _resumed_from(m: lifecycle_pb2.PrescriptionResumed) -> e.Event:
    return e.PrescriptionResumed(w.reason_from(m.reason))


def _expired_to(x: e.PrescriptionExpired) -> Message:
    return lifecycle_pb2.PrescriptionExpired(
        expired_at=w.time_to(x.expired_at), quantity_forfeited=w.quantity_to(x.quantity_forfeited)
    )


def _expired_from(m: lifecycle_pb2.PrescriptionExpired) -> e.Event:
    return e.PrescriptionExpired(_moment(m, "expired_at"), w.quantity_from(m.quantity_forfeited))


def _error_to(x: e.PrescriptionEnteredInError) -> Message:
    return lifecycle_pb2.PrescriptionEnteredInError(reason=w.reason_to(x.reason))


def _error_from(m: lifecycle_pb2.PrescriptionEnteredInError) -> e.Event:
    return e.PrescriptionEnteredInError(w.reason_from(m.reason))


def _version_of(message: type[Message]) -> int:
    """A shape's version, which its package says."""
    return int(message.DESCRIPTOR.file.package.rpartition(".v")[2])


_Shape = tuple[type[Any], type[Message], Callable[[Any], Message], Callable[[Any], e.Event]]
_SHAPES: tuple[_Shape, ...] = (
    (e.PrescriptionCreated, lifecycle_pb2.PrescriptionCreated, _created_to, _created_from),
    (e.PrescriptionAmended, lifecycle_pb2.PrescriptionAmended, _amended_to, _amended_from),
    (e.PrescriptionSigned, lifecycle_pb2.PrescriptionSigned, _signed_to, _signed_from),
    (e.PrescriptionIssued, lifecycle_pb2.PrescriptionIssued, _issued_to, _issued_from),
    (e.PharmacyNominated, lifecycle_pb2.PharmacyNominated, _nominated_to, _nominated_from),
    (e.PrescriptionClaimed, dispensing_pb2.PrescriptionClaimed, _claimed_to, _claimed_from),
    (e.PrescriptionReturned, dispensing_pb2.PrescriptionReturned, _returned_to, _returned_from),
    (e.MedicationPartiallyDispensed, dispensing_pb2.MedicationPartiallyDispensed, _partial_to, _partial_from),
    (e.MedicationDispensed, dispensing_pb2.MedicationDispensed, _dispensed_to, _dispensed_from),
    (e.MedicationNotDispensed, dispensing_pb2.MedicationNotDispensed, _not_dispensed_to, _not_dispensed_from),
    (e.DispenseReversed, dispensing_pb2.DispenseReversed, _reversed_to, _reversed_from),
    (e.PrescriptionCancelled, lifecycle_pb2.PrescriptionCancelled, _cancelled_to, _cancelled_from),
    (e.PrescriptionSuspended, lifecycle_pb2.PrescriptionSuspended, _suspended_to, _suspended_from),
    (e.PrescriptionResumed, lifecycle_pb2.PrescriptionResumed, _resumed_to, _resumed_from),
    (e.PrescriptionExpired, lifecycle_pb2.PrescriptionExpired, _expired_to, _expired_from),
    (e.PrescriptionEnteredInError, lifecycle_pb2.PrescriptionEnteredInError, _error_to, _error_from),
)
_ENCODERS = {kind: encode for kind, _, encode, _ in _SHAPES}
_READERS = {kind.__name__: (message, decode) for kind, message, _, decode in _SHAPES}

MESSAGES: dict[tuple[str, int], type[Message]] = {
    **{(kind.__name__, _version_of(message)): message for kind, message, _, _ in _SHAPES},
    **EARLIER_MESSAGES,
}
"""The message of every shape that can be read: (type, schema version) → class."""

UPCASTERS = Upcasters(newest={name: _version_of(message) for name, (message, _) in _READERS.items()}, steps=STEPS)
UPCASTERS.check(MESSAGES)


class PrescriptionEventCodec:
    """``EventCodec`` of the prescriptions context."""

    @property
    def upcasters(self) -> Upcasters:
        """The chain."""
        return UPCASTERS

    def encode(self, event: e.Event) -> EncodedEvent:
        """The event in the newest shape, in deterministic field order."""
        message = _ENCODERS[type(event)](event)
        name = type(event).__name__
        return EncodedEvent(name, newest_of(name), message.SerializeToString(deterministic=True))

    def decode(self, event_type: str, schema_version: int, data: bytes) -> e.Event:
        """The domain event of bytes in any shape. Raises ``EventUnreadable``."""
        shape = _parsed(event_type, schema_version, data)
        return _domain(UPCASTERS.upcast(shape), schema_version)

    def read(self, event_type: str, schema_version: int, data: bytes) -> e.Event | Earlier[e.Event]:
        """As ``decode``, but what depends on the stream is left open. Raises ``EventUnreadable``."""
        shape = _parsed(event_type, schema_version, data)
        if not UPCASTERS.follows(schema_version):
            return _domain(UPCASTERS.upcast(shape), schema_version)

        def settle(known: Known | None) -> tuple[e.Event, Known | None]:
            newest, after = UPCASTERS.upcast_after(shape, known)
            return _domain(newest, schema_version), after

        return Earlier(settle, UPCASTERS.beginning)

    def wire_name(self, event_type: str, schema_version: int) -> str:
        """``erx.prescriptions.events.v3.PrescriptionSigned`` and its like."""
        return f"{PACKAGE}.v{schema_version}.{event_type}"


_CODEC = PrescriptionEventCodec()


def decode_recorded(event: RecordedEvent) -> Any:
    """The domain event of one that was recorded, for whoever folds them; ``Earlier`` where that depends on its stream, as
    the views here take it. Raises ``EventUnreadable``.
    """
    return _CODEC.read(event.type, event.schema_version, event.data)


def _parsed(event_type: str, schema_version: int, data: bytes) -> Shape:
    try:
        payload = message_class(event_type, schema_version).FromString(data)
    except DecodeError as error:
        raise UpcastFailed(event_type, version=schema_version, cause=f"not protobuf: {error}") from error
    return Shape(event_type, schema_version, payload)


def _domain(newest: Shape, schema_version: int) -> e.Event:
    """The event of a shape in its newest version; ``schema_version`` is the one it was stored in."""
    try:
        return _READERS[newest.type][1](newest.payload)
    except EventUnreadable:
        raise
    except (ValueError, KeyError, ArithmeticError) as error:
        raise UpcastFailed(newest.type, version=schema_version, cause=repr(error)) from error


def newest_of(event_type: str) -> int:
    """The version in which an event is written; for one that is no longer written, that of the newest generation."""
    return UPCASTERS.newest.get(event_type, NEWEST)


def message_class(event_type: str, schema_version: int) -> type[Message]:
    """The message of a shape. Raises ``UnknownEventType`` or ``UnknownSchemaVersion``."""
    found = MESSAGES.get((event_type, schema_version))
    if found is not None:
        return found
    versions = [version for name, version in MESSAGES if name == event_type]
    if not versions:
        raise UnknownEventType(event_type)
    raise UnknownSchemaVersion(event_type, version=schema_version, newest=max(versions))
