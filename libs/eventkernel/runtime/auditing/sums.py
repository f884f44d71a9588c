"""Rows that several streams share: what they are, beside what the streams' kept states add up to, in one snapshot."""

from collections.abc import AsyncIterator
from typing import Any

from eventkernel.filters import Order, Query, Row
from eventkernel.ports import StreamChange, ViewReading, ViewStore
from eventkernel.runtime.auditing.findings import Finding, Lack
from eventkernel.runtime.stream_fold import state_of
from eventkernel.view import Change, Key, View
from eventkernel.view_sums import Sums, added, sum_columns

PAGE = 1_000
Wrong = dict[Key, tuple[Sums, Sums]]
"""By key: what is stored, and what it should be."""


async def wrong_sums(store: ViewStore, view: View[Any, Any]) -> dict[str, Wrong]:
    """By tenant, the sums that are not what the checkpoints' states add up to."""
    names = sum_columns(view)
    zero: Sums = (0,) * len(names)
    wanted: dict[str, dict[Key, Sums]] = {}
    async with store.reading() as reading:
        async for stream, checkpoint in reading.scan(view):
            table = wanted.setdefault(stream.tenant, {})
            for key, row in view.contribution(state_of(view, checkpoint)).items():
                table[key] = added(table.get(key, zero), tuple(row[name] for name in names))
        wrong: dict[str, Wrong] = {}
        for tenant, table in wanted.items():
            stored: dict[Key, Sums] = {}
            async for row in _rows(reading, view, tenant):
                stored[view.key_of(row)] = tuple(row[name] for name in names)
            for key in {**table, **stored}:
                there, due = stored.get(key, zero), table.get(key, zero)
                if there != due:
                    wrong.setdefault(tenant, {})[key] = (there, due)
    return wrong


def findings_of(view: View[Any, Any], wrong: dict[str, Wrong]) -> list[Finding]:
    """One for each row."""
    return [
        Finding(Lack.VIEW_SUMS, tenant, f"row {key} has {_told(view, there)}, {_told(view, due)} is due", view.name)
        for tenant, rows in sorted(wrong.items())
        for key, (there, due) in rows.items()
    ]


async def put_right(store: ViewStore, view: View[Any, Any], tenant: str) -> int:
    """Add to each sum what it lacks; gives the number of rows.

    The difference stays the same whatever projectors add meanwhile. Two who heal at once must not both add it: whoever holds
    the tenant's first checkpoint looks again, and only then adds.
    """
    async with store.reading() as reading:
        streams = [stream async for stream, _ in reading.scan(view) if stream.tenant == tenant]
    if not streams:
        return 0
    guard = min(streams)
    async with store.transaction() as transaction:
        at = (await transaction.load(view, [guard]))[guard]
        rows = (await wrong_sums(store, view)).get(tenant, {})
        names, moves = sum_columns(view), []
        for key, (there, due) in rows.items():
            named = dict(zip(view.key, key, strict=True))
            before, after = dict(zip(names, there, strict=True)), dict(zip(names, due, strict=True))
            moves.append(Change(key, {**named, **before}, {**named, **after}))
        if moves:
            await transaction.save(view, [StreamChange(guard, at.version, at, tuple(moves))])
        return len(moves)


async def _rows(reading: ViewReading, view: View[Any, Any], tenant: str) -> AsyncIterator[Row]:
    order, after = Order(view.key), None
    while True:
        found = await reading.select(view, Query(tenant, order=order, after=after, limit=PAGE))
        for stored in found:
            yield stored.values
        if len(found) < PAGE:
            return
        after = view.key_of(found[-1].values)


def _told(view: View[Any, Any], sums: Sums) -> str:
    return ", ".join(f"{name} {number}" for name, number in zip(sum_columns(view), sums, strict=True))
