"""Bringing streams of one generation forward from the journal, inside a transaction: the step that rebuilds are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import (
    Checkpoint,
    Clock,
    EventStore,
    ParkedEvent,
    StreamChange,
    StreamDirectory,
    ViewStore,
    ViewTransaction,
)
from eventkernel.runtime.stream_fold import Decode, fold_stream, in_order, state_of
from eventkernel.view import View, changes

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Sources(Generic[E]):
    """What rebuilds read and write."""

    store: ViewStore
    journal: EventStore
    directory: StreamDirectory
    decode: Decode[E]
    clock: Clock


async def advance(
    transaction: ViewTransaction,
    view: View[Any, E],
    events: Mapping[StreamId, Sequence[RecordedEvent]],
    *,
    decode: Decode[E],
    clock: Clock,
) -> int:
    """Fold onto each stream what it has not folded yet; gives how many events that were.

    ``events`` are the journal's, at the latest from behind the checkpoint on. What waits in a lane is tried again with them;
    what fails is parked with everything after it.
    """
    checkpoints = await transaction.load(view, sorted(events))
    lanes = await transaction.parked(view, sorted(events))
    steps: list[StreamChange] = []
    parked: list[ParkedEvent] = []
    for stream, checkpoint in checkpoints.items():
        lane = lanes.get(stream, ())
        run = in_order((*events[stream], *(entry.event for entry in lane)))
        folded = fold_stream(view, stream, checkpoint, state_of(view, checkpoint), run, decode=decode)
        if folded.step is not None:
            steps.append(folded.step)
        if lane:
            await transaction.unpark(view, stream, lane[-1].event.version)
        error = folded.error or (f"events before version {folded.gap.before} are missing" if folded.gap else "")
        since = {entry.event.version: entry.parked_at for entry in lane}
        for event in folded.rest:
            parked.append(ParkedEvent(event, error, since.get(event.version, clock.now())))
            error = ""
    if steps:
        await transaction.save(view, steps)
    if parked:
        await transaction.park(view, parked)
    return sum(step.checkpoint.version - step.from_version for step in steps)


async def copy(transaction: ViewTransaction, view: View[Any, Any], standings: Mapping[StreamId, Checkpoint]) -> int:
    """Give new streams of this generation the checkpoints and rows they have in another; gives the events this stands for."""
    known = await transaction.load(view, sorted(standings))
    steps = [
        StreamChange(stream, 0, standing, changes(view, view.initial, state_of(view, standing)))
        for stream, standing in sorted(standings.items())
        if known[stream].version == 0
    ]
    if steps:
        await transaction.save(view, steps)
    return sum(step.checkpoint.version for step in steps)


async def tails(
    journal: EventStore, checkpoints: Mapping[StreamId, Checkpoint]
) -> dict[StreamId, Sequence[RecordedEvent]]:
    """What the journal has of each stream behind its checkpoint."""
    return {stream: (await journal.load(stream, after=at.version)).events for stream, at in checkpoints.items()}
