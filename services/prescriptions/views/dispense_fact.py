"""``dispense_fact``: one row for each dispense ever made, also of those that were undone, which say so.

The row carries the dispense itself and not the prescription's record, so that a long story does not repeat itself in every row.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from eventkernel.filters import Eq, Filter, IsNull, Row
from eventkernel.following import in_context
from eventkernel.remembered import ByIdentity
from eventkernel.view import Column, ColumnType, Index, TableKind, View
from prescriptions.domain.state import Dispense
from prescriptions.views.prescription_view import code_filter, codes_text
from prescriptions.views.record import (
    CATEGORIES,
    NOTHING,
    RECORD_CODEC,
    STEPS_MAX,
    Happened,
    PrescriptionRecord,
    fold,
)
from prescriptions.views.record_codec import KEPT_MAX, RecordCodec
from prescriptions.views.supply import pharmacy_key

DISPENSE_CODEC: Final = RecordCodec(Dispense)


@dataclass(frozen=True, slots=True)
class _Lasting:
    """What a dispense's row has of the dispense alone, whatever becomes of the prescription."""

    dispense_id: str
    pharmacy_id: str
    product_codes: str
    lot: str | None
    document: bytes


def _lasting_of(dispense: Dispense) -> _Lasting:
    return _Lasting(
        dispense_id=str(dispense.dispense_id),
        pharmacy_id=pharmacy_key(dispense.pharmacy),
        product_codes=codes_text(dispense.product),
        lot=lot_key(dispense.lot) or None,
        document=DISPENSE_CODEC.encode(replace(dispense, claim=None)),
    )


_lasting: Final = ByIdentity(_lasting_of, KEPT_MAX)


@lru_cache(STEPS_MAX)
def rows(record: PrescriptionRecord) -> tuple[dict[str, Any], ...]:
    """A row for each dispense. Kept for a while: what a step brings, the next one leaves or takes away."""
    state = record.state
    if not state.dispenses and not record.reversed_dispenses:
        return ()
    content = state.written
    made_at, undone_at = _times(record)
    found = []
    for dispense in (*state.dispenses, *record.reversed_dispenses):
        lasting = _lasting(dispense)
        reversed_at = undone_at.get(dispense.dispense_id)
        row = {
            "prescription_id": record.prescription_id,
            "dispense_id": lasting.dispense_id,
            "dispensed_at": dispense.handed_over_at or made_at.get(dispense.dispense_id) or record.occurred_at,
            "reversed": reversed_at is not None,
            "reversed_at": reversed_at,
            "pharmacy_id": lasting.pharmacy_id,
            "patient_id": content.patient_id,
            "prescriber_id": content.prescriber.id,
            "product_codes": lasting.product_codes or codes_text(content.medication),
            "lot": lasting.lot,
            "medication_text": content.medication_text,
            "document": lasting.document,
        }
        found.append(row)
    return tuple(found)


def _times(record: PrescriptionRecord) -> tuple[dict[UUID | None, datetime], dict[UUID | None, datetime]]:
    """When each dispense took effect, and when it was undone."""
    made_at: dict[UUID | None, datetime] = {}
    undone_at: dict[UUID | None, datetime] = {}
    for moment in record.moments:
        if moment.dispense_id is not None:
            (undone_at if moment.what is Happened.REVERSED else made_at)[moment.dispense_id] = moment.at
    return made_at, undone_at


def lot_key(lot: str) -> str:
    """What lots are compared by: without spaces, case aside, because people copy them from labels."""
    return "".join(lot.split()).casefold()


def lot_filter(lot: str) -> Filter:
    """Dispenses of this lot."""
    return Eq("lot", lot_key(lot))


def product_filter(code: str, system: str = "") -> Filter:
    """Dispenses of the product with this code, in any system or in this one."""
    return code_filter(code, system, column="product_codes")


def dispense_of(row: Row) -> Dispense:
    """The dispense that a row carries."""
    return DISPENSE_CODEC.decode(row["document"])


def _by(column: str) -> Index:
    return Index((column, "dispensed_at", "prescription_id", "dispense_id"))


DISPENSE_FACT: Final = in_context(
    View(
        name="dispense_fact",
        version=1,
        kind=TableKind.OWNED,
        categories=CATEGORIES,
        columns=(
            Column("prescription_id", ColumnType.TEXT),
            Column("dispense_id", ColumnType.TEXT),
            Column("dispensed_at", ColumnType.TIME),
            Column("reversed", ColumnType.BOOLEAN),
            Column("reversed_at", ColumnType.TIME, nullable=True),
            Column("pharmacy_id", ColumnType.TEXT),
            Column("patient_id", ColumnType.TEXT),
            Column("prescriber_id", ColumnType.TEXT),
            Column("product_codes", ColumnType.TEXT),
            Column("lot", ColumnType.TEXT, nullable=True),
            Column("medication_text", ColumnType.TEXT),
            Column("document", ColumnType.BYTES),
        ),
        key=("prescription_id", "dispense_id"),
        indexes=(
            Index(("dispensed_at", "prescription_id", "dispense_id")),
            Index(("lot", "dispensed_at", "prescription_id", "dispense_id"), where=IsNull("lot", null=False)),
            _by("pharmacy_id"),
            _by("patient_id"),
            _by("prescriber_id"),
        ),
        initial=NOTHING,
        fold=fold,
        rows=rows,
        codec=RECORD_CODEC,
    )
)
