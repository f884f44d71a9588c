"""What the view suite runs against, and the views, steps and rows it stores."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent
from eventkernel.filters import Order, Query, Row
from eventkernel.ids import StreamId
from eventkernel.ports.view_store import Checkpoint, ParkedEvent, StoredRow, StreamChange, ViewStore
from eventkernel.testing.view_samples import sample_view
from eventkernel.view import Change, Column, ColumnType, TableKind, View

MOMENT = datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ViewsUnderTest:
    """Two instances over the same data, as two processes would have; ``reopen`` is None without ``Feature.DURABLE``."""

    store: ViewStore
    peer: ViewStore
    reopen: "Callable[[], Awaitable[ViewsUnderTest]] | None" = None


def new_name(word: str) -> str:
    """A view's name that nobody else uses."""
    return f"{word}_{uuid4().hex[:12]}"


def new_stream(tenant: str = "default") -> StreamId:
    """A stream nobody else uses."""
    return StreamId(tenant, f"thing-{uuid4()}")


async def owned_view(views: ViewsUnderTest) -> View[bytes, bytes]:
    """A prepared view of rows that streams own: id, label, number."""
    columns = (
        Column("id", ColumnType.TEXT),
        Column("label", ColumnType.TEXT, nullable=True),
        Column("number", ColumnType.INTEGER),
    )
    return await _prepared(views, sample_view(new_name("owned"), TableKind.OWNED, columns, ("id",)))


async def summed_view(views: ViewsUnderTest) -> View[bytes, bytes]:
    """A prepared view of sums: by day and status, a count and an amount."""
    columns = (
        Column("status", ColumnType.TEXT),
        Column("rate", ColumnType.DECIMAL),
        Column("count", ColumnType.INTEGER),
        Column("amount", ColumnType.DECIMAL),
    )
    return await _prepared(views, sample_view(new_name("summed"), TableKind.SUMMED, columns, ("status", "rate")))


def checkpoint(version: int) -> Checkpoint:
    """A checkpoint with an event id and a state."""
    return Checkpoint(version, uuid4(), b"\x00state %d\xff" % version)


def step(stream: StreamId, version: int, *changes: Change, before: int | None = None) -> StreamChange:
    """One stream's step to a version, by default from the one before it."""
    return StreamChange(stream, version - 1 if before is None else before, checkpoint(version), changes)


def put(view: View[Any, Any], row: Row) -> Change:
    """A row that appears or is replaced."""
    return Change(view.key_of(row), None, row)


def gone(view: View[Any, Any], row: Row) -> Change:
    """A row that disappears."""
    return Change(view.key_of(row), row, None)


def moved(view: View[Any, Any], before: Row, after: Row) -> Change:
    """A contribution to one key that changes."""
    return Change(view.key_of(after), before, after)


async def save(store: ViewStore, view: View[Any, Any], *steps: StreamChange) -> None:
    """Apply steps in a transaction of their own."""
    async with store.transaction() as transaction:
        await transaction.save(view, steps)


async def rows(store: ViewStore, view: View[Any, Any], tenant: str = "default") -> list[StoredRow]:
    """Every row of a tenant, by key."""
    async with store.reading() as reading:
        return list(await reading.select(view, Query(tenant, order=Order(view.key), limit=100_000)))


async def values(store: ViewStore, view: View[Any, Any], tenant: str = "default") -> list[Mapping[str, Any]]:
    """The values of every row of a tenant, by key."""
    return [dict(row.values) for row in await rows(store, view, tenant)]


async def versions(store: ViewStore, view: View[Any, Any], streams: Sequence[StreamId]) -> list[int]:
    """How far a view has folded these streams."""
    async with store.reading() as reading:
        found = await reading.checkpoints(view, streams)
    return [found[stream].version for stream in streams]


def parked(stream: StreamId, version: int, error: str = "cannot be read") -> ParkedEvent:
    """An event for a lane, with every field of the envelope filled in."""
    provenance = Provenance(Actor("prac-1", "prescriber", "Kliniké Ω"), "TREAT", "corr-1", str(uuid4()), "00-af-cd-01")
    meta = EventMeta(MOMENT, MOMENT, uuid4(), provenance)
    event = RecordedEvent(stream, version, uuid4(), "ThingHappened", 7, b"\x00payload\xff", meta)
    return ParkedEvent(event, error, MOMENT.replace(second=version % 60))


async def _prepared(views: ViewsUnderTest, view: View[bytes, bytes]) -> View[bytes, bytes]:
    await views.store.prepare([view])
    await views.peer.prepare([view])
    return view
