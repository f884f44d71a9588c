"""Aggregates kept in memory between commands. Stale entries are harmless: every append is conditional on the position."""

from collections import OrderedDict
from typing import Any

from eventkernel.ids import StreamId
from eventkernel.runtime.aggregate import Aggregate


class AggregateCache:
    """Least recently used aggregates, at most ``aggregates_max``; 0 turns it off."""

    def __init__(self, aggregates_max: int) -> None:
        self._max = aggregates_max
        self._kept: OrderedDict[StreamId, Aggregate[Any]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, stream: StreamId) -> Aggregate[Any] | None:
        """The aggregate as it was last kept, or None."""
        kept = self._kept.get(stream)
        if kept is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(stream)
        return kept

    def keep(self, aggregate: Aggregate[Any]) -> None:
        """Keep it, and drop the least recently used one beyond the limit."""
        self._kept[aggregate.stream] = aggregate
        self._kept.move_to_end(aggregate.stream)
        while len(self._kept) > self._max:
            self._kept.popitem(last=False)

    def drop(self, stream: StreamId) -> None:
        """Forget one."""
        self._kept.pop(stream, None)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
