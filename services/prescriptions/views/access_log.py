"""``access_log``: who looked at what of which patient. What was written is in the event log and is read from there.

No event fills this table: the query servers do, each as a stream of its own, with a version for every batch of readings. So it
is none of ``VIEWS``: no projector folds it and no rebuild could. It holds ids and never what they stood for.
"""

from collections.abc import Iterable
from typing import Any, Final

from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Row
from eventkernel.view import Column, ColumnType, Index, TableKind, View

CATEGORY: Final = "reads"


class _NoCodec:
    """There is no state: a checkpoint of this view says how many batches were written, and nothing else."""

    def encode(self, state: None) -> bytes:
        return b""

    def decode(self, data: bytes) -> None:
        return None


def _fold(_state: None, _event: Any, recorded: RecordedEvent) -> None:
    raise TypeError(f"{recorded.stream.key}: no event fills this view")


def _rows(_state: None) -> Iterable[Row]:
    return ()


ACCESS_LOG: Final[View[None, Any]] = View(
    name="access_log",
    version=1,
    kind=TableKind.OWNED,
    categories=frozenset({CATEGORY}),
    columns=(
        Column("entry_id", ColumnType.TEXT),
        Column("patient_id", ColumnType.TEXT),
        Column("at", ColumnType.TIME),
        Column("actor_id", ColumnType.TEXT),
        Column("actor_role", ColumnType.TEXT),
        Column("organisation", ColumnType.TEXT),
        Column("purpose_of_use", ColumnType.TEXT),
        Column("action", ColumnType.TEXT),
        Column("prescription_ids", ColumnType.TEXT),
        Column("prescription_count", ColumnType.INTEGER),
        Column("correlation_id", ColumnType.TEXT),
    ),
    key=("entry_id",),
    indexes=(Index(("patient_id", "at", "entry_id")),),
    initial=None,
    fold=_fold,
    rows=_rows,
    codec=_NoCodec(),
)
