"""How far the views have read the bus and when they last applied something: asked seldom, told with every answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from erx.eventlog.v1 import consistency_pb2
from eventkernel.errors import KernelError
from eventkernel.ports import BusTail, TopicPartition, ViewStatus, ViewStore
from eventkernel.runtime.cloudevents import from_record
from eventkernel.view import View
from eventkernel_grpc.wire_types import to_timestamp

POSITIONS_SECONDS: Final = 0.2
STATUS_SECONDS: Final = 0.5
BUS_SECONDS: Final = 0.25
"""How long an answer waits for the bus to tell how far behind it is."""
SILENT_SECONDS: Final = 2.0
"""How long nobody waits for it after it did not."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """By partition: the next offset the views' group reads, and the one after the last record there is."""

    positions: tuple[tuple[TopicPartition, int, int], ...]

    @property
    def events_behind(self) -> int:
        """Records not yet applied."""
        return sum(max(end - next_offset, 0) for _, next_offset, end in self.positions)

    def messages(self) -> list[consistency_pb2.BusPosition]:
        """As told to callers."""
        return [
            consistency_pb2.BusPosition(
                topic=source.topic, partition=source.partition, next_offset=next_offset, end_offset=end
            )
            for source, next_offset, end in self.positions
        ]


class Cached(Generic[T]):
    """A value asked again only when it has grown old. Callers that come meanwhile wait for the same question and take its
    answer, also where that took longer than it stays young: of a slow store, nobody waits for more than one answer.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds_max: float) -> None:
        self._ask = ask
        self._seconds = seconds_max
        self._known: tuple[float, T] | None = None
        self._asking: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The value, at most so old, or what the question gives that is under way. Raises what that does."""
        known = self._known
        if known is not None and asyncio.get_running_loop().time() <= known[0]:
            return known[1]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._asked(), name="freshness")
            # The event loop shall not complain of an error for which all who asked have given up waiting.
            self._asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._asking)

    async def _asked(self) -> T:
        young_until = asyncio.get_running_loop().time() + self._seconds
        value = await self._ask()
        self._known = (young_until, value)
        return value


class Freshnesses:
    """Makes the ``Freshness`` of answers."""

    def __init__(self, views: ViewStore, tail: BusTail, *, topic: str, group: str) -> None:
        self._views = views
        self._tail = tail
        self._topic = topic
        self._group = group
        self._progress = Cached(self._progress_if_told, POSITIONS_SECONDS)
        self._silent_until = 0.0
        self._statuses: dict[str, Cached[ViewStatus]] = {}
        self._made: dict[str, tuple[ViewStatus, Progress | None, consistency_pb2.Freshness]] = {}

    async def of(self, view: View[Any, Any]) -> consistency_pb2.Freshness:
        """As of when an answer from this view is. What the bus does not tell stays unknown, and the answer is given."""
        statuses = self._statuses.get(view.table)
        if statuses is None:
            statuses = self._statuses[view.table] = Cached(lambda: self._status(view), STATUS_SECONDS)
        status, progress = await statuses.get(), await self.progress()
        known = self._made.get(view.table)
        if known is None or known[0] is not status or known[1] is not progress:
            known = self._made[view.table] = (status, progress, _freshness(view, status, progress))
        made = consistency_pb2.Freshness()
        made.CopyFrom(known[2])
        return made

    async def progress(self) -> Progress | None:
        """The group's progress, at most ``POSITIONS_SECONDS`` old; None where the bus does not answer in time.

        It is not asked again for ``SILENT_SECONDS`` then, so that few answers wait for a bus that is away.
        """
        if asyncio.get_running_loop().time() < self._silent_until:
            return None
        return await self._progress.get()

    async def _progress_if_told(self) -> Progress | None:
        """Committed offsets are asked first, so that the distance is never told too small."""
        try:
            async with asyncio.timeout(BUS_SECONDS):
                committed = await self._tail.committed(self._group, self._topic)
                ends = await self._tail.end_offsets(self._topic)
        except (KernelError, TimeoutError) as error:
            _log.warning("positions on the bus are unknown: %r", error)
            self._silent_until = asyncio.get_running_loop().time() + SILENT_SECONDS
            return None
        return Progress(tuple((source, committed.get(source, 0), ends[source]) for source in sorted(ends)))

    async def oldest_behind(self, progress: Progress) -> datetime | None:
        """When the oldest record that is not yet applied was recorded; None where it cannot be told."""
        behind = [(source, offset) for source, offset, end in progress.positions if offset < end]
        heads = [await self._tail.read(source, offset, 1) for source, offset in behind]
        return min((from_record(record).meta.recorded_at for records in heads for record in records), default=None)

    async def _status(self, view: View[Any, Any]) -> ViewStatus:
        (status,) = await self._views.status([view])
        return status


def _freshness(view: View[Any, Any], status: ViewStatus, progress: Progress | None) -> consistency_pb2.Freshness:
    made = consistency_pb2.Freshness(view=view.name, view_version=view.version)
    if status.updated_at is not None:
        made.applied_at.CopyFrom(to_timestamp(status.updated_at))
    if progress is not None:
        made.positions.extend(progress.messages())
        made.events_behind = progress.events_behind
    return made
