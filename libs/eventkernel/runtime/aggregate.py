"""An aggregate at a version, and what the runtime must know to work with its kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from eventkernel.codec import Codecs
from eventkernel.decider import Decider
from eventkernel.envelope import EventMeta, Provenance, RecordedEvent
from eventkernel.evolving import quickly_made, replaced
from eventkernel.ids import StreamId
from eventkernel.ports import Position
from eventkernel.upcasting import Known

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")
X = TypeVar("X")


@quickly_made
@dataclass(frozen=True, slots=True)
class CommandRequest(Generic[C]):
    """A command on its way to its stream. ``request_hash`` is ``canonical.request_hash`` of command and actor."""

    stream: StreamId
    command: C
    command_id: UUID
    request_hash: bytes
    provenance: Provenance
    expected_version: int | None = None
    effective_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class AggregateType(Generic[C, E, S, X]):
    """One kind of aggregate: its decider, its codecs, and how facts are gathered for a decision.

    ``facts(request, occurred_at)`` is pure as far as the kernel is concerned; ``creates(command type)`` says whether a
    command may be the first of a stream.
    """

    context: str
    category: str
    decider: Decider[C, E, S, X]
    codecs: Codecs[E, S]
    creates: Callable[[type[C]], bool]
    facts: Callable[[CommandRequest[C], datetime], X]


@quickly_made
@dataclass(frozen=True, slots=True)
class Aggregate(Generic[S]):
    """A state and where its stream stands. Times are None before the first event.

    ``commands`` holds the ids of all stored commands of the stream, or None where not all of them are known; then the
    store must be asked. ``folded_bytes``: the encoded bytes of the snapshot and the events that made the state. ``known``:
    what upcasters know of a stream that has events in older shapes alone.
    """

    stream: StreamId
    state: S
    position: Position
    created_at: datetime | None = None
    occurred_at: datetime | None = None
    recorded_at: datetime | None = None
    commands: frozenset[UUID] | None = frozenset()
    folded_bytes: int = 0
    known: Known | None = None

    @property
    def version(self) -> int:
        """The version of the last event folded; 0 where there is no stream."""
        return self.position.version

    @property
    def memory_bytes(self) -> int:
        """About what it takes in memory: cheap to tell, and rather too much than too little.

        A state holds no more than what was folded into it; as Python objects that takes several times its encoded bytes.
        """
        ids = len(self.commands) if self.commands is not None else 0
        return AGGREGATE_BYTES + OBJECT_BYTES_PER_ENCODED * self.folded_bytes + COMMAND_ID_BYTES * ids

    def advanced(
        self, state: S, meta: EventMeta, position: Position, *, event_bytes: int = 0, known: Known | None = None
    ) -> "Aggregate[S]":
        """The aggregate after one more event, which takes so many bytes encoded. One written today leaves nothing known."""
        ids = self.commands
        if ids is not None:
            ids = ids | {meta.command_id} if len(ids) < COMMANDS_KNOWN_MAX else None
        return Aggregate(
            self.stream,
            state,
            position,
            self.created_at or meta.occurred_at,
            meta.occurred_at,
            meta.recorded_at,
            ids,
            self.folded_bytes + event_bytes,
            known,
        )

    def advanced_over(
        self, events: Sequence[RecordedEvent], state: S, *, folded_bytes: int, known: Known | None
    ) -> "Aggregate[S]":
        """The aggregate after these events, at least one. Of most envelopes nothing is asked."""
        ids = self.commands
        if ids is not None:
            few = len(ids) + len(events) <= COMMANDS_KNOWN_MAX
            ids = ids.union([event.meta.command_id for event in events]) if few else None
        first, last = events[0], events[-1].meta
        return Aggregate(
            self.stream,
            state,
            Position(events[-1].version),
            self.created_at or first.meta.occurred_at,
            last.occurred_at,
            last.recorded_at,
            ids,
            self.folded_bytes + folded_bytes,
            known,
        )

    def placed(self, position: Position) -> "Aggregate[S]":
        """The same with the position that the store gave."""
        return replaced(self, position=position)


COMMANDS_KNOWN_MAX = 256
"""Command ids remembered per cached aggregate; a longer stream asks the store instead."""

AGGREGATE_BYTES = 1_200
"""What an aggregate takes beside its state: stream, position, times, and its place in a cache."""

COMMAND_ID_BYTES = 130
"""A UUID and its place in a set."""

OBJECT_BYTES_PER_ENCODED = 6
"""Objects of CPython beside the bytes that they were read from: measured are 4.7 to 6 for protobuf and 1.3 for JSON."""
