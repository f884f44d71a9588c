from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventkernel.testing.contracts.event_store import EventStoreContract
from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.journal import Journal
from eventkernel.testing.contracts.outbox import OutboxContract
from eventkernel.testing.contracts.shard_leases import LeasesUnderTest, ShardLeasesContract
from eventkernel.testing.contracts.snapshot_store import SnapshotStoreContract
from eventkernel.testing.contracts.stream_directory import StreamDirectoryContract
from eventkernel_memory.clock import ManualClock
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.event_store import SqliteEventStore
from eventkernel_sqlite.journal_schema import JOURNAL
from eventkernel_sqlite.outbox import SqliteOutbox
from eventkernel_sqlite.shard_leases import SqliteShardLeases
from eventkernel_sqlite.snapshot_store import SqliteSnapshotStore
from eventkernel_sqlite.stream_directory import SqliteStreamDirectory

SHARDS = 16
FEATURES = frozenset(Feature)


class Opened:
    """One file opened twice, as two processes would, and again when asked to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._databases: list[Database] = []

    def open(self) -> Journal:
        one, two = Database(self._path, JOURNAL), Database(self._path, JOURNAL)
        self._databases += [one, two]
        return Journal(
            SqliteEventStore(one),
            SqliteEventStore(two),
            SqliteOutbox(one, SHARDS),
            SqliteOutbox(two, SHARDS),
            SqliteStreamDirectory(one),
            SHARDS,
            self.reopen,
        )

    async def reopen(self) -> Journal:
        await self.close()
        return self.open()

    async def close(self) -> None:
        for database in self._databases:
            await database.close()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = Opened(tmp_path / "journal.db")
    yield opened.open()
    await opened.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "journal.db", JOURNAL)
    yield opened
    await opened.close()


@pytest.fixture
def snapshots(database: Database) -> SqliteSnapshotStore:
    return SqliteSnapshotStore(database)


@pytest.fixture
async def under_test(tmp_path: Path) -> AsyncIterator[LeasesUnderTest]:
    clock = ManualClock()
    one, two = Database(tmp_path / "journal.db", JOURNAL), Database(tmp_path / "journal.db", JOURNAL)
    yield LeasesUnderTest(SqliteShardLeases(one, clock), SqliteShardLeases(two, clock), clock.advance)
    await one.close()
    await two.close()


class TestEventStore(EventStoreContract):
    features = FEATURES


class TestOutbox(OutboxContract):
    features = FEATURES


class TestStreamDirectory(StreamDirectoryContract):
    features = FEATURES


class TestSnapshotStore(SnapshotStoreContract):
    features = FEATURES


class TestShardLeases(ShardLeasesContract):
    features = FEATURES
