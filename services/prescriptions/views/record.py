"""What the views know of one prescription: the domain's own state, and beside it what only readers ask for.

All views fold the same record, so that a list, a detail and a decision never differ in what an event means. The steps of a
batch are kept, so that each event is folded once for all views.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import ClassVar, Final
from uuid import UUID

from pydantic import ConfigDict

from eventkernel.envelope import RecordedEvent
from eventkernel.following import following
from prescriptions.domain import events as e
from prescriptions.domain.evolve import evolve
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.state import Dispense, Prescription
from prescriptions.domain.values import PrescriptionContent
from prescriptions.views.record_codec import RecordCodec

UNWRITTEN: Final = Prescription()
CATEGORIES: Final = frozenset({"prescription"})
STEPS_MAX: Final = 4_096
"""Steps, and what is computed of records, kept: a projector's batch touches at most twice its records."""


class Happened(Enum):
    """What is remembered with its time, for statistics."""

    CREATED = "created"
    ISSUED = "issued"
    CLAIMED = "claimed"
    PART = "part"
    FILL = "fill"
    REVERSED = "reversed"
    CANCELLED = "cancelled"
    NOT_DISPENSED = "not_dispensed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, by the time it took effect. Hand-outs and reversals name their dispense."""

    what: Happened
    at: datetime
    dispense_id: UUID | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PrescriptionRecord:
    """A prescription after ``version`` events. Records are compared by identity; equal ones have equal bytes.

    The state carries neither patient details, sealed or not, nor hashes of claim tokens: read models are no place for them.
    Nor does it remember ids of dispenses beyond the dispenses themselves. ``content_sha256`` is the hash of the whole content
    all the same. ``reversed_dispenses`` are those that were undone, oldest first.
    """

    __pydantic_config__: ClassVar = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    prescription_id: str = ""
    version: int = 0
    created_at: datetime | None = None
    occurred_at: datetime | None = None
    recorded_at: datetime | None = None
    content_sha256: bytes = b""
    state: Prescription = UNWRITTEN
    reversed_dispenses: tuple[Dispense, ...] = ()
    moments: tuple[Moment, ...] = ()

    @property
    def document(self) -> bytes:
        """The record as rows carry it; the same bytes as beside the checkpoint."""
        return RECORD_CODEC.encode(self)


NOTHING: Final = PrescriptionRecord()
"""Before the first event."""

RECORD_CODEC: Final = RecordCodec(PrescriptionRecord)

_MOMENTS: Final[dict[type[e.Event], Happened]] = {
    e.PrescriptionCreated: Happened.CREATED,
    e.PrescriptionIssued: Happened.ISSUED,
    e.PrescriptionClaimed: Happened.CLAIMED,
    e.MedicationPartiallyDispensed: Happened.PART,
    e.MedicationDispensed: Happened.FILL,
    e.DispenseReversed: Happened.REVERSED,
    e.PrescriptionCancelled: Happened.CANCELLED,
    e.MedicationNotDispensed: Happened.NOT_DISPENSED,
    e.PrescriptionExpired: Happened.EXPIRED,
}


def advance(record: PrescriptionRecord, event: e.Event, recorded: RecordedEvent) -> PrescriptionRecord:
    """The record after one more event; never refuses."""
    before, digest, undone = record.state, record.content_sha256, record.reversed_dispenses
    match event:
        case e.PrescriptionCreated() | e.PrescriptionAmended():
            digest = content_sha256(event.content)
            event = replace(event, content=without_patient(event.content))
            after = evolve(before, event)
        case e.PrescriptionClaimed():
            after = evolve(before, replace(event, claim_token_sha256=b""))
        case e.MedicationPartiallyDispensed() | e.MedicationDispensed():
            after = replace(evolve(before, event), seen_dispense_ids=frozenset())
        case e.DispenseReversed():
            undone = (*undone, *(gone for gone in before.dispenses if gone.dispense_id == event.dispense_id))
            after = evolve(before, event)
        case _:
            after = evolve(before, event)
    meta = recorded.meta
    return PrescriptionRecord(
        prescription_id=record.prescription_id or recorded.stream.id,
        version=recorded.version,
        created_at=record.created_at or meta.occurred_at,
        occurred_at=meta.occurred_at,
        recorded_at=meta.recorded_at,
        content_sha256=digest,
        state=after,
        reversed_dispenses=undone,
        moments=_remembered(record.moments, event, meta.occurred_at),
    )


def without_patient(content: PrescriptionContent) -> PrescriptionContent:
    """The content with the patient's id alone."""
    return content if content.patient_snapshot is None else replace(content, patient_snapshot=None)


def _remembered(moments: tuple[Moment, ...], event: e.Event, at: datetime) -> tuple[Moment, ...]:
    what = _MOMENTS.get(type(event))
    if what is None:
        return moments
    match event:
        case e.MedicationPartiallyDispensed() | e.MedicationDispensed() | e.DispenseReversed():
            return (*moments, Moment(what, at, event.dispense_id))
        case _:
            return (*moments, Moment(what, at))


class SharedFold:
    """``advance``, remembering the newest steps: views that hold the same record get the same next one.

    A step is known by the very event and the very record it started from, so remembering never changes an outcome.
    """

    def __init__(self, steps_max: int = STEPS_MAX) -> None:
        self._max = steps_max
        self._steps: dict[UUID, tuple[PrescriptionRecord, RecordedEvent, PrescriptionRecord]] = {}

    def __call__(self, record: PrescriptionRecord, event: e.Event, recorded: RecordedEvent) -> PrescriptionRecord:
        """The record after one more event."""
        known = self._steps.get(recorded.event_id)
        if known is not None and known[0] is record and known[1] is recorded:
            return known[2]
        after = advance(record, event, recorded)
        self._steps[recorded.event_id] = (record, recorded, after)
        if len(self._steps) > self._max:
            del self._steps[next(iter(self._steps))]
        return after


fold: Final = SharedFold()
"""The fold of every view here."""

follow: Final = following(advance)
"""``advance`` for whoever folds recorded events without a view; ``own_state`` gives the record."""
