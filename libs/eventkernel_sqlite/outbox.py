"""The outbox on SQLite: a few statements a round, however many streams it holds."""

import asyncio
import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from eventkernel.envelope import EventMeta, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports.outbox import Outbox, OutboxDepth, OutboxRun, PendingStream
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.events import recorded

PAGE_EVENTS = 128

SELECT_PENDING = """
    SELECT s.key, o.hash % :shard_count
    FROM outbox o JOIN streams s ON s.id = o.stream
    WHERE o.hash % :shard_count IN (SELECT value FROM json_each(:shards))
    ORDER BY o.position LIMIT :streams_max
"""
SELECT_STREAMS = """
    SELECT s.key, s.id, s.hash, s.head, s.published, s.waiting
    FROM json_each(?) wanted CROSS JOIN streams s ON s.key = wanted.value
"""
SELECT_RUNS = """
    SELECT e.stream, e.version, e.event_id, e.type, e.schema_version, e.data, e.meta
    FROM json_each(?) run CROSS JOIN events e
    ON e.stream = run.value ->> 0 AND e.version > run.value ->> 1 AND e.version <= run.value ->> 2
"""
MOVE_PUBLISHED = "UPDATE streams SET published = ?, waiting = ? WHERE id = ?"
DELETE_OUTBOX = "DELETE FROM outbox WHERE position = ?"
INSERT_OUTBOX = "INSERT INTO outbox (hash, stream, version) VALUES (?, ?, ?)"
COUNT_WAITING = "SELECT coalesce(sum(s.head - s.published), 0) FROM outbox o JOIN streams s ON s.id = o.stream"
SELECT_OLDEST = """
    SELECT e.meta FROM outbox o JOIN events e ON e.stream = o.stream AND e.version = o.version
    ORDER BY o.position LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a read takes of one stream: versions ``after + 1`` to ``up_to``."""

    stream: StreamId
    number: int
    published: int
    head: int
    after: int
    up_to: int


class SqliteOutbox:
    """Streams that wait, as rows written by the append itself; ``shard_count`` may differ from one start to the next."""

    def __init__(self, database: Database, shard_count: int) -> None:
        self._database = database
        self._shard_count = shard_count

    async def pending(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        """In the order in which they began to wait."""
        arguments = {"shard_count": self._shard_count, "shards": json.dumps(sorted(shards)), "streams_max": streams_max}
        rows = self._database.read_now(lambda c: c.execute(SELECT_PENDING, arguments).fetchall())
        return [PendingStream(StreamId.from_key(key), shard) for key, shard in rows]

    async def read(self, streams: Sequence[PendingStream], events_max: int) -> Sequence[OutboxRun]:
        """One statement for the streams, one for each page of events; the last run may be cut where the budget ends."""
        chosen = self._database.read_now(partial(_choose, streams, events_max))
        events: list[RecordedEvent] = []
        for page in _pages(chosen):
            events += self._database.read_now(partial(_events, page))
            await asyncio.sleep(0)
        by_stream: dict[StreamId, list[RecordedEvent]] = {}
        for event in sorted(events, key=_version):
            by_stream.setdefault(event.stream, []).append(event)
        return [OutboxRun(run.stream, run.published, run.head, tuple(by_stream[run.stream])) for run in chosen]

    async def advance(self, runs: Sequence[OutboxRun]) -> Sequence[bool]:
        """All cursors in one transaction."""
        if not runs:
            return []
        return await self._database.write(partial(_advance, runs))

    async def depth(self) -> OutboxDepth:
        """The events that wait, and when the first of the stream that waits longest was recorded."""
        return await self._database.read(_depth)


def _choose(streams: Sequence[PendingStream], events_max: int, connection: sqlite3.Connection) -> list[_Chosen]:
    by_key = {pending.stream.key: pending for pending in streams}
    chosen = []
    for key, number, _, head, published, _ in connection.execute(
        SELECT_STREAMS, (json.dumps(list(by_key)),)
    ).fetchall():
        after = max(published, by_key[key].after)
        count = min(head - after, events_max)
        if count > 0:
            events_max -= count
            chosen.append(_Chosen(by_key[key].stream, number, published, head, after, after + count))
    return chosen


def _pages(chosen: Sequence[_Chosen]) -> Iterator[dict[int, tuple[StreamId, int, int]]]:
    """Cut what was chosen into ranges of versions by stream number, a page's worth of events at a time."""
    page: dict[int, tuple[StreamId, int, int]] = {}
    left = PAGE_EVENTS
    for run in chosen:
        after = run.after
        while after < run.up_to:
            up_to = min(run.up_to, after + left)
            page[run.number] = (run.stream, after, up_to)
            left -= up_to - after
            after = up_to
            if left == 0:
                yield page
                page, left = {}, PAGE_EVENTS
    if page:
        yield page


def _events(page: dict[int, tuple[StreamId, int, int]], connection: sqlite3.Connection) -> list[RecordedEvent]:
    ranges = json.dumps([(number, after, up_to) for number, (_, after, up_to) in page.items()])
    return [recorded(page[number][0], tuple(row)) for number, *row in connection.execute(SELECT_RUNS, (ranges,))]


def _advance(runs: Sequence[OutboxRun], connection: sqlite3.Connection) -> list[bool]:
    keys = json.dumps([run.stream.key for run in runs])
    stored: dict[str, list[Any]] = {row[0]: list(row[1:]) for row in connection.execute(SELECT_STREAMS, (keys,))}
    moved = [_move(stored.get(run.stream.key), run) for run in runs]
    streams = [
        stored[key] for key in dict.fromkeys(run.stream.key for run, done in zip(runs, moved, strict=True) if done)
    ]
    connection.executemany(DELETE_OUTBOX, [(waiting,) for *_, waiting in streams])
    updates = []
    for number, digest, head, published, _ in streams:
        waiting = None
        if head > published:
            waiting = connection.execute(INSERT_OUTBOX, (digest, number, published + 1)).lastrowid
        updates.append((published, waiting, number))
    connection.executemany(MOVE_PUBLISHED, updates)
    return moved


def _move(stored: list[Any] | None, run: OutboxRun) -> bool:
    """Move the cursor in the row that was read, where the run begins at it."""
    if stored is None or stored[3] != run.published or run.events[-1].version > stored[2]:
        return False
    stored[3] = run.events[-1].version
    return True


def _depth(connection: sqlite3.Connection) -> OutboxDepth:
    (events,) = connection.execute(COUNT_WAITING).fetchone()
    oldest = connection.execute(SELECT_OLDEST).fetchone()
    return OutboxDepth(events, EventMeta.from_bytes(oldest[0]).recorded_at if oldest else None)


def _version(event: RecordedEvent) -> int:
    return event.version


if TYPE_CHECKING:
    _: type[Outbox] = SqliteOutbox
