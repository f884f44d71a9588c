"""Two views that count: an event folded twice, or not at all, shows in a number."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Row
from eventkernel.testing.counter import Added, Event
from eventkernel.view import Column, ColumnType, TableKind, View


@dataclass(frozen=True, slots=True)
class Tally:
    """``order`` depends on the order in which the events came."""

    id: str = ""
    status: str = "NONE"
    events: int = 0
    amounts: int = 0
    order: int = 0


class _TallyCodec:
    def encode(self, state: Tally) -> bytes:
        return json.dumps(asdict(state)).encode()

    def decode(self, data: bytes) -> Tally:
        return Tally(**json.loads(data))


def tally(state: Tally, event: Event, recorded: RecordedEvent) -> Tally:
    """Count one more."""
    amount = event.amount if isinstance(event, Added) else 0
    return Tally(
        recorded.stream.id,
        recorded.type,
        state.events + 1,
        state.amounts + amount,
        (state.order * 31 + recorded.version) % 1_000_003,
    )


def _row(state: Tally) -> Iterable[Row]:
    return (asdict(state),) if state.id else ()


def _sums(state: Tally) -> Iterable[Row]:
    if not state.id:
        return ()
    return ({"status": state.status, "streams": 1, "events": state.events, "amounts": state.amounts},)


_NUMBERS = (Column("events", ColumnType.INTEGER), Column("amounts", ColumnType.INTEGER))

TALLIES: View[Tally, Event] = View(
    name="tallies",
    version=1,
    kind=TableKind.OWNED,
    categories=frozenset({"counter"}),
    columns=(
        Column("id", ColumnType.TEXT),
        Column("status", ColumnType.TEXT),
        *_NUMBERS,
        Column("order", ColumnType.INTEGER),
    ),
    key=("id",),
    indexes=(),
    initial=Tally(),
    fold=tally,
    rows=_row,
    codec=_TallyCodec(),
)
"""One row for each counter."""

TALLY_SUMS: View[Tally, Event] = View(
    name="tally_sums",
    version=1,
    kind=TableKind.SUMMED,
    categories=frozenset({"counter"}),
    columns=(Column("status", ColumnType.TEXT), Column("streams", ColumnType.INTEGER), *_NUMBERS),
    key=("status",),
    indexes=(),
    initial=Tally(),
    fold=tally,
    rows=_sums,
    codec=_TallyCodec(),
)
"""Counters by their last event, and what they add up to: rows that streams share."""
