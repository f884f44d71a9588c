"""What a relay remembers of pending rows between rounds: since when a row is known and its stream quiet, when to look again.

It decides when to do something, never whether it is right: that is for the conditions of the writes. So it may be lost,
differ between relays, or be cut short, and the clock may jump.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from eventkernel.ports.clock import Clock

RowKey: TypeAlias = tuple[str, int, int]
"""Stream key, bucket, generation."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Intervals of a relay.

    ``rest_seconds``: quiet so long, a stream is retired. An active one costs one conditional write per append and one per
    relay round; a retired one costs its next append a pending row, and the relay two more writes.
    ``grace_seconds``: a pending row without an append so long is passed by; longer than an append takes.
    ``look_seconds_max``: a quiet stream is looked at after a quarter of the time it has been quiet, at most so long. Its
    next event waits so long at most, unless the relay is poked; 0 looks at every round.
    ``serial_seconds``: a stream is read serially so often, which brings appends to an end whose writer died in doubt.
    """

    rest_seconds: float = 60.0
    grace_seconds: float = 10.0
    look_seconds_max: float = 1.0
    serial_seconds: float = 5.0


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
        self._poked: set[str] = set()
        self._poked_before: set[str] = set()

    def poke(self, stream_key: str) -> None:
        """Look at this stream in the next round."""
        if len(self._poked) < self._rows_max:
            self._poked.add(stream_key)

    def begin_round(self) -> None:
        """Pokes until now count for this round, later ones for the next."""
        self._poked_before, self._poked = self._poked, set()

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
