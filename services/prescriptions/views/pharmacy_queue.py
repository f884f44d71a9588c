"""``pharmacy_queue``: what pharmacies can claim, hold, owe or will be asked to refill; one row for each such prescription.

Buckets as stored do not know which day it is: a ``refill`` is one that awaits its next fill, due or not. ``pharmacy_id`` is
the holder, else the nominated pharmacy, else empty for "any"; ``dispenser_id`` is where it was dispensed last.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from enum import Enum
from typing import Any, Final

from eventkernel.filters import IsNull
from eventkernel.following import in_context
from eventkernel.view import Column, ColumnType, Index, TableKind, View
from prescriptions.domain.state import HELD, Prescription, Status
from prescriptions.views.record import CATEGORIES, NOTHING, RECORD_CODEC, PrescriptionRecord, fold
from prescriptions.views.supply import pharmacy_key, refill_date

ANY_PHARMACY: Final = ""


class Bucket(Enum):
    """Where in the queue a prescription waits, whatever the day."""

    FIRST_FILL = "first_fill"
    REFILL = "refill"
    HELD = "held"
    OWING = "owing"


def rows(record: PrescriptionRecord) -> Iterator[dict[str, Any]]:
    """The prescription's row while a pharmacy may have to do something about it."""
    state = record.state
    bucket = bucket_of(state)
    if bucket is None:
        return
    held = state.claim.pharmacy if state.claim else None
    last = state.dispenses[-1].pharmacy if state.dispenses else None
    yield {
        "prescription_id": record.prescription_id,
        "bucket": bucket.value,
        "pharmacy_id": pharmacy_key(held or state.nominated) or ANY_PHARMACY,
        "dispenser_id": pharmacy_key(last) or None,
        "due_at": due_at(record, bucket),
        "expires_at": state.expires_at,
        "document": record.document,
    }


def bucket_of(state: Prescription) -> Bucket | None:
    """The bucket of a state; None where no pharmacy has anything to do."""
    if state.status is Status.ISSUED:
        return Bucket.FIRST_FILL
    if state.status is Status.AWAITING_REFILL:
        return Bucket.REFILL
    if state.status in HELD and state.claim is not None:
        return Bucket.OWING if state.parts else Bucket.HELD
    return None


def due_at(record: PrescriptionRecord, bucket: Bucket) -> datetime:
    """Since when, or from when, there is something to do.

    A first fill: its release, or the first day it may be filled. A refill: the day the supply runs low, or at once where that
    cannot be told. What is held: its claim. What is owed: the newest part.
    """
    state = record.state
    changed = record.occurred_at or datetime.min.replace(tzinfo=UTC)
    match bucket:
        case Bucket.FIRST_FILL:
            earliest = state.written.earliest_fill
            released = state.issued_at or changed
            return max(released, datetime.combine(earliest, time.min, UTC)) if earliest else released
        case Bucket.REFILL:
            last = state.dispenses[-1] if state.dispenses else None
            day = refill_date(state.written, last) if last else None
            handed = last.handed_over_at if last else None
            return datetime.combine(day, time.min, UTC) if day else handed or changed
        case Bucket.HELD:
            return (state.claim.claimed_at if state.claim else None) or changed
        case Bucket.OWING:
            return state.parts[-1].handed_over_at or changed


PHARMACY_QUEUE: Final = in_context(
    View(
        name="pharmacy_queue",
        version=1,
        kind=TableKind.OWNED,
        categories=CATEGORIES,
        columns=(
            Column("prescription_id", ColumnType.TEXT),
            Column("bucket", ColumnType.TEXT),
            Column("pharmacy_id", ColumnType.TEXT),
            Column("dispenser_id", ColumnType.TEXT, nullable=True),
            Column("due_at", ColumnType.TIME),
            Column("expires_at", ColumnType.TIME, nullable=True),
            Column("document", ColumnType.BYTES),
        ),
        key=("prescription_id",),
        indexes=(
            Index(("pharmacy_id", "bucket", "due_at", "prescription_id")),
            Index(("dispenser_id", "bucket", "due_at", "prescription_id"), where=IsNull("dispenser_id", null=False)),
        ),
        initial=NOTHING,
        fold=fold,
        rows=rows,
        codec=RECORD_CODEC,
    )
)
