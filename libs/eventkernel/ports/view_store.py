"""Rows of read models with their checkpoints."""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from eventkernel.envelope import RecordedEvent
from eventkernel.filters import Query, Row
from eventkernel.ids import StreamId
from eventkernel.ports.view_catalogue import ViewCatalogue, ViewNotes
from eventkernel.view import Change, Key, View


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a view has folded one stream: the last version, its event's id, and the stream's state as bytes.

    Version 0 and no event id: nothing folded yet.
    """

    version: int
    event_id: UUID | None
    state: bytes | None


class CheckpointMark(NamedTuple):
    """What tells a checkpoint from any other of its stream: all of it, but for the state only its SHA-256 (empty for none)."""

    version: int
    event_id: UUID | None
    digest: bytes


def mark_of(checkpoint: Checkpoint) -> CheckpointMark:
    """The checkpoint's mark."""
    state = checkpoint.state
    return CheckpointMark(
        checkpoint.version, checkpoint.event_id, b"" if state is None else hashlib.sha256(state).digest()
    )


@dataclass(frozen=True, slots=True)
class StreamChange:
    """One stream's step in one view: from a version to a checkpoint, with the changes of its rows."""

    stream: StreamId
    from_version: int
    checkpoint: Checkpoint
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class JointChange:
    """The steps of several views that stand at the same checkpoint of every stream, and come to the same one.

    ``before``: where they stand, by stream. ``steps``: those of each view, of the same streams in the same sorted order.
    """

    before: Mapping[StreamId, CheckpointMark]
    steps: Sequence[tuple[View[Any, Any], Sequence[StreamChange]]]


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of a view. ``stream`` and ``version`` say what it was folded from (None and 0 for a summed view)."""

    values: Row
    stream: StreamId | None
    version: int


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that a view could not fold, or that waits behind one; the lane of a stream is ordered by version."""

    event: RecordedEvent
    error: str
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """Counts of one view, for status and metrics."""

    view: str
    version: int
    streams: int
    events_applied: int
    parked_streams: int
    last_error: str
    updated_at: datetime | None


class ViewTransaction(Protocol):
    """One transaction over rows, checkpoints and lanes: all or nothing, serialisable against others on the same streams."""

    @property
    def catalogue(self) -> ViewCatalogue:
        """Generations and lanes, inside this transaction."""

    @property
    def notes(self) -> ViewNotes:
        """Documents about views, inside this transaction."""

    async def load(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """The checkpoints, locked until the end of the transaction, in sorted order of the streams."""

    async def save(self, view: View[Any, Any], steps: Sequence[StreamChange]) -> None:
        """Apply rows and move checkpoints, each conditional on ``from_version``; raises ``Divergence`` where it moved."""

    async def advance(self, joint: Sequence[JointChange]) -> None:
        """``save`` for whoever knows the checkpoints beforehand and has not loaded them: they are locked here, in sorted order.

        Raises ``Divergence`` where one is not at its mark, or where a lane of the stream waits; then load them all, in
        another transaction. No stream and view may be named twice.
        """

    async def parked(
        self, view: View[Any, Any], streams: Sequence[StreamId]
    ) -> Mapping[StreamId, Sequence[ParkedEvent]]:
        """The lanes of these streams, in version order; streams without one are left out."""

    async def park(self, view: View[Any, Any], events: Sequence[ParkedEvent]) -> None:
        """Add to the lanes; an event already there is left as it is."""

    async def unpark(self, view: View[Any, Any], stream: StreamId, up_to: int) -> None:
        """Remove the lane's events up to a version."""


class ViewStore(Protocol):
    """Read models by declaration.

    ``save`` and ``load`` happen in a transaction; reads outside see committed rows only. Errors: ``StoreUnavailable`` (the
    transaction is rolled back), ``StoreMismatch`` at ``prepare``.
    """

    async def prepare(self, views: Sequence[View[Any, Any]]) -> None:
        """Make the tables and indexes that are missing. Safe to call from several processes at once."""

    def transaction(self) -> AbstractAsyncContextManager[ViewTransaction]:
        """Begin; commit at the end of the block, roll back on any exception."""

    def reading(self) -> AbstractAsyncContextManager["ViewReading"]:
        """Begin reading one consistent snapshot of rows and checkpoints."""

    async def status(self, views: Sequence[View[Any, Any]]) -> Sequence[ViewStatus]:
        """Counts per view."""

    async def close(self) -> None:
        """Release what the adapter holds."""


class ViewReading(Protocol):
    """Reads of one consistent snapshot."""

    async def get(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """The row under this key."""

    async def select(self, view: View[Any, Any], query: Query) -> Sequence[StoredRow]:
        """Rows that match, in order, at most ``query.limit``. Ask for one more than a page to know whether there is a next."""

    async def count(self, view: View[Any, Any], query: Query) -> int:
        """How many rows match, regardless of ``after`` and ``limit``."""

    async def checkpoints(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """How far the view has folded these streams; unknown streams have version 0."""

    async def corrections(self, view: View[Any, Any]) -> int:
        """A stamp that grows whenever states or rows are changed without a new event: what was kept before it is worth nothing.

        It is the view's note under ``CORRECTIONS_KIND`` and ``CORRECTIONS_KEY`` as of this snapshot; 0 where there is none.
        """

    def scan(self, view: View[Any, Any]) -> AsyncIterator[tuple[StreamId, Checkpoint]]:
        """Every checkpoint of a view, for audits and comparisons."""
