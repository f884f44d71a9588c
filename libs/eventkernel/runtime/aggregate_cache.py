"""Aggregates kept in memory between commands. Stale entries are harmless: every append is conditional on the position."""

from collections import OrderedDict
from typing import Any

from eventkernel.ids import StreamId
from eventkernel.runtime.aggregate import Aggregate

BYTES_MAX_DEFAULT = 268_435_456


class AggregateCache:
    """Least recently used aggregates: at most ``aggregates_max``, together at most ``bytes_max`` by ``memory_bytes``.

    Either 0 turns it off. One aggregate that is larger than the bound is not kept.
    """

    def __init__(self, aggregates_max: int, *, bytes_max: int = BYTES_MAX_DEFAULT) -> None:
        self._max = aggregates_max
        self._bytes_max = bytes_max
        self._kept: OrderedDict[StreamId, Aggregate[Any]] = OrderedDict()
        self.bytes = 0
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
        """Keep it, and drop the least recently used ones beyond the limits."""
        self.drop(aggregate.stream)
        if aggregate.memory_bytes > self._bytes_max:
            return
        self._kept[aggregate.stream] = aggregate
        self.bytes += aggregate.memory_bytes
        while self._kept and (len(self._kept) > self._max or self.bytes > self._bytes_max):
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= dropped.memory_bytes

    def drop(self, stream: StreamId) -> None:
        """Forget one."""
        dropped = self._kept.pop(stream, None)
        if dropped is not None:
            self.bytes -= dropped.memory_bytes

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.bytes = 0
