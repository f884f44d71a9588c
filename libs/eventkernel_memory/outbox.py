"""The outbox in memory: streams whose head is beyond what was published."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from eventkernel.ids import StreamId, shard_of
from eventkernel.ports.outbox import Outbox, OutboxDepth, OutboxRun, PendingStream
from eventkernel_memory.journal import MemoryJournal, MemoryStream


class MemoryOutbox:
    """Computed from the journal; there are no rows to keep."""

    def __init__(self, journal: MemoryJournal, shard_count: int) -> None:
        self._journal = journal
        self._shard_count = shard_count

    async def pending(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        """Streams that wait, the longest waiting first."""
        sharded = [PendingStream(stream, shard_of(stream, self._shard_count)) for stream, _ in self._waiting()]
        return [pending for pending in sharded if pending.shard in shards][:streams_max]

    async def read(self, streams: Sequence[PendingStream], events_max: int) -> Sequence[OutboxRun]:
        """Runs until the budget is used up."""
        runs = []
        for pending in streams:
            stored = self._journal.streams.get(pending.stream) or MemoryStream()
            begin = max(stored.published, pending.after)
            events = tuple(stored.events[begin : begin + events_max])
            if events:
                runs.append(OutboxRun(pending.stream, stored.published, stored.head, events))
            events_max -= len(events)
        return runs

    async def advance(self, runs: Sequence[OutboxRun]) -> Sequence[bool]:
        """Move each cursor that is still where the run began."""
        return [self._advance(run) for run in runs]

    async def depth(self) -> OutboxDepth:
        """Counted anew."""
        waiting = self._waiting()
        oldest = min((stored.events[stored.published].meta.recorded_at for _, stored in waiting), default=None)
        return OutboxDepth(sum(stored.head - stored.published for _, stored in waiting), oldest)

    def _advance(self, run: OutboxRun) -> bool:
        stored = self._journal.streams.get(run.stream)
        if stored is None or stored.published != run.published or run.events[-1].version > stored.head:
            return False
        stored.published = run.events[-1].version
        self._journal.appends += 1
        stored.waits_since = self._journal.appends
        return True

    def _waiting(self) -> list[tuple[StreamId, MemoryStream]]:
        waiting = [
            (stream, stored) for stream, stored in self._journal.streams.items() if stored.head > stored.published
        ]
        return sorted(waiting, key=lambda pair: pair[1].waits_since)


if TYPE_CHECKING:
    _: type[Outbox] = MemoryOutbox
