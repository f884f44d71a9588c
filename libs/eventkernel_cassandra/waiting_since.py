"""Since when events wait: what is told of the outbox's age.

No column says it, so the first waiting event of a stream is read, once for as long as it is the first. What was seen to wait is
remembered; of what is new only so much is read in one look, since what is new is seldom what has waited longest.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from eventkernel.ids import StreamId
from eventkernel_cassandra.bounded import each
from eventkernel_cassandra.buckets import Statics
from eventkernel_cassandra.reading import StreamReader

LOOKS_MAX = 200
"""Events read in one look."""
READS_AT_ONCE = 32

Place: TypeAlias = tuple[str, int]
_First: TypeAlias = tuple[str, int, int]


class WaitingSince:
    """Of one outbox. Where more than ``looks_max`` streams are new, a look may give a later time than the next one does."""

    def __init__(self, reader: StreamReader, looks_max: int = LOOKS_MAX) -> None:
        self._reader = reader
        self._looks_max = looks_max
        self._known: dict[_First, datetime] = {}

    async def oldest(self, buckets: Mapping[Place, Statics]) -> datetime | None:
        """When the oldest event was recorded that waits in these buckets; None where nothing waits, as far as was looked."""
        waiting = [
            (key, bucket, statics.published)
            for (key, bucket), statics in buckets.items()
            if statics.head > statics.published
        ]
        self._known = {first: self._known[first] for first in waiting if first in self._known}
        unknown = [first for first in waiting if first not in self._known][: self._looks_max]
        for first, moment in zip(unknown, await each(READS_AT_ONCE, self._recorded_at, unknown), strict=True):
            if moment is not None:
                self._known[first] = moment
        return min(self._known.values(), default=None)

    async def _recorded_at(self, first: _First) -> datetime | None:
        key, bucket, published = first
        events = await self._reader.events(StreamId.from_key(key), bucket, published, published + 1)
        return events[0].meta.recorded_at if events else None
