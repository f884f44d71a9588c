"""A member of a consumer group on the bus file."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from eventkernel.errors import StoreUnavailable
from eventkernel.ports.event_subscription import BusRecord, EventSubscription, TopicPartition
from eventkernel_sqlite.arrivals import LOOK_FIRST_SECONDS, LOOK_LAST_SECONDS, wait_for_arrival
from eventkernel_sqlite.bus_tail import read_lane
from eventkernel_sqlite.event_bus import STORE, Bus
from eventkernel_sqlite.group_members import COMMIT_OFFSET, SELECT_HELD, Member, beat, generation_of, leave
from eventkernel_sqlite.presence import Presence, is_present

SESSION_SECONDS = 10.0
SELECT_NEXTS = "SELECT lane, first_offset, next_offset FROM lanes WHERE topic = ?"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Held:
    """A lane this member holds, since which generation, and the next offset to read."""

    source: TopicPartition
    since: int
    next_offset: int


def monotonic_micros() -> int:
    """The machine's monotonic clock, one for all processes; a beat from before a reboot lies in the future."""
    return time.monotonic_ns() // 1000


class SqliteEventSubscription:
    """Joins its group with the first ``poll`` and beats in the background until it is closed.

    A member that dies is noticed at the next beat of another by the lock it no longer holds, one that hangs after
    ``session_seconds`` of silence; a member that was given up joins again by itself.
    """

    def __init__(
        self,
        bus: Bus,
        group: str,
        topics: Sequence[str],
        *,
        session_seconds: float = SESSION_SECONDS,
        now_micros: Callable[[], int] = monotonic_micros,
    ) -> None:
        self._bus = bus
        self._member = Member(group, uuid4().hex, tuple(topics), int(session_seconds * 1_000_000))
        self._beat_seconds = session_seconds / 3
        self._now = now_micros
        self._folder = bus.path.with_name(f"{bus.path.name}-members")
        self._presence: Presence | None = None
        self._beating: asyncio.Task[None] | None = None
        self._arrived: asyncio.Event | None = None
        self._generation = -1
        self._held: dict[int, _Held] = {}
        self._turn = 0
        self._closed = False

    async def poll(self, records_max: int, timeout_seconds: float) -> Sequence[BusRecord]:
        """The next records, each partition in turn being the first to give."""
        arrived = self._arrived or await self._join()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        look_seconds = LOOK_FIRST_SECONDS
        while not self._closed:
            arrived.clear()
            records = await self._next(records_max)
            left = deadline - loop.time()
            if records or left <= 0:
                return records
            await wait_for_arrival(arrived, min(left, look_seconds))
            look_seconds = min(look_seconds * 1.5, LOOK_LAST_SECONDS)
        raise StoreUnavailable(STORE, "the subscription is closed")

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Committed durably; lanes that another member holds by now are left alone."""
        group, name = self._member.group, self._member.name
        rows = [(offset, group, self._bus.lane(source), name) for source, offset in offsets.items()]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(COMMIT_OFFSET, rows)

        if rows:
            await self._bus.database.write(work)

    async def rewind(self) -> None:
        """Forget the positions; the next poll takes the committed ones."""
        self._held.clear()
        self._generation = -1

    async def close(self) -> None:
        """Leave the group, so that the others take over at once."""
        if self._closed:
            return
        joined = self._presence is not None
        await self.abandon()
        if joined:
            await self._bus.database.write(lambda connection: leave(connection, self._member))
            self._bus.arrivals.announce()

    async def abandon(self) -> None:
        """Stop without leaving, as a process does that is killed: the others find out."""
        self._closed = True
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        if self._arrived is not None:
            self._arrived.set()
            self._bus.arrivals.leave(self._arrived)
        if self._presence is not None:
            self._presence.end()

    async def _join(self) -> asyncio.Event:
        for topic in self._member.topics:
            self._bus.lanes(topic)
        self._presence = Presence(self._folder, self._member.name)
        arrived = self._bus.arrivals.join()
        await self._beat()
        self._arrived = arrived
        self._beating = asyncio.create_task(self._beat_on())
        return arrived

    async def _beat(self) -> None:
        changed = await self._bus.database.write(
            lambda connection: beat(connection, self._member, self._now(), lambda name: is_present(self._folder, name))
        )
        if changed:
            self._bus.arrivals.announce()

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(self._beat_seconds)
            try:
                await self._beat()
            except StoreUnavailable as error:
                _log.warning("member %s of %s could not beat: %s", self._member.name, self._member.group, error)

    async def _next(self, records_max: int) -> list[BusRecord]:
        behind = self._bus.database.read_now(self._look)
        if not behind:
            return []
        self._turn += 1
        first = self._turn % len(behind)
        turns = behind[first:] + behind[:first]
        generation = self._generation
        records = await self._bus.database.read(lambda connection: _read(connection, turns, records_max))
        if generation != self._generation:
            return []  # rewound meanwhile: these are given again
        for record_lane, last in records:
            self._held[record_lane].next_offset = last[-1].offset + 1
        return [record for _, some in records for record in some]

    def _look(self, connection: sqlite3.Connection) -> list[tuple[int, TopicPartition, int]]:
        """The lanes held that have something to read, after taking note of a new generation."""
        generation = generation_of(connection, self._member.group)
        if generation != self._generation:
            self._take(connection)
            self._generation = generation
        behind = []
        for topic in self._member.topics:
            for lane, first, end in connection.execute(SELECT_NEXTS, (topic,)):
                held = self._held.get(lane)
                if held is not None and max(first, held.next_offset) < end:
                    behind.append((lane, held.source, held.next_offset))
        return behind

    def _take(self, connection: sqlite3.Connection) -> None:
        before = self._held
        self._held = {}
        for topic, partition, lane, since, committed in connection.execute(
            SELECT_HELD, (self._member.group, self._member.name)
        ).fetchall():
            known = before.get(lane)
            held = _Held(TopicPartition(topic, partition), since, committed)
            self._held[lane] = known if known is not None and known.since == since else held


def _read(
    connection: sqlite3.Connection, turns: Sequence[tuple[int, TopicPartition, int]], records_max: int
) -> list[tuple[int, list[BusRecord]]]:
    found: list[tuple[int, list[BusRecord]]] = []
    left = records_max
    for lane, source, offset in turns:
        records = read_lane(connection, source, lane, offset, left)
        if records:
            found.append((lane, records))
            left -= len(records)
        if left <= 0:
            break
    return found


if TYPE_CHECKING:
    _: type[EventSubscription] = SqliteEventSubscription
