"""What a relay remembers of pending rows between rounds: since when a row is known and its stream quiet, when to look again.

It decides when to do something, never whether it is right: that is for the conditions of the writes. So it may be lost,
differ between relays, or be cut short, and the clock may jump.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from eventkernel.ports.clock import Clock

RowKey: TypeAlias = tuple[str, int, int]
"""Stream key, bucket, generation."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Intervals of a relay.

    ``rest_seconds``: quiet so long, a stream is retired. An active one costs one conditional write per append and one per
    relay round, and a look now and then; a retired one costs its next append a pending row, and the relay two more writes.
    ``grace_seconds``: a pending row without an append so long is passed by; longer than an append takes.
    ``look_seconds_max``: a quiet stream is looked at after a quarter of the time it has been quiet, at most so long. Its
    next event waits so long at most, unless the relay is poked; 0 looks at every round.
    ``serial_seconds``: a stream is read serially so often, which brings appends to an end whose writer died in doubt; its
    retirement does so as well.
    ``scan_seconds``: while pokes say where to look, all pending rows are looked through no oftener. Without pokes every
    round looks through them.
    """

    rest_seconds: float = 5.0
    grace_seconds: float = 10.0
    look_seconds_max: float = 1.0
    serial_seconds: float = 5.0
    scan_seconds: float = 0.25


USUAL_PACE = Pace()


@dataclass(slots=True)
class _Known:
    since: float
    quiet_since: float
    looked_at: float
    serial_at: float


class Watch:
    """A bounded memory of rows."""

    def __init__(self, clock: Clock, pace: Pace, rows_max: int) -> None:
        self._clock = clock
        self._pace = pace
        self._rows_max = rows_max
        self._known: OrderedDict[RowKey, _Known] = OrderedDict()
        self._poked: dict[str, None] = {}
        self._poked_before: Collection[str] = ()
        self._scanned_at = -pace.scan_seconds
        self._buckets: OrderedDict[str, int] = OrderedDict()

    def poke(self, stream_key: str) -> None:
        """Look at this stream in the next round."""
        if len(self._poked) < self._rows_max:
            self._poked[stream_key] = None

    def begin_round(self, streams_max: int) -> Collection[str]:
        """So many of the streams poked until now are for this round, the others and later ones for the next."""
        if len(self._poked) <= streams_max:
            self._poked_before, self._poked = self._poked, {}
        else:
            self._poked_before = dict.fromkeys(islice(self._poked, streams_max))
            for stream_key in self._poked_before:
                del self._poked[stream_key]
        return self._poked_before

    def must_scan(self) -> bool:
        """Whether this round looks through all rows; counts as if it then did."""
        now = self._now()
        if self._poked_before and 0 <= now - self._scanned_at < self._pace.scan_seconds:
            return False
        self._scanned_at = now
        return True

    def bucket_of(self, stream_key: str) -> int:
        """The bucket in which a poked stream is likely to go on."""
        return self._buckets.get(stream_key, 0)

    def saw_bucket(self, stream_key: str, bucket: int) -> None:
        """The stream has come to this bucket; those that are in their first need no memory."""
        if bucket > self._buckets.get(stream_key, 0):
            self._buckets[stream_key] = bucket
            if len(self._buckets) > self._rows_max:
                self._buckets.popitem(last=False)

    def is_due(self, row: RowKey) -> bool:
        """Whether to look at the row's stream now; a row seen for the first time always is."""
        known = self._known.get(row)
        if known is None or row[0] in self._poked_before:
            return True
        now = self._now()
        pause = min(self._pace.look_seconds_max, (now - known.quiet_since) / 4)
        return not 0 <= now - known.looked_at < pause

    def is_serial_due(self, row: RowKey) -> bool:
        """Whether the next look must be a serial read; counts as if it then happened."""
        now = self._now()
        known = self._known.get(row)
        if known is None or not 0 <= now - known.serial_at < self._pace.serial_seconds:
            self._remember(row, now).serial_at = now
            return known is not None
        return False

    def saw_quiet(self, row: RowKey) -> bool:
        """The stream has nothing to publish: whether it has rested long enough to be retired."""
        now = self._now()
        known = self._remember(row, now)
        known.looked_at = now
        return not 0 <= now - known.quiet_since < self._pace.rest_seconds

    def saw_activity(self, row: RowKey) -> None:
        """The stream had something to publish."""
        now = self._now()
        known = self._remember(row, now)
        known.quiet_since = known.looked_at = now

    def saw_late(self, row: RowKey) -> bool:
        """The row's writer is late: whether the grace is over."""
        now = self._now()
        known = self._remember(row, now)
        known.looked_at = now
        return not 0 <= now - known.since < self._pace.grace_seconds

    def forget(self, row: RowKey) -> None:
        """The row is gone."""
        self._known.pop(row, None)

    @property
    def never_rests(self) -> bool:
        """Whether streams are retired together with their last cursor."""
        return self._pace.rest_seconds <= 0

    def _remember(self, row: RowKey, now: float) -> _Known:
        known = self._known.get(row)
        if known is None:
            known = self._known[row] = _Known(now, now, now, now)
            if len(self._known) > self._rows_max:
                self._known.popitem(last=False)
        return known

    def _now(self) -> float:
        return self._clock.now().timestamp()
