"""A Cassandra cluster as its clients can tell: the tables of ``SimulatedStore``, and what a ring does to them.

A conditional write in doubt may have been decided and not be at a majority yet: plain reads see it or not, until the next
round of Paxos on its partition, a serial read among them, brings it there. Or it was only accepted: then that round finds and
finishes it, or does not find it, and it never happens. A plain write carries its client's time, and the later time wins.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from eventkernel_cassandra.session import Kind, Statement, Value
from eventkernel_cassandra.simulated_session import SimulatedStore
from eventkernel_simulation.loop import SimulatedLoop
from eventkernel_simulation.weather import BEGINNING, Weather

Place: TypeAlias = tuple[str, int]
Heard: TypeAlias = Callable[[Statement, Sequence[Any], bool], None]

_PLACES = {
    "append_first": 3,
    "append": 2,
    "advance": 1,
    "advance_and_retire": 2,
    "retire": 1,
    "pass_by": 1,
    "select_statics_serially": 0,
    "select_commands_serially": 0,
}
"""Where the stream's key stands among the values of statements that run Paxos; the bucket follows."""

SYNC_SECONDS = 3.0
"""Between two syncs of a periodic commit log. The server's default is 10."""


class _StoreClock:
    """The server's clock. Replaying a commit log sets it back to when the write was made."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.at: datetime | None = None

    def now(self) -> datetime:
        return self.at or BEGINNING + timedelta(seconds=self._loop.time())

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a server's tables wait for nobody")


class Cluster:
    """``heard`` is told of every statement that was executed and whether it was applied: before any client is."""

    def __init__(self, weather: Weather, *, shard_count: int = 16, periodic: bool = False) -> None:
        self.shard_count = shard_count
        self._weather = weather
        self._loop = weather.loop
        self._clock = _StoreClock(weather.loop)
        self.store = SimulatedStore(self._clock)
        self.up = True
        self.stalled_until = 0.0
        self.heard: Heard | None = None
        self._before: dict[Place, Any] = {}
        self._accepted: dict[Place, tuple[Statement, Sequence[Any]]] = {}
        self._written_at: dict[tuple[Any, ...], int] = {}
        self._periodic = periodic
        self._synced = self.store
        self._unsynced: list[tuple[datetime, Statement, Sequence[Any]]] = []
        if periodic:
            self._synced = SimulatedStore(self._clock)
            self._loop.later(SYNC_SECONDS, self._sync)

    @property
    def open_doubts(self) -> int:
        """Writes whose fate the next round of Paxos decides or spreads."""
        return len(self._accepted)

    def execute(self, statement: Statement, values: Sequence[Value], written_at: int) -> Any:
        """Run a statement to its end."""
        if statement.kind is Kind.READ:
            return self._read(statement, values)
        place = place_of(statement, values)
        if place is not None:
            self._settle(place)
        if statement.kind is Kind.WRITE and not self._is_newest(statement, values, written_at):
            return None
        return self._run(statement, values)

    def execute_unsettled(self, statement: Statement, values: Sequence[Value]) -> None:
        """Decide a conditional write, and let no majority know."""
        place = place_of(statement, values)
        if place is None:
            self._run(statement, values)
            return
        self._settle(place)
        before = self.store.journal.get(place)
        kept = None if before is None else copied(before)
        if self._run(statement, values).applied:
            self._before[place] = kept

    def accept(self, statement: Statement, values: Sequence[Value]) -> None:
        """Leave a conditional write to the next round of Paxos of its partition."""
        place = place_of(statement, values)
        if place is not None:
            self._settle(place)
            self._accepted[place] = (statement, values)

    def crash(self, seconds: float) -> None:
        """All nodes go down at once, and come back with what their commit logs have."""
        self.up = False
        if self._periodic:
            self._lose_unsynced()
        self._loop.later(seconds, self._come_back)

    def stall(self, seconds: float) -> None:
        """Nothing is executed for a while, as in a long pause of garbage collection."""
        self.stalled_until = max(self.stalled_until, self._loop.time() + seconds)

    def _come_back(self) -> None:
        self.up = True

    def _run(self, statement: Statement, values: Sequence[Any]) -> Any:
        answer = self.store.run(statement, values)
        applied = answer is None or getattr(answer, "applied", False)
        if self._periodic and applied and statement.kind in (Kind.WRITE, Kind.CONDITIONAL):
            self._unsynced.append((self._clock.now(), statement, values))
        if self.heard is not None and statement.kind in (Kind.WRITE, Kind.CONDITIONAL):
            self.heard(statement, values, applied)
        return answer

    def _read(self, statement: Statement, values: Sequence[Value]) -> Any:
        """A majority may be one without the writes that no majority knows of. What it has seen, it knows from then on."""
        if not self._before:
            return self._run(statement, values)
        hidden = [place for place in self._before if self._weather.random.random() < 0.5]
        journal = self.store.journal
        shown = {place: journal[place] for place in hidden}
        for place in hidden:
            before = self._before[place]
            if before is None:
                del journal[place]
            else:
                journal[place] = before
        try:
            return self._run(statement, values)
        finally:
            journal.update(shown)
            self._repair(statement, values, hidden)

    def _repair(self, statement: Statement, values: Sequence[Any], hidden: Sequence[Place]) -> None:
        """A read brings what it has shown to a majority: the rows or the columns that it asked for, and no others."""
        if statement.name == "select_events":
            self._before = {
                place: before
                for place, before in self._before.items()
                if place in hidden or place != (values[0], values[1])
            }
        elif statement.name in ("select_statics", "select_many_statics"):
            keys = values[0] if isinstance(values[0], list) else [values[0]]
            for key in keys:
                place = (key, values[1])
                if place in self._before and place not in hidden:
                    self._before[place] = self._with_statics(place)

    def _with_statics(self, place: Place) -> Any:
        now, before = self.store.journal[place], self._before[place]
        rows = replace(now, events={}, outbox=set(), commands={}) if before is None else before
        return replace(rows, head=now.head, published=now.published, gen=now.gen)

    def _settle(self, place: Place) -> None:
        self._before.pop(place, None)
        accepted = self._accepted.pop(place, None)
        if accepted is not None and self._weather.random.random() < 0.5:
            self._run(*accepted)

    def _is_newest(self, statement: Statement, values: Sequence[Any], written_at: int) -> bool:
        """Of writes to one row the one with the latest time counts; at the same time, the deletion."""
        if not statement.name.endswith("_pending"):
            return True
        deletes = statement.name == "delete_pending"
        last = self._written_at.get(tuple(values), -1)
        if written_at < last or (written_at == last and not deletes):
            return False
        self._written_at[tuple(values)] = written_at
        return True

    def _sync(self) -> None:
        for at, statement, values in self._unsynced:
            self._clock.at = at
            self._synced.run(statement, values)
        self._clock.at = None
        self._unsynced.clear()
        self._loop.later(SYNC_SECONDS, self._sync)

    def _lose_unsynced(self) -> None:
        self._unsynced.clear()
        self._before.clear()
        self._accepted.clear()
        self.store = SimulatedStore(self._clock)
        self.store.journal.update({place: copied(found) for place, found in self._synced.journal.items()})
        self.store.pending.update({shard: set(rows) for shard, rows in self._synced.pending.items()})
        self.store.snapshots.update({key: dict(found) for key, found in self._synced.snapshots.items()})
        self.store.leases.update(self._synced.leases)
        self.store.owners.update(self._synced.owners)


def place_of(statement: Statement, values: Sequence[Any]) -> Place | None:
    """The partition of the journal on which a statement runs Paxos, if it does."""
    at = _PLACES.get(statement.name.partition(":")[0])
    return None if at is None else (values[at], values[at + 1])


def copied(partition: Any) -> Any:
    """A partition as it is now."""
    return replace(
        partition, events=dict(partition.events), outbox=set(partition.outbox), commands=dict(partition.commands)
    )
