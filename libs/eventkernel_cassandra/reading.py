"""Reading a stream: events over buckets, and command rows."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from eventkernel.envelope import EventMeta, RecordedEvent
from eventkernel.ids import StreamId, uuid_of
from eventkernel.ports.event_store import AFTER_ALL, CommandRecord, Loaded, Position
from eventkernel_cassandra.bounded import each
from eventkernel_cassandra.buckets import (
    ABSENT,
    Place,
    Statics,
    first_bucket_with,
    is_closed,
    statics,
)
from eventkernel_cassandra.errors import NotExecuted
from eventkernel_cassandra.session import CqlSession, Row
from eventkernel_cassandra.statements import Statements

PAGE_EVENTS = 1_000
READS_MAX = 16
"""Reads of one call at once."""
TORN_READS_MAX = 5
_LAST = AFTER_ALL


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A stored command and the mark of the append that stored it."""

    record: CommandRecord
    attempt: bytes


class StreamReader:
    """Reads streams of one keyspace through one session."""

    def __init__(self, session: CqlSession, statements: Statements, bucket_events: int) -> None:
        self._session = session
        self._statements = statements
        self._size = bucket_events

    async def load(self, stream: StreamId, after: int, up_to: int | None, events_max: int | None) -> Loaded:
        """Bucket by bucket, page by page; see ``EventStore.load``."""
        if after >= AFTER_ALL:
            return Loaded([], await self._head(stream.key))
        last = _LAST if up_to is None else up_to
        left = _LAST if events_max is None else events_max
        events: list[RecordedEvent] = []
        bucket = first_bucket_with(after + 1, self._size)
        found = ABSENT
        while True:
            reached = after + len(events)
            rows, found = await self._page(stream.key, bucket, reached, last, min(left, PAGE_EVENTS))
            events += [recorded(stream, row) for row in rows]
            left -= len(rows)
            reached += len(rows)
            enough = left <= 0 or reached >= last
            if reached < found.head:
                if enough:
                    break
            elif not is_closed(bucket, found.head, self._size) or (enough and events):
                break
            else:
                bucket += 1
        return Loaded(events, await self._position(stream.key, after + len(events), bucket, found))

    async def events(self, stream: StreamId, bucket: int, after: int, up_to: int) -> list[RecordedEvent]:
        """Events of one bucket that are readable now: ``after + 1`` and on without gaps, at most to ``up_to``."""
        events: list[RecordedEvent] = []
        while after < up_to:
            limit = min(PAGE_EVENTS, up_to - after)
            rows = _contiguous(await self._select(stream.key, bucket, after, up_to, limit), after)
            events += [recorded(stream, row) for row in rows]
            if len(rows) < limit:
                break
            after += len(rows)
        return events

    async def statics(self, key: str, bucket: int, *, serial: bool = False) -> Statics:
        """The bucket's static columns. A serial read finishes what is in doubt."""
        s = self._statements
        rows = await self._session.read(s.select_statics_serially if serial else s.select_statics, [key, bucket])
        return statics(cast("tuple[int | None, int | None, int | None]", rows[0]) if rows else None)

    async def commands(
        self, key: str, bucket: int, command_ids: Sequence[UUID], *, serial: bool = False
    ) -> dict[UUID, CommandRow]:
        """The rows of these commands in one bucket. After a serial read, what is absent has not been applied yet."""
        s = self._statements
        subs = [command_id.bytes for command_id in command_ids]
        rows = await self._session.read(
            s.select_commands_serially if serial else s.select_commands, [key, bucket, subs]
        )
        return {row.record.command_id: row for row in (command_row(*row) for row in rows)}

    async def find(self, key: str, command_ids: Sequence[UUID], *, first: int = 0) -> dict[UUID, CommandRow]:
        """The rows of these commands wherever in the stream they are, from a bucket on.

        The open bucket is read serially, so that an append in doubt is not taken for one that never was. Closed ones need
        no such care: whoever opened the next bucket has read them serially first.
        """
        bucket = first
        while True:
            found, of_bucket = await asyncio.gather(
                self.commands(key, bucket, command_ids, serial=True), self.statics(key, bucket)
            )
            if found or not is_closed(bucket, of_bucket.head, self._size):
                return found
            bucket += 1

    async def find_before(self, key: str, command_ids: Sequence[UUID], bucket: int) -> dict[UUID, CommandRow]:
        """The rows of these commands in the closed buckets before this one."""

        async def look(earlier: int) -> dict[UUID, CommandRow]:
            return await self.commands(key, earlier, command_ids)

        found: dict[UUID, CommandRow] = {}
        for rows in await each(READS_MAX, look, range(bucket)):
            found |= rows
        return found

    async def _head(self, key: str) -> Position:
        """Over the statics of the buckets: one read for each, and nothing of their events."""
        bucket, before = 0, ABSENT
        while is_closed(bucket, (found := await self.statics(key, bucket)).head, self._size):
            bucket, before = bucket + 1, found
        if found.head == 0 and bucket > 0:
            bucket, found = bucket - 1, before
        return Position(found.head, Place(bucket, found.generation))

    async def _position(self, key: str, reached: int, bucket: int, found: Statics) -> Position:
        """Where a load ended: with its place where that is, or may be, the head."""
        while found.head == 0 and bucket > 0:
            # Nothing here: the stream ends in an earlier bucket, or, as after a restore, long before ``after``.
            bucket -= 1
            found = await self.statics(key, bucket)
        if found.head <= reached:
            return Position(found.head, Place(bucket, found.generation))
        return Position(reached)

    async def _page(self, key: str, bucket: int, after: int, last: int, limit: int) -> tuple[Sequence[Row], Statics]:
        """Events of one bucket in ``after < seq <= last``, and the bucket's statics as of the same moment.

        Rows and statics of one answer come from the same merged partition. Two answers need not: the first may be the only
        one that saw a replica with the newest append. Then a serial read brings that append to a majority.

        The event before the page is read as well: where nothing follows it, its row says so, and no second answer is needed.
        """
        before = min(after, 1)
        for torn in range(TORN_READS_MAX):
            wanted = limit > 0 and after < last
            rows = await self._select(key, bucket, after - before, last, limit + before) if wanted else ()
            found = statics(rows[0][6:9]) if rows else await self.statics(key, bucket, serial=torn > 0)
            if before and rows:
                # It is not there where the page is the first of a bucket; then there may be one too many at the end.
                rows = rows[1:] if rows[0][0] == after else rows[:limit]
            expected = min(found.head, last, after + limit)
            if not rows and (expected <= after or limit <= 0):
                return (), found
            if rows and len(_contiguous(rows, after)) == len(rows) and after + len(rows) >= expected:
                return rows, found
            await self.statics(key, bucket, serial=True)
        raise NotExecuted(f"{key} bucket {bucket}: version {after + 1} is not readable, its head is")

    async def _select(self, key: str, bucket: int, after: int, up_to: int, limit: int) -> Sequence[Row]:
        return await self._session.read(self._statements.select_events, [key, bucket, after, up_to, limit])


def recorded(stream: StreamId, row: Row) -> RecordedEvent:
    """The event of a row of ``select_events``."""
    seq, event_id, event_type, schema_version, data, meta = row[:6]
    return RecordedEvent(stream, seq, uuid_of(event_id), event_type, schema_version, data, EventMeta.unread(meta))


def command_row(sub: bytes, attempt: bytes, first: int, last: int, request_hash: bytes) -> CommandRow:
    """A command row's columns as what they mean."""
    return CommandRow(CommandRecord(uuid_of(sub), request_hash, first, last), attempt)


def _contiguous(rows: Sequence[Any], after: int) -> Sequence[Any]:
    """The rows from ``after + 1`` on up to the first gap. A page of the right length and ends is not looked through."""
    if not rows or (rows[0][0] == after + 1 and rows[-1][0] == after + len(rows)):
        return rows
    count = 0
    while count < len(rows) and rows[count][0] == after + count + 1:
        count += 1
    return rows[:count]
