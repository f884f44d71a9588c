"""Comparing the old table of a view, the new one, and a fresh fold of the journal: counts and hashes of rows.

Old and new are read in one snapshot and compared where their streams stand at equal versions; what the others contribute is
left out of both. The fresh fold goes to the version at which each stream stands in the new table, and must give all of it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeVar

from eventkernel.canonical import plain
from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Order, Query, Row
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, StoredRow, ViewReading
from eventkernel.remembered import ByIdentity
from eventkernel.runtime.discards import Discards, passing_over
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.rebuild_record import Comparison, TableDigest
from eventkernel.runtime.stream_fold import Decode, state_of
from eventkernel.view import Key, TableKind, View
from eventkernel.view_sums import Sums, added, sum_columns

E = TypeVar("E")

ROWS_PER_READ = 1_000
NAMED_MAX = 20
STREAMS_AT_ONCE = 32
DECODED_MAX = 5_000
MODULUS = 2**256

Place = tuple[str, Key]
Part = StreamId | Place
"""What rows are told apart by: the stream that owns them, or where a shared row is."""


@dataclass(slots=True)
class _Table:
    """The rows of one table by part, each part as a count and a sum of hashes."""

    parts: dict[Part, tuple[int, int]] = field(default_factory=dict)

    def add(self, part: Part, row: Row) -> None:
        """Count one row in."""
        count, total = self.parts.get(part, (0, 0))
        self.parts[part] = (count + 1, (total + _hash(row)) % MODULUS)

    def without(self, parts: set[StreamId]) -> "_Table":
        """The rows of all other parts."""
        return _Table({part: digest for part, digest in self.parts.items() if part not in parts})

    def digest(self) -> TableDigest:
        """All of it."""
        total = sum(hashes for _, hashes in self.parts.values()) % MODULUS
        return TableDigest(sum(count for count, _ in self.parts.values()), f"{total:064x}")

    def differing(self, other: "_Table", who: str) -> list[str]:
        """Names of some parts that are not the same in both."""
        parts = [part for part in {**self.parts, **other.parts} if self.parts.get(part) != other.parts.get(part)]
        return [f"{_name(part)}: {who}" for part in parts[:NAMED_MAX]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two generations of one view, and what was discarded of it."""

    old: View[Any, Any]
    new: View[Any, Any]
    discards: Discards


@dataclass(slots=True)
class _Found:
    """What is stored of one pair, and the fresh fold as it grows."""

    pair: Pair
    there: dict[StreamId, int]
    here: dict[StreamId, int]
    old: _Table = field(default_factory=_Table)
    new: _Table = field(default_factory=_Table)
    whole: _Table = field(default_factory=_Table)
    fresh: _Table = field(default_factory=_Table)
    sums: dict[Place, Sums] = field(default_factory=dict)

    @property
    def apart(self) -> set[StreamId]:
        """Streams that stand at different versions."""
        return {stream for stream in {**self.there, **self.here} if self.there.get(stream) != self.here.get(stream)}

    def comparison(self) -> Comparison:
        """What came out."""
        apart = len(self.apart)
        fresh = self.fresh if self.pair.new.kind is TableKind.OWNED else _summed(self.pair.new, self.sums)
        wrong = self.whole.differing(fresh, "not as a fresh fold")
        return Comparison(
            streams=len({**self.there, **self.here}) - apart,
            apart=apart,
            old=self.old.digest(),
            new=self.new.digest(),
            whole=self.whole.digest(),
            fresh=fresh.digest(),
            differing=(*wrong, *self.old.differing(self.new, "old and new differ")),
        )


async def compare(sources: Sources[E], pair: Pair) -> Comparison:
    """Compare two generations of one view and a fresh fold."""
    found = await compare_all(sources, [pair])
    assert found is not None
    return found[0]


async def compare_all(
    sources: Sources[E], pairs: Sequence[Pair], *, stop: asyncio.Event | None = None
) -> list[Comparison] | None:
    """Compare several views in one snapshot, reading the journal once; None where it was stopped."""
    found = []
    async with sources.store.reading() as reading:
        for pair in pairs:
            there = {stream: at.version async for stream, at in reading.scan(pair.old)}
            here = {stream: at.version async for stream, at in reading.scan(pair.new)}
            one = _Found(pair, there, here)
            tenants = sorted({stream.tenant for stream in {**there, **here}})
            one.old, _ = await _stored(pair.old, reading, tenants, one.apart)
            one.new, one.whole = await _stored(pair.new, reading, tenants, one.apart)
            found.append(one)
    if not await _fold_afresh(sources, found, stop):
        return None
    return [one.comparison() for one in found]


