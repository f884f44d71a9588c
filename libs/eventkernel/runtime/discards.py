"""Giving up on one event of a view: the checkpoint moves over it, without its effect, and the lane behind it goes on.

A discard is an act of a person, with a reason, and is kept with the view for ever, whatever generation answers. Whoever folds
the stream anew passes the event over as well, so that a rebuild gives the same rows. It holds for one version of a view: the
next version, whose fold may know better, meets the event again. The journal is not touched.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from eventkernel.envelope import RecordedEvent, from_micros, to_micros
from eventkernel.errors import Refusal
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, EventStore, ViewStore, ViewTransaction
from eventkernel.runtime.corrections import note_correction
from eventkernel.runtime.parked_lanes import LaneRetry, retry_in
from eventkernel.runtime.stream_fold import Decode
from eventkernel.view import View

E = TypeVar("E")

KIND = "discard"
REASON_CHARS_MIN = 10


@dataclass(frozen=True, slots=True)
class Discard:
    """Which event was given up on, by whom, when and why, and the error it had."""

    stream: str
    version: int
    event_id: str
    type: str
    error: str
    reason: str
    by: str
    at: datetime


Discards = Mapping[tuple[str, int], Discard]
"""By the stream's key and the version."""


async def load_discards(transaction: ViewTransaction, view: View[Any, Any]) -> Discards:
    """All of a view; there are as many as people have typed."""
    notes = await transaction.notes.all(view, KIND)
    found = [_from_bytes(body) for body in notes.values()]
    return {(discard.stream, discard.version): discard for discard in found}


class _PassedOver:
    """In the place of a discarded event's payload."""


PASSED_OVER = _PassedOver()


def passing_over(view: View[Any, E], decode: Decode[E], discards: Discards) -> tuple[View[Any, E], Decode[E]]:
    """A view and a decoder that pass over what was discarded: the state stays as it is, whatever the bytes are."""
    if not discards:
        return view, decode

    def decode_others(event: RecordedEvent) -> Any:
        known = discards.get((event.stream.key, event.version))
        return PASSED_OVER if known is not None and known.event_id == str(event.event_id) else decode(event)

    def fold(state: Any, event: Any, recorded: RecordedEvent) -> Any:
        return state if event is PASSED_OVER else view.fold(state, event, recorded)

    return replace(view, fold=fold), decode_others


async def discard_parked(
    store: ViewStore,
    view: View[Any, E],
    stream: StreamId,
    version: int,
    *,
    reason: str,
    by: str,
    decode: Decode[E],
    journal: EventStore,
    clock: Clock,
) -> LaneRetry:
    """Give up on the event that a lane waits for, and fold what waits behind it, as far as that goes: one transaction.

    ``version`` must be the first of the lane, so that nobody discards what another has just drained. Refusals:
    ``DISCARD_REASON_MISSING``, ``LANE_EMPTY``, ``NOT_FIRST_OF_LANE``.
    """
    if len(reason.strip()) < REASON_CHARS_MIN:
        raise Refusal(
            "DISCARD_REASON_MISSING", f"say in {REASON_CHARS_MIN} characters or more why nobody needs the event"
        )
    async with store.transaction() as transaction:
        lane = (await transaction.parked(view, [stream])).get(stream)
        if not lane:
            raise Refusal("LANE_EMPTY", f"nothing of {stream.key} waits in {view.name}")
        first = lane[0]
        if first.event.version != version:
            details = {"first_version": str(first.event.version)}
            message = f"the lane of {stream.key} begins with version {first.event.version}, not {version}"
            raise Refusal("NOT_FIRST_OF_LANE", message, details=details)
        known = (await transaction.load(view, [stream]))[stream]
        if version > known.version:
            event = first.event
            made = Discard(
                stream.key, version, str(event.event_id), event.type, first.error, reason.strip(), by, clock.now()
            )
            await transaction.notes.put(view, KIND, f"{stream.key}/{version:020}", _to_bytes(made))
        else:
            # Not the journal's event: the view has folded another one under this version.
            await transaction.unpark(view, stream, version)
        discards = await load_discards(transaction, view)
        await note_correction(transaction, view, clock)
        passing, decoding = passing_over(view, decode, discards)
        return await retry_in(transaction, passing, stream, decode=decoding, journal=journal, clock=clock)


def _to_bytes(discard: Discard) -> bytes:
    return json.dumps({**asdict(discard), "at": to_micros(discard.at)}, separators=(",", ":")).encode()


def _from_bytes(body: bytes) -> Discard:
    found = json.loads(body)
    return Discard(**{**found, "event_id": str(UUID(found["event_id"])), "at": from_micros(found["at"])})
