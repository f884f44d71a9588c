"""Snapshots: a state at a version, to save folding from the start."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from eventkernel.ids import StreamId


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state's bytes, of which schema, at which version; and the envelope times of the first and the last event folded."""

    version: int
    schema: str
    state: bytes
    created_at: datetime
    occurred_at: datetime
    recorded_at: datetime


class SnapshotStore(Protocol):
    """A cache on disk: a snapshot may be missing, old or of an unknown schema at any time without a wrong answer."""

    async def latest(self, stream: StreamId, *, up_to: int | None = None) -> Snapshot | None:
        """The newest snapshot (at or below a version)."""

    async def save(self, stream: StreamId, snapshot: Snapshot) -> None:
        """Keep a snapshot; saving one version twice keeps the later. Called behind replies, never in their way."""

    def streams(self, *, tenant: str | None = None) -> AsyncIterator[StreamId]:
        """Every stream (of a tenant) that has a snapshot, once, in an order of the store's own. It reads all there are."""

    async def prune(self, stream: StreamId, newest: int, *, above: int = 0) -> None:
        """Forget all but the so many newest snapshots of a stream (1 at least); those at ``above`` and below stay too.

        Called behind replies, as ``save`` is.
        """

    async def drop(self, stream: StreamId) -> None:
        """Forget every snapshot of a stream."""
