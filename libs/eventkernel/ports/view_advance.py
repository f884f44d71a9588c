"""``ViewTransaction.advance`` in terms of the transaction's other calls, for adapters that gain nothing by their own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventkernel.errors import Divergence
from eventkernel.ids import StreamId
from eventkernel.ports.view_store import (
    Checkpoint,
    CheckpointMark,
    JointChange,
    ParkedEvent,
    ViewTransaction,
    mark_of,
)
from eventkernel.view import View


async def advance_by_loading(transaction: ViewTransaction, joint: Sequence[JointChange]) -> None:
    """Load, compare, look for lanes, save: view by view."""
    for change in joint:
        for view, steps in change.steps:
            streams = [step.stream for step in steps]
            check_marks(view, change.before, await transaction.load(view, streams))
            check_lanes(view, await transaction.parked(view, streams))
            await transaction.save(view, steps)


def check_marks(
    view: View[Any, Any], before: Mapping[StreamId, CheckpointMark], known: Mapping[StreamId, Checkpoint]
) -> None:
    """Raise ``Divergence`` where a checkpoint is not at its mark."""
    for stream, checkpoint in known.items():
        mark = before[stream]
        if mark.version != checkpoint.version or mark != mark_of(checkpoint):
            expected = f"checkpoint of {view.name} at version {mark.version}"
            raise Divergence(
                stream.key, version=mark.version, expected=expected, actual=f"one at version {checkpoint.version}"
            )


def check_lanes(view: View[Any, Any], lanes: Mapping[StreamId, Sequence[ParkedEvent]] | Iterable[StreamId]) -> None:
    """Raise ``Divergence`` where a stream's lane waits."""
    for stream in lanes:
        raise Divergence(stream.key, version=0, expected=f"no lane in {view.name}", actual="one that waits")
