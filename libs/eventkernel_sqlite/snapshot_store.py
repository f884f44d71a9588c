"""The snapshot store on SQLite."""

from collections.abc import AsyncIterator
from functools import partial
from sqlite3 import Connection
from typing import TYPE_CHECKING

from eventkernel.envelope import from_micros, to_micros
from eventkernel.ids import StreamId
from eventkernel.ports.snapshot_store import Snapshot, SnapshotStore
from eventkernel_sqlite.database import Database

SELECT_LATEST = """
    SELECT version, schema, state, created_at, occurred_at, recorded_at
    FROM snapshots WHERE key = ? AND version <= ? ORDER BY version DESC LIMIT 1
"""
SAVE = """
    INSERT INTO snapshots (key, version, schema, state, created_at, occurred_at, recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key, version) DO UPDATE SET schema = excluded.schema, state = excluded.state,
        created_at = excluded.created_at, occurred_at = excluded.occurred_at, recorded_at = excluded.recorded_at
"""
SELECT_STREAMS = "SELECT DISTINCT key FROM snapshots WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
PRUNE = """
    DELETE FROM snapshots WHERE key = ? AND version > ? AND version <=
        (SELECT version FROM snapshots WHERE key = ? ORDER BY version DESC LIMIT 1 OFFSET ?)
"""
DROP = "DELETE FROM snapshots WHERE key = ?"
PAGE_STREAMS = 1_000
_LAST = 2**62
_AFTER_EVERY_KEY = "\U0010ffff"


class SqliteSnapshotStore:
    """Snapshots in the journal's file; saving rides along with the appends' commits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self, stream: StreamId, *, up_to: int | None = None) -> Snapshot | None:
        """One row by its key, read here and now."""
        bounds = (stream.key, _LAST if up_to is None else up_to)
        row = self._database.read_now(lambda c: c.execute(SELECT_LATEST, bounds).fetchone())
        if row is None:
            return None
        version, schema, state, *times = row
        return Snapshot(version, schema, state, *map(from_micros, times))

    async def save(self, stream: StreamId, snapshot: Snapshot) -> None:
        """Insert, or replace the one of the same version."""
        times = map(to_micros, (snapshot.created_at, snapshot.occurred_at, snapshot.recorded_at))
        row = (stream.key, snapshot.version, snapshot.schema, snapshot.state, *times)
        await self._database.write(lambda c: c.execute(SAVE, row).rowcount)

    async def streams(self, *, tenant: str | None = None) -> AsyncIterator[StreamId]:
        """Page by page, in the order of the keys."""
        prefix = "" if tenant is None else f"{tenant}/"
        after = prefix
        while True:
            bounds = (after, prefix + _AFTER_EVERY_KEY, PAGE_STREAMS)
            page = await self._database.read(partial(_page, bounds))
            for key in page:
                yield StreamId.from_key(key)
            if len(page) < PAGE_STREAMS:
                return
            after = page[-1]

    async def prune(self, stream: StreamId, newest: int, *, above: int = 0) -> None:
        """Delete the rows of lower versions."""
        await self._database.write(lambda c: c.execute(PRUNE, (stream.key, above, stream.key, newest)).rowcount)

    async def drop(self, stream: StreamId) -> None:
        """Delete the stream's rows."""
        await self._database.write(lambda c: c.execute(DROP, (stream.key,)).rowcount)


def _page(bounds: tuple[str, str, int], connection: Connection) -> list[str]:
    return [key for (key,) in connection.execute(SELECT_STREAMS, bounds)]


if TYPE_CHECKING:
    _: type[SnapshotStore] = SqliteSnapshotStore