async def _stored(
    view: View[Any, Any], reading: ViewReading, tenants: list[str], apart: set[StreamId]
) -> tuple[_Table, _Table]:
    """The rows of streams that are not apart, and all rows."""
    whole = _Table()
    if view.kind is TableKind.OWNED:
        for tenant in tenants:
            async for row in _rows(view, reading, tenant):
                assert row.stream is not None
                whole.add(row.stream, row.values)
        return whole.without(apart), whole
    sums: dict[Place, Sums] = {}
    for tenant in tenants:
        async for row in _rows(view, reading, tenant):
            sums[tenant, view.key_of(row.values)] = tuple(row.values[name] for name in sum_columns(view))
    whole = _summed(view, sums)
    standings = await reading.checkpoints(view, sorted(apart))
    for stream, at in standings.items():
        _add(view, sums, stream, _contribution(view, at), sign=-1)
    return _summed(view, sums), whole


async def _fold_afresh(sources: Sources[E], found: Sequence[_Found], stop: asyncio.Event | None) -> bool:
    """Fold every stream to where it stands in each new table; False where it was stopped."""
    streams = sorted({stream for one in found for stream in one.here})
    decode = ByIdentity(sources.decode, DECODED_MAX)
    for at in range(0, len(streams), STREAMS_AT_ONCE):
        some = streams[at : at + STREAMS_AT_ONCE]
        most = [max(one.here.get(stream, 0) for one in found) for stream in some]
        loads = (sources.journal.load(stream, up_to=version) for stream, version in zip(some, most, strict=True))
        for stream, loaded in zip(some, await asyncio.gather(*loads), strict=True):
            if stop is not None and stop.is_set():
                return False
            for one in found:
                _fold_one(one, stream, loaded.events[: one.here.get(stream, 0)], decode)
            await asyncio.sleep(0)
    return True


def _fold_one(one: _Found, stream: StreamId, events: Sequence[RecordedEvent], decode: Decode[Any]) -> None:
    """What could be folded into the table can be folded here: the same code, up to the same version."""
    if not events:
        return
    view = one.pair.new
    passing, decode = passing_over(view, decode, one.pair.discards)
    state = view.initial
    for event in events:
        state = passing.fold(state, decode(event), event)
    rows = view.contribution(state)
    if view.kind is TableKind.SUMMED:
        _add(view, one.sums, stream, rows)
        return
    for row in rows.values():
        one.fresh.add(stream, row)


def _contribution(view: View[Any, Any], at: Checkpoint) -> dict[Key, Row]:
    return view.contribution(state_of(view, at)) if at.version else {}


def _add(
    view: View[Any, Any], sums: dict[Place, Sums], stream: StreamId, rows: Mapping[Key, Row], sign: int = 1
) -> None:
    names = sum_columns(view)
    zero: Sums = (0,) * len(names)
    for key, row in rows.items():
        place = (stream.tenant, key)
        sums[place] = added(sums.get(place, zero), tuple(sign * row[name] for name in names))


def _summed(view: View[Any, Any], sums: Mapping[Place, Sums]) -> _Table:
    table = _Table()
    for place, numbers in sums.items():
        if any(numbers):
            table.add(
                place, dict(zip(view.key, place[1], strict=True)) | dict(zip(sum_columns(view), numbers, strict=True))
            )
    return table


async def _rows(view: View[Any, Any], reading: ViewReading, tenant: str) -> AsyncIterator[StoredRow]:
    after: tuple[Any, ...] | None = None
    while True:
        query = Query(tenant, order=Order(view.key), after=after, limit=ROWS_PER_READ)
        found = await reading.select(view, query)
        for row in found:
            yield row
        if len(found) < ROWS_PER_READ:
            return
        after = view.key_of(found[-1].values)


def _hash(row: Row) -> int:
    said = "\x1f".join(f"{name}={_text(row[name])}" for name in sorted(row))
    return int.from_bytes(sha256(said.encode()).digest())


def _text(value: Any) -> str:
    """Equal values alike, whichever store they come from and whatever subclass they are; other kinds of values never."""
    match value:
        case bool() | None:
            return repr(value)
        case int() | Decimal():
            return f"number:{plain(Decimal(value))}"
        case str():
            return repr(str.__str__(value))
        case _:
            return f"{type(value).__name__}:{plain(value)}"


def _name(part: Part) -> str:
    return part.key if isinstance(part, StreamId) else f"{part[0]} {part[1]!r}"
