"""The outbox on SQLite: a few statements a round, however many streams it holds."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from eventkernel.envelope import EventMeta, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports.outbox import Outbox, OutboxDepth, OutboxRun, PendingStream
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.events import recorded

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


class SqliteOutbox:
    """Streams that wait, as rows written by the append itself; ``shard_count`` may differ from one start to the next."""

    def __init__(self, database: Database, shard_count: int) -> None:
        self._database = database
        self._shard_count = shard_count

    async def pending(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        """In the order in which they began to wait."""
        arguments = {"shard_count": self._shard_count, "shards": json.dumps(sorted(shards)), "streams_max": streams_max}
        rows = await self._database.read(lambda c: c.execute(SELECT_PENDING, arguments).fetchall())
        return [PendingStream(StreamId.from_key(key), shard) for key, shard in rows]

    async def read(self, streams: Sequence[PendingStream], events_max: int) -> Sequence[OutboxRun]:
        """Two statements for all streams; the last run may be cut where the budget ends."""
        if not streams:
            return []
        return await self._database.read(partial(_read, [pending.stream for pending in streams], events_max))

    async def advance(self, runs: Sequence[OutboxRun]) -> Sequence[bool]:
        """All cursors in one transaction."""
        if not runs:
            return []
        return await self._database.write(partial(_advance, runs))

    async def depth(self) -> OutboxDepth:
        """The events that wait, and when the first of the stream that waits longest was recorded."""
        return await self._database.read(_depth)


def _read(streams: Sequence[StreamId], events_max: int, connection: sqlite3.Connection) -> list[OutboxRun]:
    by_key = {stream.key: stream for stream in streams}
    chosen: dict[int, tuple[StreamId, int, int]] = {}
    wanted: list[tuple[int, int, int]] = []
    for key, number, _, head, published, _ in connection.execute(
        SELECT_STREAMS, (json.dumps(list(by_key)),)
    ).fetchall():
        count = min(head - published, events_max)
        if count > 0:
            events_max -= count
            chosen[number] = (by_key[key], published, head)
            wanted.append((number, published, published + count))
    events: dict[int, list[RecordedEvent]] = {number: [] for number in chosen}
    for number, *row in connection.execute(SELECT_RUNS, (json.dumps(wanted),)):
        events[number].append(recorded(chosen[number][0], tuple(row)))
    return [
        OutboxRun(stream, published, head, tuple(sorted(events[number], key=_version)))
        for number, (stream, published, head) in chosen.items()
    ]


def _advance(runs: Sequence[OutboxRun], connection: sqlite3.Connection) -> list[bool]:
    keys = json.dumps([run.stream.key for run in runs])
    stored: dict[str, list[Any]] = {row[0]: list(row[1:]) for row in connection.execute(SELECT_STREAMS, (keys,))}
    moved = [_move(stored.get(run.stream.key), run) for run in runs]
    streams = [stored[key] for key in dict.fromkeys(run.stream.key for run, done in zip(runs, moved, strict=True) if done)]
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
