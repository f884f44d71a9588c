"""What the journal's suites run against, and the events they store."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

from eventkernel.envelope import Actor, EventMeta, NewEvent, Provenance, RecordedEvent
from eventkernel.ids import StreamId, event_id_of
from eventkernel.ports.event_store import (
    Appended,
    AppendOutcome,
    Conflict,
    Entry,
    EventStore,
    Position,
    Replayed,
    Unknown,
)
from eventkernel.ports.outbox import Outbox, OutboxRun
from eventkernel.ports.stream_directory import StreamDirectory

EVERYTHING = 100_000
RETRIES_MAX = 20


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal's adapters over the same data. ``peer`` and ``rival`` are second instances, as another process would have.

    ``reopen`` closes everything and opens the same data again; None where the data lives in the process.
    """

    store: EventStore
    peer: EventStore
    outbox: Outbox
    rival: Outbox
    directory: StreamDirectory
    shard_count: int
    reopen: "Callable[[], Awaitable[Journal]] | None" = None


def new_tenant() -> str:
    """A tenant nobody else uses, so that a suite may run on data that others use too."""
    return f"t{uuid4().hex}"


def new_stream(category: str = "order", tenant: str = "default") -> StreamId:
    """A stream nobody else uses."""
    return StreamId(tenant, f"{category}-{uuid4()}")


def new_entry(
    stream: StreamId, *, command_id: UUID | None = None, data: bytes = b"\x00payload\xff", second: int = 0
) -> Entry:
    """An entry with every field of the envelope filled in."""
    command_id = command_id or uuid4()
    meta = EventMeta(
        occurred_at=datetime(2026, 3, 1, 8, 0, second, 123456, tzinfo=UTC),
        recorded_at=datetime(2026, 3, 1, 8, 1, second, 654321, tzinfo=UTC),
        command_id=command_id,
        provenance=Provenance(
            Actor("prac-1", "prescriber", "Kliniké Ω"),
            "TREAT",
            "corr-1",
            str(uuid4()),
            "00-0af7651916cd43dd8448eb211c80319c-01",
        ),
    )
    event = NewEvent(event_id_of(stream, command_id), "OrderPlaced", 3, data, meta)
    return Entry(event, command_id, sha256(command_id.bytes + data).digest())


def as_recorded(stream: StreamId, version: int, entry: Entry) -> RecordedEvent:
    """What must be loaded after an entry was stored."""
    event = entry.event
    return RecordedEvent(stream, version, event.event_id, event.type, event.schema_version, event.data, event.meta)


async def append(store: EventStore, stream: StreamId, expected: Position, *entries: Entry) -> Position:
    """Append what must succeed; an unknown outcome is settled by trying again, as the port says."""
    outcome = await settled(store, stream, expected, entries)
    assert isinstance(outcome, (Appended, Replayed)), outcome
    return outcome.position if isinstance(outcome, Appended) else (await store.load(stream)).position


async def settled(store: EventStore, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
    """The outcome of an append, tried again while it is unknown."""
    outcome: AppendOutcome = Unknown("not tried")
    for _ in range(RETRIES_MAX):
        outcome = await store.append(stream, expected, entries)
        if not isinstance(outcome, Unknown):
            return outcome
    raise AssertionError(f"still unknown after {RETRIES_MAX} attempts: {outcome}")


async def fill(store: EventStore, stream: StreamId, count: int) -> list[Entry]:
    """A new stream of this many events."""
    entries = [new_entry(stream, data=index.to_bytes(4, "big")) for index in range(count)]
    position = Position(0)
    for begin in range(0, count, 50):
        position = await append(store, stream, position, *entries[begin : begin + 50])
    return entries


async def push(store: EventStore, stream: StreamId, entry: Entry) -> int:
    """Load and append until the entry is stored, as a command handler does on conflicts; gives its version."""
    for _ in range(10_000):
        position = (await store.load(stream)).position
        outcome = await settled(store, stream, position, [entry])
        if isinstance(outcome, Appended):
            return outcome.position.version
        if isinstance(outcome, Replayed):
            return outcome.record.last_version
        assert isinstance(outcome, Conflict)
    raise AssertionError("conflicts without end")


async def unpublished(outbox: Outbox, shard_count: int, *streams: StreamId) -> dict[StreamId, OutboxRun]:
    """The runs of these streams, found the way a relay finds them: through ``pending``."""
    pending = [p for p in await outbox.pending(range(shard_count), EVERYTHING) if p.stream in streams]
    return {run.stream: run for run in await outbox.read(pending, EVERYTHING)}
