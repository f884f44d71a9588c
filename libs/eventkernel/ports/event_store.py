"""The journal: append-only streams with compare-and-set on the version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from uuid import UUID

from eventkernel.envelope import NewEvent, RecordedEvent
from eventkernel.evolving import quickly_made
from eventkernel.ids import StreamId

ENTRIES_MAX = 64
AFTER_ALL = 2**62
"""A version after every event: loading from there on reads none and gives the head, whatever the length of the stream."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream stands: its version (0: no stream), and what the adapter that made it wants to see again."""

    version: int
    opaque: object = None


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """What is kept of a stored command for the life of its stream: enough to give the same reply again."""

    command_id: UUID
    request_hash: bytes
    first_version: int
    last_version: int


@quickly_made
@dataclass(frozen=True, slots=True)
class Entry:
    """One command's event, with the command's id and content hash."""

    event: NewEvent
    command_id: UUID
    request_hash: bytes


@quickly_made
@dataclass(frozen=True, slots=True)
class Loaded:
    """Events in version order without gaps, and the position after the last event of the stream that was read."""

    events: Sequence[RecordedEvent]
    position: Position


@quickly_made
@dataclass(frozen=True, slots=True)
class Appended:
    """All entries are stored, durably, at consecutive versions that end at ``position.version``."""

    position: Position


@dataclass(frozen=True, slots=True)
class Replayed:
    """Nothing was stored: one of the command ids is taken. ``record`` says by what."""

    record: CommandRecord


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing was stored: the stream is not at the expected position. ``actual_version`` where it is known."""

    actual_version: int | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stored or not: could not be told. Retrying with the same command ids settles it."""

    cause: str


AppendOutcome: TypeAlias = Appended | Replayed | Conflict | Unknown


def checked(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return what an append was given. None, too many or one command id twice are the caller's mistake: ``ValueError``."""
    if not 1 <= len(entries) <= ENTRIES_MAX:
        raise ValueError(f"an append takes 1 to {ENTRIES_MAX} entries, not {len(entries)}")
    if len({entry.command_id for entry in entries}) != len(entries):
        raise ValueError("an append holds the same command id twice")
    return entries


class EventStore(Protocol):
    """Streams of events.

    Order: versions of a stream are 1, 2, 3 … without gap. Atomicity: entries, outbox rows and command records of one append
    are stored together or not at all, conditional on the expected position. Durability: ``Appended`` survives ``kill -9``.
    Duplicates: a command id is stored once per stream, for the life of the stream. Concurrency: of appends with one
    expected position, one is applied; any number of processes may append.
    Errors: ``StoreUnavailable`` when nothing was changed for certain; anything in doubt is ``Unknown``, never an exception.
    """

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """Store entries (1 to 64, see ``checked``) after ``expected``. A taken command id wins over a conflict."""

    async def load(
        self, stream: StreamId, *, after: int = 0, up_to: int | None = None, events_max: int | None = None
    ) -> Loaded:
        """Events with ``after < version <= up_to``, at most ``events_max``; an absent stream has none and version 0.

        ``position`` is the stream's head when everything up to it was read, else the last event read (then only its
        version is meaningful: append needs a position that came from a load to the head or from an append).
        """

    async def find_command(self, stream: StreamId, command_id: UUID) -> CommandRecord | None:
        """The record of a stored command, wherever in the stream it was; None is certain."""

    async def close(self) -> None:
        """Release what the adapter holds; appends under way end with an outcome first."""
