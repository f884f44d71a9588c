"""Trying a parked lane again, once its cause is repaired: for good, or dry, to see what would change."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eventkernel.errors import Divergence
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, EventStore, ParkedEvent, ViewStore, ViewTransaction
from eventkernel.runtime.stream_fold import Decode, Folded, fold_stream, in_order, state_of
from eventkernel.view import Change, View

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class LaneRetry:
    """What came of it: versions before and after, the rows that change, and what still stands in the way, if anything does."""

    view: str
    stream: StreamId
    from_version: int
    to_version: int
    changes: tuple[Change, ...] = ()
    still_parked: int = 0
    error: str = ""
    dry_run: bool = field(default=False)


async def retry_parked(
    store: ViewStore,
    view: View[Any, E],
    stream: StreamId,
    *,
    decode: Decode[E],
    journal: EventStore,
    clock: Clock,
    dry_run: bool = False,
) -> LaneRetry:
    """Fold a stream's lane with today's code, as far as it goes, and take what was folded out of it.

    Versions that are missing between the checkpoint and the lane come from the journal. What fails stays parked, under its
    new error. A dry run changes nothing and says what a real one would do.
    """
    async with store.transaction() as transaction:
        return await retry_in(transaction, view, stream, decode=decode, journal=journal, clock=clock, dry_run=dry_run)


async def retry_in(
    transaction: ViewTransaction,
    view: View[Any, E],
    stream: StreamId,
    *,
    decode: Decode[E],
    journal: EventStore,
    clock: Clock,
    dry_run: bool = False,
) -> LaneRetry:
    """The same inside a transaction of the caller's."""
    checkpoint = (await transaction.load(view, [stream]))[stream]
    lane = (await transaction.parked(view, [stream])).get(stream, ())
    events = in_order(entry.event for entry in lane)
    before = state_of(view, checkpoint)
    folded = fold_stream(view, stream, checkpoint, before, events, decode=decode)
    while folded.gap is not None:
        gap = folded.gap
        missing = (await journal.load(stream, after=gap.after, up_to=gap.before - 1)).events
        if len(missing) != gap.missing:
            what = f"{gap.missing} events before it in the journal"
            lost = Divergence(stream.key, version=gap.before, expected=what, actual=str(len(missing)))
            folded = Folded(folded.step, folded.state, folded.rest, str(lost), folded.repeated)
            break
        events = in_order((*missing, *events))
        folded = fold_stream(view, stream, checkpoint, before, events, decode=decode)
    step = folded.step
    if lane and not dry_run:
        if step is not None:
            await transaction.save(view, [step])
        await _replace(transaction, view, lane, folded, clock)
    return LaneRetry(
        view=view.name,
        stream=stream,
        from_version=checkpoint.version,
        to_version=checkpoint.version if step is None else step.checkpoint.version,
        changes=() if step is None else step.changes,
        still_parked=len(folded.rest),
        error=folded.error,
        dry_run=dry_run,
    )


async def drop_parked(store: ViewStore, view: View[Any, Any], stream: StreamId) -> int:
    """Empty a lane without folding it: for records that are no part of the stream's journal. Gives how many there were."""
    async with store.transaction() as transaction:
        lane = (await transaction.parked(view, [stream])).get(stream, ())
        if lane:
            await transaction.unpark(view, stream, lane[-1].event.version)
        return len(lane)


async def _replace(
    transaction: ViewTransaction,
    view: View[Any, Any],
    lane: Sequence[ParkedEvent],
    folded: Folded,
    clock: Clock,
) -> None:
    """The lane becomes what is left, under its new error."""
    left, stream = folded.rest, lane[0].event.stream
    await transaction.unpark(view, stream, lane[-1].event.version)
    if left:
        parked_at = {entry.event.version: entry.parked_at for entry in lane}
        errors = [folded.error, *("" for _ in left[1:])]
        await transaction.park(
            view,
            [
                ParkedEvent(event, error, parked_at.get(event.version, clock.now()))
                for event, error in zip(left, errors, strict=True)
            ],
        )
