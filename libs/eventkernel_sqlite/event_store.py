"""The event store on SQLite: one transaction per append, many appends per commit."""

import asyncio
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import (
    Appended,
    AppendOutcome,
    CommandRecord,
    Conflict,
    Entry,
    EventStore,
    Loaded,
    Position,
    Replayed,
    Unknown,
    checked,
)
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.events import recorded
from eventkernel_sqlite.writer import CommitInDoubt

PAGE_EVENTS = 128

FIND_STREAM = """
    SELECT s.id, s.head, s.published, c.request_hash, c.first_version, c.last_version
    FROM streams s LEFT JOIN commands c ON c.stream = s.id AND c.command_id = ?
    WHERE s.key = ?
"""
FIND_COMMAND = "SELECT request_hash, first_version, last_version FROM commands WHERE stream = ? AND command_id = ?"
INSERT_STREAM = "INSERT INTO streams (key, hash, head, published) VALUES (?, ?, 0, 0)"
INSERT_EVENT = """
    INSERT INTO events (event_id, type, schema_version, data, meta, stream, version) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
INSERT_COMMAND = """
    INSERT INTO commands (stream, command_id, request_hash, first_version, last_version) VALUES (?, ?, ?, ?, ?)
"""
INSERT_OUTBOX = "INSERT INTO outbox (hash, stream, version) VALUES (?, ?, ?)"
MOVE_HEAD = "UPDATE streams SET head = ? WHERE id = ?"
MOVE_HEAD_AND_WAIT = "UPDATE streams SET head = ?, waiting = ? WHERE id = ?"
SELECT_HEAD = "SELECT head FROM streams WHERE key = ?"
SELECT_EVENTS = """
    SELECT e.version, e.event_id, e.type, e.schema_version, e.data, e.meta
    FROM streams s JOIN events e ON e.stream = s.id
    WHERE s.key = ? AND e.version > ? AND e.version <= ?
    ORDER BY e.version LIMIT ?
"""

_EventRow: TypeAlias = tuple[bytes, str, int, bytes, bytes]
_LAST = 2**62


class SqliteEventStore:
    """The journal in one file. It owns the database: closing the store closes it for the outbox and the others too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """Hand the append to the writer; what could be prepared outside of the transaction is."""
        checked(entries)
        commands = [(entry.command_id.bytes, entry.request_hash) for entry in entries]
        events = [
            (e.event_id.bytes, e.type, e.schema_version, e.data, e.meta.to_bytes()) for e in (x.event for x in entries)
        ]
        try:
            return await self._database.write(_Append(stream.key, expected.version, commands, events))
        except CommitInDoubt as error:
            return Unknown(str(error))

    async def load(
        self, stream: StreamId, *, after: int = 0, up_to: int | None = None, events_max: int | None = None
    ) -> Loaded:
        """Page by page on the loop, others taking turns: in a thread, every row would wait for the interpreter anew."""
        key, last = stream.key, _LAST if up_to is None else up_to
        left = _LAST if events_max is None else events_max
        events: list[RecordedEvent] = []
        if left <= 0:
            return Loaded(events, Position(min(after, self._head(key))))
        page = _Page(stream, after, last, min(left, PAGE_EVENTS))
        found = self._database.read_now(page)
        while True:
            events += found
            left -= len(found)
            if len(found) < PAGE_EVENTS or left <= 0:
                break
            page = _Page(stream, events[-1].version, last, min(left, PAGE_EVENTS))
            await asyncio.sleep(0)
            found = self._database.read_now(page)
        return Loaded(events, Position(events[-1].version if events else min(after, self._head(key))))

    async def find_command(self, stream: StreamId, command_id: UUID) -> CommandRecord | None:
        """One row by its key."""
        row = self._database.read_now(lambda c: c.execute(FIND_STREAM, (command_id.bytes, stream.key)).fetchone())
        if row is None or row[3] is None:
            return None
        return CommandRecord(command_id, row[3], row[4], row[5])

    async def close(self) -> None:
        """Finish the appends under way and close the file."""
        await self._database.close()

    def _head(self, key: str) -> int:
        row = self._database.read_now(lambda c: c.execute(SELECT_HEAD, (key,)).fetchone())
        return 0 if row is None else int(row[0])


@dataclass(frozen=True, slots=True)
class _Append:
    """One append as the writer runs it: every check comes before the first write."""

    key: str
    expected: int
    commands: list[tuple[bytes, bytes]]
    events: list[_EventRow]

    def __call__(self, connection: sqlite3.Connection) -> AppendOutcome:
        execute = connection.execute
        row = execute(FIND_STREAM, (self.commands[0][0], self.key)).fetchone()
        stream, head, published = row[:3] if row else (0, 0, 0)
        if row:
            replayed = self._replayed(connection, row)
            if replayed is not None:
                return replayed
        if head != self.expected:
            return Conflict(head)
        digest = 0
        if head == published:
            digest = zlib.crc32(self.key.encode())
        if not row:
            stream = execute(INSERT_STREAM, (self.key, digest)).lastrowid
        last = head
        for (command_id, request_hash), event in zip(self.commands, self.events, strict=True):
            last += 1
            execute(INSERT_EVENT, (*event, stream, last))
            execute(INSERT_COMMAND, (stream, command_id, request_hash, last, last))
        if head == published:
            waiting = execute(INSERT_OUTBOX, (digest, stream, head + 1)).lastrowid
            execute(MOVE_HEAD_AND_WAIT, (last, waiting, stream))
        else:
            execute(MOVE_HEAD, (last, stream))
        return Appended(Position(last))

    def _replayed(
        self, connection: sqlite3.Connection, row: tuple[int, int, int, bytes | None, int, int]
    ) -> Replayed | None:
        stream, _, _, request_hash, first, last = row
        if request_hash is not None:
            return Replayed(CommandRecord(UUID(bytes=self.commands[0][0]), request_hash, first, last))
        for command_id, _ in self.commands[1:]:
            found = connection.execute(FIND_COMMAND, (stream, command_id)).fetchone()
            if found is not None:
                return Replayed(CommandRecord(UUID(bytes=command_id), *found))
        return None


@dataclass(frozen=True, slots=True)
class _Page:
    """Reads events of one stream in ``after < version <= up_to``."""

    stream: StreamId
    after: int
    up_to: int
    events_max: int

    def __call__(self, connection: sqlite3.Connection) -> list[RecordedEvent]:
        rows = connection.execute(SELECT_EVENTS, (self.stream.key, self.after, self.up_to, self.events_max))
        return [recorded(self.stream, row) for row in rows]


if TYPE_CHECKING:
    _: type[EventStore] = SqliteEventStore
