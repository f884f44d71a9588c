"""When snapshots are taken, and the writing of them behind everybody's back.

A snapshot only saves time: it is written when nobody waits, left out when too many are being written, and one that cannot be
used is replaced by whoever noticed.
"""

import asyncio
import contextvars
import logging
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eventkernel.ports import SnapshotStore
from eventkernel.runtime.aggregate import Aggregate
from eventkernel.runtime.repository import Loaded, Repository

_log = logging.getLogger(__name__)

S = TypeVar("S")

KEPT_SPAN_EVENTS = 10_000
"""Snapshots are pruned within spans of so many events. A whole fold of one takes a fraction of a second."""


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """``every_events``: the distance between snapshots, 0 for none by distance; ``load_seconds``: a stream that took so long to
    load gets one, 0 for none by time; ``behind_max``: snapshots being written at once, beyond which they are left out;
    ``newest_kept``: how many of each ten thousand events stay when one is written, 0 for all.

    With neither distance nor time nothing is ever written.
    """

    every_events: int = 100
    load_seconds: float = 0.0
    behind_max: int = 64
    newest_kept: int = 3

    @property
    def writes(self) -> bool:
        """Whether there are snapshots at all."""
        return bool(self.every_events or self.load_seconds)

    def due_after_append(self, before: int, after: int) -> bool:
        """Whether a stream that went from one version to another passed a multiple of the distance."""
        return bool(self.every_events) and after // self.every_events > before // self.every_events

    def due_after_load(self, loaded: Loaded[Any], seconds: float) -> bool:
        """Whether a stream that was loaded should be loaded from a snapshot the next time."""
        if not self.writes or loaded.aggregate.version == 0:
            return False
        slow = 0 < self.load_seconds <= seconds and loaded.aggregate.version > loaded.snapshot
        return slow or loaded.unusable > 0


class Snapshotting(Generic[S]):
    """Writes snapshots by a policy. Nothing that fails here fails anybody else."""

    def __init__(self, repository: Repository[Any, S], snapshots: SnapshotStore, policy: SnapshotPolicy) -> None:
        self._repository = repository
        self._snapshots = snapshots
        self._policy = policy
        self._behind: set[asyncio.Task[None]] = set()

    @property
    def behind(self) -> "frozenset[asyncio.Task[None]]":
        """The snapshots being written."""
        return frozenset(self._behind)

    def appended(self, aggregate: Aggregate[S], events: int) -> None:
        """The stream grew by so many events and is now as given."""
        if self._policy.due_after_append(aggregate.version - events, aggregate.version):
            self._begin(aggregate, unusable=0)

    def loaded(self, loaded: Loaded[S], seconds: float) -> None:
        """The stream was loaded, which took so long."""
        if self._policy.due_after_load(loaded, seconds):
            self._begin(loaded.aggregate, unusable=loaded.unusable)

    def _begin(self, aggregate: Aggregate[S], *, unusable: int) -> None:
        if len(self._behind) < self._policy.behind_max:
            task = asyncio.create_task(self._save(aggregate, unusable), context=contextvars.Context())
            self._behind.add(task)
            task.add_done_callback(self._behind.discard)

    async def _save(self, aggregate: Aggregate[S], unusable: int) -> None:
        try:
            if unusable > aggregate.version:
                # It would go on being the newest one: a journal that was restored ends before it.
                await self._snapshots.drop(aggregate.stream)
            await self._snapshots.save(aggregate.stream, self._repository.snapshot_of(aggregate))
            if self._policy.newest_kept:
                # A long stream keeps its last ones of each span, so that an old state is never far from a snapshot.
                above = (aggregate.version - 1) // KEPT_SPAN_EVENTS * KEPT_SPAN_EVENTS
                await self._snapshots.prune(aggregate.stream, self._policy.newest_kept, above=above)
        except Exception as error:  # noqa: BLE001 - a snapshot only saves time, and the next one is tried some events on
            _log.warning("snapshot of %s not saved: %r", aggregate.stream.key, error)
