"""``prescriber_inbox``: what waits for the prescriber: drafts to sign, signed ones to release, released ones nobody took.

How long something has waited is a question about today, so it is asked of ``since_at`` and not stored.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any, Final

from eventkernel.following import in_context
from eventkernel.view import Column, ColumnType, Index, TableKind, View
from prescriptions.domain.state import Status
from prescriptions.views.record import CATEGORIES, NOTHING, RECORD_CODEC, PrescriptionRecord, fold


class Task(Enum):
    """What there is to do, or to look after."""

    SIGN = "sign"
    ISSUE = "issue"
    UNANSWERED = "unanswered"


_TASKS: Final = {Status.DRAFT: Task.SIGN, Status.SIGNED: Task.ISSUE, Status.ISSUED: Task.UNANSWERED}


def rows(record: PrescriptionRecord) -> Iterator[dict[str, Any]]:
    """The prescription's row while it waits for its prescriber, or for a first pharmacy."""
    state = record.state
    task = _TASKS.get(state.status)
    if task is None:
        return
    yield {
        "prescription_id": record.prescription_id,
        "prescriber_id": state.written.prescriber.id,
        "task": task.value,
        "since_at": since(record, task),
        "expires_at": state.expires_at,
        "document": record.document,
    }


def since(record: PrescriptionRecord, task: Task) -> datetime | None:
    """Since when it waits: the draft's newest change, the signature, the release."""
    match task:
        case Task.SIGN:
            return record.occurred_at
        case Task.ISSUE:
            signature = record.state.signature
            return (signature.signed_at if signature else None) or record.occurred_at
        case Task.UNANSWERED:
            return record.state.issued_at or record.occurred_at


PRESCRIBER_INBOX: Final = in_context(
    View(
        name="prescriber_inbox",
        version=1,
        kind=TableKind.OWNED,
        categories=CATEGORIES,
        columns=(
            Column("prescription_id", ColumnType.TEXT),
            Column("prescriber_id", ColumnType.TEXT),
            Column("task", ColumnType.TEXT),
            Column("since_at", ColumnType.TIME),
            Column("expires_at", ColumnType.TIME, nullable=True),
            Column("document", ColumnType.BYTES),
        ),
        key=("prescription_id",),
        indexes=(Index(("prescriber_id", "since_at", "prescription_id")),),
        initial=NOTHING,
        fold=fold,
        rows=rows,
        codec=RECORD_CODEC,
    )
)
