"""``refill_due``: prescriptions that await a refill, by the day on which what was handed out last runs out.

The day it falls due hangs on how early the asker wants to know; the table holds the days it is counted from. Supply whose
end nobody stated has no day to fall due on and no row; such a prescription is in ``pharmacy_queue``.
"""

from collections.abc import Iterator
from typing import Any, Final

from eventkernel.following import in_context
from eventkernel.view import Column, ColumnType, Index, TableKind, View
from prescriptions.domain.state import Status
from prescriptions.views.record import CATEGORIES, NOTHING, RECORD_CODEC, PrescriptionRecord, fold
from prescriptions.views.supply import pharmacy_key, runs_out


def rows(record: PrescriptionRecord) -> Iterator[dict[str, Any]]:
    """The prescription's row while its next fill is nobody's work yet."""
    state = record.state
    if state.status is not Status.AWAITING_REFILL or not state.dispenses:
        return
    last, content = state.dispenses[-1], state.written
    end = runs_out(content, last)
    if end is None or last.handed_over_at is None:
        return
    yield {
        "prescription_id": record.prescription_id,
        "patient_id": content.patient_id,
        "prescriber_id": content.prescriber.id,
        "pharmacy_id": pharmacy_key(state.nominated) or pharmacy_key(last.pharmacy),
        "handed_over_on": last.handed_over_at.date(),
        "runs_out_on": end,
        "expires_at": state.expires_at,
        "document": record.document,
    }


REFILL_DUE: Final = in_context(
    View(
        name="refill_due",
        version=1,
        kind=TableKind.OWNED,
        categories=CATEGORIES,
        columns=(
            Column("prescription_id", ColumnType.TEXT),
            Column("patient_id", ColumnType.TEXT),
            Column("prescriber_id", ColumnType.TEXT),
            Column("pharmacy_id", ColumnType.TEXT),
            Column("handed_over_on", ColumnType.DATE),
            Column("runs_out_on", ColumnType.DATE),
            Column("expires_at", ColumnType.TIME, nullable=True),
            Column("document", ColumnType.BYTES),
        ),
        key=("prescription_id",),
        indexes=(
            Index(("runs_out_on", "prescription_id")),
            Index(("pharmacy_id", "runs_out_on", "prescription_id")),
            Index(("patient_id", "runs_out_on", "prescription_id")),
            Index(("prescriber_id", "runs_out_on", "prescription_id")),
        ),
        initial=NOTHING,
        fold=fold,
        rows=rows,
        codec=RECORD_CODEC,
    )
)
