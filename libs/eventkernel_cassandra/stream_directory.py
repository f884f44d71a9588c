"""The stream directory on Cassandra: a scan over the partitions' static columns, in the order of their tokens."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from eventkernel.ids import StreamId
from eventkernel.ports.stream_directory import StreamDirectory, StreamHead
from eventkernel_cassandra.bounded import each
from eventkernel_cassandra.buckets import Statics, is_closed, statics
from eventkernel_cassandra.reading import StreamReader
from eventkernel_cassandra.session import CqlSession, Row
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.statements import Statements

PAGE_PARTITIONS = 1_000
READS_MAX = 32
_FIRST_TOKEN = -(2**63)


class CassandraStreamDirectory:
    """``StreamDirectory``. The scan is plain: an append in doubt may be missing from a head, never a stream that was there."""

    def __init__(self, session: CqlSession, statements: Statements, layout: Layout) -> None:
        self._session = session
        self._statements = statements
        self._size = layout.bucket_events
        self._reader = StreamReader(session, statements, layout.bucket_events)

    async def streams(self, *, tenant: str | None = None, category: str | None = None) -> AsyncIterator[StreamHead]:
        """Every stream at its first bucket, which every stream has."""
        async for key, bucket, found in partitions(self._session, self._statements):
            if bucket != 0 or found.head == 0:
                continue
            stream = StreamId.from_key(key)
            if tenant in (None, stream.tenant) and category in (None, stream.category):
                yield await self._head(stream, found)

    async def heads(self, streams: list[StreamId]) -> list[StreamHead]:
        """In the order asked for."""

        async def head(stream: StreamId) -> StreamHead:
            return await self._head(stream, await self._reader.statics(stream.key, 0))

        return await each(READS_MAX, head, streams)

    async def _head(self, stream: StreamId, found: Statics) -> StreamHead:
        bucket, published = 0, found.published
        head, all_published = found.head, found.published == found.head
        while is_closed(bucket, head, self._size):
            bucket += 1
            found = await self._reader.statics(stream.key, bucket)
            if found.head == 0:
                break
            head = found.head
            published = found.published if all_published else published
            all_published = all_published and published == head
        return StreamHead(stream, head, published)


async def partitions(session: CqlSession, statements: Statements) -> AsyncIterator[tuple[str, int, Statics]]:
    """Every partition of the journal, once: stream key, bucket, statics."""
    token = _FIRST_TOKEN
    at_token: set[tuple[str, int]] = set()
    limit = PAGE_PARTITIONS
    while True:
        rows: Sequence[Row] = await session.read(statements.select_partitions, [token, limit])
        fresh = [row for row in rows if (row[1], row[2]) not in at_token]
        for row in fresh:
            yield row[1], row[2], statics((row[3], row[4], row[5]))
        if len(rows) < limit:
            return
        if rows[-1][0] != token:
            token, at_token = rows[-1][0], set()
        elif not fresh:
            limit *= 2  # a page full of partitions of one token
        at_token |= {(row[1], row[2]) for row in rows if row[0] == token}


if TYPE_CHECKING:
    _: type[StreamDirectory] = CassandraStreamDirectory
