"""The smallest aggregate that shows the runtime everything: a counter that is opened, counts to a limit, and is closed.

For tests of the runtime and of adapters, and to read before writing an aggregate of one's own.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from eventkernel.canonical import request_hash
from eventkernel.codec import Codecs, EncodedEvent
from eventkernel.decider import Decider
from eventkernel.envelope import Actor, Provenance, RecordedEvent
from eventkernel.errors import Refusal, UnknownEventType, UnknownSchemaVersion, UpcastFailed
from eventkernel.filters import Row
from eventkernel.ids import StreamId
from eventkernel.runtime.aggregate import AggregateType, CommandRequest
from eventkernel.view import Column, ColumnType, TableKind, View

LIMIT = 1_000
CLERK = Actor("clerk-1", "clerk", "shop-1")


@dataclass(frozen=True, slots=True)
class Open:
    """Begin."""


@dataclass(frozen=True, slots=True)
class Add:
    """Count on, or back."""

    amount: int


@dataclass(frozen=True, slots=True)
class Close:
    """End."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Begun."""


@dataclass(frozen=True, slots=True)
class Added:
    """Counted; ``total`` is the count after it."""

    amount: int
    total: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Ended."""


Command: TypeAlias = Open | Add | Close
Event: TypeAlias = Opened | Added | Closed


@dataclass(frozen=True, slots=True)
class Counter:
    """The state."""

    status: str = "NONE"
    total: int = 0
    additions: int = 0


def decide(state: Counter, command: Command) -> Event:
    """Refusals: CLOSED, ALREADY_OPEN, LIMIT."""
    match command:
        case Open() if state.status == "NONE":
            return Opened()
        case Open():
            raise Refusal("ALREADY_OPEN", "it was opened before", state=state.status)
        case _ if state.status == "CLOSED":
            raise Refusal("CLOSED", "it is closed", state=state.status)
        case Add(amount):
            if not 0 <= state.total + amount <= LIMIT:
                raise Refusal("LIMIT", f"{state.total} and {amount} leave 0 to {LIMIT}", state=state.status)
            return Added(amount, state.total + amount)
        case Close():
            return Closed()


def evolve(state: Counter, event: Event) -> Counter:
    """The state after an event."""
    match event:
        case Opened():
            return replace(state, status="OPEN")
        case Added(_, total):
            return replace(state, total=total, additions=state.additions + 1)
        case Closed():
            return replace(state, status="CLOSED")


class CounterEventCodec:
    """JSON, schema version 1."""

    def encode(self, event: Event) -> EncodedEvent:
        """The event's fields."""
        return EncodedEvent(type(event).__name__, 1, json.dumps(asdict(event)).encode())

    def decode(self, event_type: str, schema_version: int, data: bytes) -> Event:
        """Strict: unknown types, versions and fields are unreadable."""
        if event_type not in _EVENTS:
            raise UnknownEventType(event_type)
        if schema_version != 1:
            raise UnknownSchemaVersion(event_type, version=schema_version, newest=1)
        try:
            event: Event = _EVENTS[event_type](**json.loads(data))
        except (ValueError, TypeError) as error:
            raise UpcastFailed(event_type, version=schema_version, cause=str(error)) from error
        return event

    def wire_name(self, event_type: str, schema_version: int) -> str:
        """Of no schema repository."""
        return f"example.counters.v{schema_version}.{event_type}"


class CounterStateCodec:
    """JSON."""

    schema = "counter-1"

    def encode(self, state: Counter) -> bytes:
        """The state's fields."""
        return json.dumps(asdict(state)).encode()

    def decode(self, data: bytes) -> Counter:
        """The state."""
        try:
            return Counter(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise UpcastFailed("snapshot", version=0, cause=str(error)) from error


@dataclass(frozen=True, slots=True)
class Shown:
    """What a view keeps of one counter."""

    id: str = ""
    status: str = "NONE"
    total: int = 0


class _ShownCodec:
    def encode(self, state: Shown) -> bytes:
        return json.dumps(asdict(state)).encode()

    def decode(self, data: bytes) -> Shown:
        return Shown(**json.loads(data))


def show(state: Shown, event: Event, recorded: RecordedEvent) -> Shown:
    """The fold of both views."""
    after = evolve(Counter(state.status, state.total), event)
    return Shown(recorded.stream.id, after.status, after.total)


_EVENTS: dict[str, Any] = {kind.__name__: kind for kind in (Opened, Added, Closed)}
CODEC = CounterEventCodec()

COUNTER: Decider[Command, Event, Counter, datetime] = Decider(
    Counter(), lambda state, command, _: decide(state, command), evolve
)

COUNTERS: AggregateType[Command, Event, Counter, datetime] = AggregateType(
    context="counters",
    category="counter",
    decider=COUNTER,
    codecs=Codecs(CODEC, CounterStateCodec()),
    creates=lambda command: command is Open,
    facts=lambda request, occurred_at: occurred_at,
)


def decode(event: RecordedEvent) -> Event:
    """The event of a record."""
    return CODEC.decode(event.type, event.schema_version, event.data)


def _row(state: Shown) -> Iterable[Row]:
    return ({"id": state.id, "status": state.status, "total": state.total},) if state.id else ()


def _sums(state: Shown) -> Iterable[Row]:
    return ({"status": state.status, "counters": 1, "total": state.total},) if state.id else ()


COUNTER_VIEW: View[Shown, Event] = View(
    name="counter_view",
    version=1,
    kind=TableKind.OWNED,
    categories=frozenset({"counter"}),
    columns=(Column("id", ColumnType.TEXT), Column("status", ColumnType.TEXT), Column("total", ColumnType.INTEGER)),
    key=("id",),
    indexes=(),
    initial=Shown(),
    fold=show,
    rows=_row,
    codec=_ShownCodec(),
)
"""One row for each counter."""

COUNTER_SUMS: View[Shown, Event] = View(
    name="counter_sums",
    version=1,
    kind=TableKind.SUMMED,
    categories=frozenset({"counter"}),
    columns=(
        Column("status", ColumnType.TEXT),
        Column("counters", ColumnType.INTEGER),
        Column("total", ColumnType.INTEGER),
    ),
    key=("status",),
    indexes=(),
    initial=Shown(),
    fold=show,
    rows=_sums,
    codec=_ShownCodec(),
)
"""How many counters there are by status, and what they add up to."""


def new_counter(tenant: str = "default") -> StreamId:
    """A stream nobody else uses."""
    return StreamId(tenant, f"counter-{uuid4()}")


def request(
    stream: StreamId,
    command: Command,
    command_id: UUID | None = None,
    *,
    actor: Actor = CLERK,
    expected_version: int | None = None,
    effective_time: datetime | None = None,
) -> CommandRequest[Command]:
    """The command as an inbound port would hand it over."""
    return CommandRequest(
        stream=stream,
        command=command,
        command_id=command_id or uuid4(),
        request_hash=request_hash(command, actor, effective_time),
        provenance=Provenance(actor),
        expected_version=expected_version,
        effective_time=effective_time,
    )
