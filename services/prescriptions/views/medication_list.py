"""``medication_list``: what each patient's released prescriptions are for; the reader groups them by medication.

A draft is not yet something a patient takes, and a void prescription never was: neither has a row. Nor has one of an old
record that does not know the patient's id: it is on nobody's list.
"""

from collections.abc import Iterator
from typing import Any, Final

from eventkernel.following import in_context
from eventkernel.view import Column, ColumnType, Index, TableKind, View
from prescriptions.domain.state import LIVE, Status
from prescriptions.domain.values import PrescriptionContent
from prescriptions.views.record import CATEGORIES, NOTHING, RECORD_CODEC, PrescriptionRecord, fold


def rows(record: PrescriptionRecord) -> Iterator[dict[str, Any]]:
    """The prescription's row, once it is released."""
    state = record.state
    if state.issued_at is None or state.status is Status.ENTERED_IN_ERROR:
        return
    content = state.written
    if not content.patient_id:
        return
    yield {
        "patient_id": content.patient_id,
        "medication_code": medication_key(content),
        "prescription_id": record.prescription_id,
        "medication_text": medication_text(content),
        "status": state.status.name,
        "active": state.status in LIVE,
        "created_at": record.created_at,
        "updated_at": record.occurred_at,
        "last_handed_over_at": state.dispenses[-1].handed_over_at if state.dispenses else None,
        "document": record.document,
    }


def medication_key(content: PrescriptionContent) -> str:
    """What makes two prescriptions of the same medication: the first code in its system, else the text, case aside."""
    if content.medication:
        first = content.medication[0]
        return f"{first.system}|{first.code}"
    return f"text:{content.medication_text.strip().casefold()}"


def medication_text(content: PrescriptionContent) -> str:
    """How people call it: as it was written, else the first display there is, else the code."""
    displays = [coding.display for coding in content.medication if coding.display]
    codes = [coding.code for coding in content.medication]
    return next(filter(None, (content.medication_text, *displays, *codes)), "")


MEDICATION_LIST: Final = in_context(
    View(
        name="medication_list",
        version=1,
        kind=TableKind.OWNED,
        categories=CATEGORIES,
        columns=(
            Column("patient_id", ColumnType.TEXT),
            Column("medication_code", ColumnType.TEXT),
            Column("prescription_id", ColumnType.TEXT),
            Column("medication_text", ColumnType.TEXT),
            Column("status", ColumnType.TEXT),
            Column("active", ColumnType.BOOLEAN),
            Column("created_at", ColumnType.TIME),
            Column("updated_at", ColumnType.TIME),
            Column("last_handed_over_at", ColumnType.TIME, nullable=True),
            Column("document", ColumnType.BYTES),
        ),
        key=("patient_id", "medication_code", "prescription_id"),
        indexes=(Index(("patient_id", "created_at", "prescription_id")),),
        initial=NOTHING,
        fold=fold,
        rows=rows,
        codec=RECORD_CODEC,
    )
)
