"""The events of one prescription as they are stored: created, signed, issued; for whoever writes them without the service."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from bootstrap.bench.load import content_hash, content_message
from erx.prescriptions.v1 import lifecycle_commands_pb2
from eventkernel.envelope import Actor, EventMeta, NewEvent, Provenance
from eventkernel.ports import Entry
from prescriptions.domain.commands import CreatePrescription
from prescriptions.domain.events import (
    Event,
    PrescriptionClaimed,
    PrescriptionCreated,
    PrescriptionIssued,
    PrescriptionReturned,
    PrescriptionSigned,
)
from prescriptions.domain.values import PharmacyRef, PrescriptionContent, SigningFactor
from prescriptions.wire.commands import command_from
from prescriptions.wire.events import PrescriptionEventCodec

VALID = timedelta(days=365)
_CODEC = PrescriptionEventCodec()
_PROVENANCE = Provenance(Actor("prescriber-bench", "prescriber", "practice-bench"))


def content() -> PrescriptionContent:
    """The content of the load."""
    command = command_from(lifecycle_commands_pb2.CreatePrescriptionRequest(content=content_message()))
    if not isinstance(command, CreatePrescription):
        raise TypeError(f"a request to create became {type(command).__name__}")
    return command.content


def three() -> list[Entry]:
    """Created, signed, issued."""
    now = datetime.now(UTC)
    signed = PrescriptionSigned(content_hash(), b"signature", "none", "bench", (SigningFactor.KNOWLEDGE,), now)
    issued = PrescriptionIssued(now, now + VALID)
    return [entry(event) for event in (PrescriptionCreated(content()), signed, issued)]


def many(count: int) -> list[Entry]:
    """Created, signed, issued, and then claimed and given back until there are so many."""
    pharmacy = PharmacyRef("9900007", "1245319599", "Corner Pharmacy")
    made = three()
    while len(made) < count:
        made.append(entry(PrescriptionClaimed(pharmacy, bytes(32), 0, datetime.now(UTC))))
        made.append(entry(PrescriptionReturned()))
    return made[:count]


def entry(event: Event) -> Entry:
    """An event on its way into a store."""
    encoded, now, command_id = _CODEC.encode(event), datetime.now(UTC), uuid4()
    meta = EventMeta(now, now, command_id, _PROVENANCE)
    new = NewEvent(uuid4(), encoded.type, encoded.schema_version, encoded.data, meta)
    return Entry(new, command_id, bytes(32))
