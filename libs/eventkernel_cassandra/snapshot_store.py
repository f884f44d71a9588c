"""The snapshot store on Cassandra: plain writes, since a snapshot may be missing, old or double without harm."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from eventkernel.envelope import from_micros, to_micros
from eventkernel.ids import StreamId
from eventkernel.ports.snapshot_store import Snapshot, SnapshotStore
from eventkernel_cassandra.errors import InDoubt, NotExecuted
from eventkernel_cassandra.session import CqlSession, Statement, Value
from eventkernel_cassandra.statements import Statements

PAGE_STREAMS = 1_000
_LAST = 2**62
_FIRST_TOKEN = -(2**63)


class CassandraSnapshotStore:
    """``SnapshotStore``. A save or a drop in doubt is reported as not done; both may be repeated."""

    def __init__(self, session: CqlSession, statements: Statements) -> None:
        self._session = session
        self._statements = statements

    async def latest(self, stream: StreamId, *, up_to: int | None = None) -> Snapshot | None:
        """One row by its key."""
        values: list[Value] = [stream.key, _LAST if up_to is None else up_to]
        rows = await self._session.read(self._statements.select_snapshot, values)
        if not rows:
            return None
        version, schema, state, *times = rows[0]
        return Snapshot(version, schema, state, *map(from_micros, times))

    async def save(self, stream: StreamId, snapshot: Snapshot) -> None:
        """Insert, or replace the one of the same version."""
        times = [to_micros(moment) for moment in (snapshot.created_at, snapshot.occurred_at, snapshot.recorded_at)]
        values: list[Value] = [stream.key, snapshot.version, snapshot.schema, snapshot.state, *times]
        await self._write(self._statements.insert_snapshot, values)

    async def streams(self, *, tenant: str | None = None) -> AsyncIterator[StreamId]:
        """A scan over the partitions, in the order of their tokens."""
        token, limit = _FIRST_TOKEN, PAGE_STREAMS
        at_token: set[str] = set()
        while True:
            rows = await self._session.read(self._statements.select_snapshot_streams, [token, limit])
            fresh = [row for row in rows if row[1] not in at_token]
            for row in fresh:
                stream = StreamId.from_key(row[1])
                if tenant in (None, stream.tenant):
                    yield stream
            if len(rows) < limit:
                return
            if rows[-1][0] != token:
                token, at_token = rows[-1][0], set()
            elif not fresh:
                limit *= 2  # a page full of streams of one token
            at_token |= {row[1] for row in rows if row[0] == token}

    async def prune(self, stream: StreamId, newest: int, *, above: int = 0) -> None:
        """Delete the range below the oldest that stays. Reads go from the newest on and never meet what was deleted."""
        rows = await self._session.read(self._statements.select_snapshot_versions, [stream.key, newest])
        if len(rows) == newest and rows[-1][0] > above + 1:
            await self._write(self._statements.delete_snapshots_between, [stream.key, above, rows[-1][0]])

    async def drop(self, stream: StreamId) -> None:
        """Delete the stream's partition."""
        await self._write(self._statements.delete_snapshots, [stream.key])

    async def _write(self, statement: Statement, values: list[Value]) -> None:
        try:
            await self._session.write(statement, values)
        except InDoubt as error:
            raise NotExecuted(error.cause) from error


if TYPE_CHECKING:
    _: type[SnapshotStore] = CassandraSnapshotStore
