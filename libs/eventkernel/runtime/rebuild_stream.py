"""Rebuilding one stream of a view, in the table that answers: its rows, state and lane become what the journal gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from eventkernel.errors import Refusal, StreamNotFound
from eventkernel.filters import Eq, Order, Query, Row
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, ParkedEvent, StreamChange
from eventkernel.runtime.corrections import note_correction
from eventkernel.runtime.discards import load_discards, passing_over
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.stream_fold import Folded, fold_stream, in_order, state_of
from eventkernel.view import Change, Key, TableKind, View, changes

E = TypeVar("E")

NOTHING = Checkpoint(0, None, None)
ROWS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class StreamRebuild:
    """What changed, or with ``dry_run`` would: versions, rows that were not as the journal says, and what still waits."""

    view: str
    stream: StreamId
    from_version: int
    to_version: int
    changes: tuple[Change, ...]
    still_parked: int
    error: str
    dry_run: bool


async def rebuild_stream(
    sources: Sources[E], view: View[Any, E], stream: StreamId, *, dry_run: bool = False
) -> StreamRebuild:
    """Fold a stream from its first event and put the result in the place of what is stored, in one transaction.

    In a summed view the stream's contribution is replaced; sums that are wrong for another reason take a rebuild of the
    whole view. Refusals: ``GOES_BACKWARDS`` where today's code gets less far than the table is. ``StreamNotFound``.
    """
    while True:
        events = (await sources.journal.load(stream)).events
        if not events or stream.category not in view.categories:
            raise StreamNotFound(stream.key)
        async with sources.store.reading() as reading:
            seen = (await reading.checkpoints(view, [stream]))[stream]
            stored: dict[Key, Row] = {}
            if view.kind is TableKind.OWNED:
                query = Query(stream.tenant, Eq("stream", stream.name), Order(view.key), limit=ROWS_MAX)
                stored = {view.key_of(row.values): row.values for row in await reading.select(view, query)}
        async with sources.store.transaction() as transaction:
            passing, decode = passing_over(view, sources.decode, await load_discards(transaction, view))
            known = (await transaction.load(view, [stream]))[stream]
            if known != seen:
                continue
            lane = (await transaction.parked(view, [stream])).get(stream, ())
            run = in_order((*events, *(entry.event for entry in lane)))
            folded = fold_stream(passing, stream, NOTHING, view.initial, run, decode=decode)
            reached = NOTHING if folded.step is None else folded.step.checkpoint
            if reached.version < known.version:
                message = f"{stream.key} can be folded to version {reached.version} only, and stands at {known.version}"
                raise Refusal("GOES_BACKWARDS", f"{message}: {folded.error}")
            put, told = _changes(view, stored, known, folded)
            if not dry_run:
                await transaction.save(view, [StreamChange(stream, known.version, reached, put)])
                await note_correction(transaction, view, sources.clock)
                if lane:
                    await transaction.unpark(view, stream, lane[-1].event.version)
                if folded.rest:
                    now, errors = sources.clock.now(), [folded.error, *("" for _ in folded.rest[1:])]
                    rest = zip(folded.rest, errors, strict=True)
                    await transaction.park(view, [ParkedEvent(event, error, now) for event, error in rest])
        return StreamRebuild(
            view.name, stream, known.version, reached.version, told, len(folded.rest), folded.error, dry_run
        )


def _changes(
    view: View[Any, Any], stored: Mapping[Key, Row], known: Checkpoint, folded: Folded
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """What to write, and what of it is a difference. Owned rows are written whatever was there; strays go."""
    if view.kind is TableKind.SUMMED:
        moved = changes(view, state_of(view, known) if known.version else view.initial, folded.state)
        return moved, moved
    fresh = view.contribution(folded.state)
    keys = dict.fromkeys([*stored, *fresh])
    put = tuple(Change(key, stored.get(key), fresh.get(key)) for key in keys)
    return put, tuple(change for change in put if change.before != change.after)
